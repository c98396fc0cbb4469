// SPDX-License-Identifier: Apache-2.0
// The machine's expressions and calls.
#pragma once

#include <algorithm>
#include <llamavision/support/quoted.hpp>
#include <llamavision/tokens/template/machine.hpp>

namespace llamavision::tokens::jinja {

LLAMAVISION_INLINE value machine::evaluate(expression const& e) {
    level const inside(*this);
    charge(1);
    at_ = &e;
    auto const operand = [&](std::size_t i) {
        auto made = e.parts[i].what == expression::form::absent ? value(nullptr) : evaluate(e.parts[i]);
        at_ = &e;
        return made;
    };
    auto const parts = [&] {
        values made;
        made.reserve(e.parts.size());
        for (std::size_t i = 0; i < e.parts.size(); ++i) made.push_back(operand(i));
        return made;
    };
    switch (e.what) {
    case expression::form::absent:
    case expression::form::member: break;
    case expression::form::constant: return e.constant;
    case expression::form::name: return name(e);
    case expression::form::attribute: return attribute(*this, operand(0), e.name);
    case expression::form::item: {
        auto const self = operand(0);
        return item(*this, self, operand(1));
    }
    case expression::form::slice: {
        auto const p = parts();
        return sliced(*this, p[0], p[1], p[2], p[3]);
    }
    case expression::form::call: return call_expression(e, nullptr);
    case expression::form::filter: return filtered(e, value());
    case expression::form::test: {
        auto const self = operand(0);
        arguments given;
        fill(given, e, 1);
        return e.callee(*this, self, given);
    }
    case expression::form::unary: return unary(*this, e.operators[0], operand(0));
    case expression::form::binary: {
        auto const left = operand(0);
        return binary(*this, e.operators[0], left, operand(1));
    }
    case expression::form::compare: return compared(e);
    case expression::form::both: {
        auto left = operand(0);
        return truth(*this, left) ? operand(1) : left;
    }
    case expression::form::either: {
        auto left = operand(0);
        return truth(*this, left) ? left : operand(1);
    }
    case expression::form::negation: return value(!truth(*this, operand(0)));
    case expression::form::concat: {
        marked_text made;
        for (std::size_t i = 0; i < e.parts.size(); ++i) append_str(*this, made, operand(i));
        return text(std::move(made));
    }
    case expression::form::conditional:
        if (truth(*this, operand(0))) return operand(1);
        if (e.parts[2].what == expression::form::absent)
            return undefined("a condition was false, and there is no else");
        return operand(2);
    case expression::form::list: return list(parts());
    case expression::form::tuple: return tuple(parts());
    case expression::form::dict: {
        dict_object made;
        for (std::size_t i = 0; i + 1 < e.parts.size(); i += 2) {
            auto key = operand(i);
            auto v = operand(i + 1);
            put_entry(*this, made.entries, std::move(key), std::move(v));
        }
        return dict(std::move(made.entries));
    }
    }
    fail("an expression that has no value");
}

LLAMAVISION_INLINE value machine::name(expression const& e) {
    auto const& held = slot(e.place);
    return held.is_missing() ? undefined("'" + e.name + "' is undefined") : held;
}

LLAMAVISION_INLINE value machine::compared(expression const& e) {
    auto left = evaluate(e.parts[0]);
    for (std::size_t i = 0; i < e.operators.size(); ++i) {
        auto right = evaluate(e.parts[i + 1]);
        at_ = &e;
        if (!compare(*this, e.operators[i], left, right)) return value(false);
        left = std::move(right);
    }
    return value(true);
}

// The arguments of a call, filter or test, which are its parts from `first` on.
LLAMAVISION_INLINE void machine::fill(arguments& given, expression const& e, std::size_t first) {
    auto const named = e.parts.size() - e.keywords.size();
    for (std::size_t i = first; i < e.parts.size(); ++i) {
        auto v = evaluate(e.parts[i]);
        if (i < named)
            given.positional.push_back(std::move(v));
        else
            given.named.emplace_back(e.keywords[i - named], std::move(v));
    }
    at_ = &e;
}

// `input` is what the innermost filter of a filter block or a captured block gets.
LLAMAVISION_INLINE value machine::filtered(expression const& e, value const& input) {
    auto const& inner = e.parts[0];
    auto const v = inner.what == expression::form::absent   ? input
                   : inner.what == expression::form::filter ? filtered(inner, input)
                                                            : evaluate(inner);
    arguments given;
    fill(given, e, 1);
    return e.callee(*this, v, given);
}

LLAMAVISION_INLINE value machine::call_expression(expression const& e, value const* caller) {
    auto const callee = evaluate(e.parts[0]);
    arguments given;
    fill(given, e, 1);
    if (caller) given.named.emplace_back("caller", *caller);
    return call(callee, given);
}

LLAMAVISION_INLINE value machine::call(value const& callee, arguments& given) {
    charge(given.positional.size() + given.named.size() + 1);
    switch (callee.what()) {
    case kind::function: return callee.as<function_object>().call(*this, given);
    case kind::method: return call_method(*this, callee.as<method_object>(), given);
    case kind::macro: return call_macro(callee.as<macro_object>(), given);
    case kind::undefined: fail(callee.as<undefined_object>().hint);
    case kind::joiner: {
        auto& joiner = callee.as<joiner_object>();
        return std::exchange(joiner.used, true) ? joiner.separator : text("");
    }
    case kind::loop: {
        auto const& loop = callee.as<loop_object>();
        if (!loop.again) fail("the loop is called, but is not marked as recursive");
        bound const p(*this, "loop", given, {"iterable"}, 1);
        return recurse(*loop.again, p[0], loop.depth0 + 1, loop.around);
    }
    default: fail("'" + std::string(type_name(callee)) + "' object is not callable");
    }
}

// Source: jinja2 3.1.6, runtime.py, Macro.__call__.
LLAMAVISION_INLINE value machine::call_macro(macro_object const& macro, arguments& given) {
    level const inside(*this);
    auto const& m = *macro.body;
    auto own = std::make_unique<activation>(activation{macro.around, values(m.shape.slots)});
    auto& entered = *own;
    if (m.shape.encloses) {
        meter_.memory += m.shape.slots * sizeof(value);
        kept_.push_back(std::move(own));
    }
    auto const take = [&](std::string_view name) {
        auto const found = std::find_if(given.named.begin(), given.named.end(),
                                        [&](auto const& argument) { return argument.first == name; });
        if (found == given.named.end()) return value();
        auto v = std::move(found->second);
        given.named.erase(found);
        return v;
    };
    for (std::size_t i = 0; i < m.parameters.size(); ++i)
        entered.slots[m.slots[i]] = i < given.positional.size() ? given.positional[i] : take(m.parameters[i]);
    if (m.takes_caller) {
        auto caller = take("caller");
        entered.slots[m.caller] =
            caller.is_missing() || caller.is(kind::none) ? undefined("no caller defined") : caller;
    }
    if (m.takes_keywords) {
        std::vector<std::pair<value, value>> rest;
        for (auto& [name, v] : given.named) rest.emplace_back(text(name), std::move(v));
        entered.slots[m.keywords] = dict(std::move(rest));
    } else if (!given.named.empty()) {
        fail("the macro \"" + m.name + "\" takes no argument " + in_quotes(given.named.front().first));
    }
    auto const known = std::min(m.parameters.size(), given.positional.size());
    if (m.takes_rest)
        entered.slots[m.rest] =
            tuple({given.positional.begin() + static_cast<std::ptrdiff_t>(known), given.positional.end()});
    else if (known < given.positional.size())
        fail("the macro \"" + m.name + "\" takes not more than " + std::to_string(m.parameters.size()) + " arguments");
    return within(entered, [&] {
        enter(m.inside);
        auto const required = m.parameters.size() - m.defaults.size();
        for (std::size_t i = 0; i < m.parameters.size(); ++i) {
            auto& parameter = entered.slots[m.slots[i]];
            if (!parameter.is_missing()) continue;
            parameter = i < required ? undefined("parameter '" + m.parameters[i] + "' was not provided")
                                     : evaluate(m.defaults[i - required]);
        }
        buffer out(*this);
        execute(m.body, out);
        return text(out.take());
    });
}

LLAMAVISION_INLINE bound::bound(machine& m, std::string_view callee, arguments& given,
                                std::initializer_list<std::string_view> names, std::size_t required)
    : values_(names.size()) {
    auto const called = std::string(callee);
    if (given.positional.size() > names.size())
        m.fail(called + " takes at most " + std::to_string(names.size()) + " arguments, not "
               + std::to_string(given.positional.size()));
    std::copy(given.positional.begin(), given.positional.end(), values_.begin());
    for (auto const& [name, v] : given.named) {
        auto const found = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
        if (found == names.size()) m.fail(called + " takes no argument " + in_quotes(name));
        if (!values_[found].is_missing()) m.fail(called + " gets the argument " + in_quotes(name) + " twice");
        values_[found] = v;
    }
    for (std::size_t i = 0; i < required; ++i)
        if (values_[i].is_missing()) m.fail(called + " lacks the argument \"" + std::string(names.begin()[i]) + "\"");
}

} // namespace llamavision::tokens::jinja

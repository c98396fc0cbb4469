// SPDX-License-Identifier: Apache-2.0
// The machine's counting, values, and statements.
#pragma once

#include <algorithm>
#include <llamavision/tokens/template/machine.hpp>

namespace llamavision::tokens::jinja {

LLAMAVISION_INLINE buffer::~buffer() { m_.meter_.memory -= counted_; }

LLAMAVISION_INLINE void buffer::print(value const& v) {
    append_str(m_, text_, v);
    if (text_.size() > m_.meter_.limits.output)
        m_.fail("more than " + std::to_string(m_.meter_.limits.output) + " bytes of output");
    auto const grown = text_.footprint() - counted_;
    m_.meter_.memory += grown;
    counted_ += grown;
    m_.charge(grown / 16 + 1);
}

LLAMAVISION_INLINE marked_text buffer::take() {
    m_.meter_.memory -= std::exchange(counted_, 0);
    return std::move(text_);
}

LLAMAVISION_INLINE machine::machine(program const& p, template_limits const& limits, calendar_time now)
    : meter_{limits, 0, 0}, program_(p), now_(now) {}

// What can hold itself lets go of everything, so that nothing is left behind.
LLAMAVISION_INLINE machine::~machine() {
    for (auto const& a : kept_) a->slots.clear();
    for (auto const& held : changing_) {
        if (auto* const space = dynamic_cast<name_space_object*>(held.get())) space->members.clear();
        if (auto* const loop = dynamic_cast<loop_object*>(held.get())) {
            loop->items.reset();
            loop->iterable = loop->before = loop->current = loop->after = value();
            loop->changed.clear();
        }
    }
}

LLAMAVISION_INLINE void machine::charge(std::size_t work) {
    meter_.steps += work / 4 + 1;
    if (meter_.steps > meter_.limits.steps)
        fail("the template takes more than " + std::to_string(meter_.limits.steps) + " steps");
}

LLAMAVISION_INLINE void machine::fail(std::string const& what) const {
    throw rendering_error(program_.name, at_ ? at_->at : template_position{}, what);
}

LLAMAVISION_INLINE void machine::too_deep() const {
    fail("more than " + std::to_string(meter_.limits.depth) + " expressions, blocks and calls inside one another");
}

LLAMAVISION_INLINE void machine::count(object& made, std::size_t bytes) {
    made.count = &meter_;
    made.bytes += bytes;
    meter_.memory += bytes;
    if (meter_.memory > meter_.limits.memory)
        fail("the template's values take more than " + std::to_string(meter_.limits.memory) + " bytes");
    charge(bytes / 64);
}

LLAMAVISION_INLINE void machine::check_depth(object& made, std::uint32_t depth) const {
    constexpr std::uint32_t deepest = 100;
    made.depth = depth;
    if (depth > deepest) fail("values nested more than " + std::to_string(deepest) + " deep");
}

LLAMAVISION_INLINE value machine::text(marked_text made, bool markup) {
    auto object = make<text_object>(made.footprint());
    object->characters = characters_in(made.bytes());
    object->markup = markup;
    object->text = std::move(made);
    return {kind::text, std::move(object)};
}

LLAMAVISION_INLINE value machine::sequence(kind what, values items) {
    auto object = make<sequence_object>(items.size() * sizeof(value));
    std::uint32_t depth = 0;
    for (auto const& v : items) depth = std::max(depth, v.depth());
    object->items = std::move(items);
    check_depth(*object, depth + 1);
    return {what, std::move(object)};
}

LLAMAVISION_INLINE value machine::dict(std::vector<std::pair<value, value>> entries) {
    auto object = make<dict_object>(entries.size() * 2 * sizeof(value));
    std::uint32_t depth = 0;
    for (auto const& [key, v] : entries) depth = std::max({depth, key.depth(), v.depth()});
    object->entries = std::move(entries);
    check_depth(*object, depth + 1);
    return {kind::dict, std::move(object)};
}

LLAMAVISION_INLINE value machine::name_space(std::vector<std::pair<std::string, value>> members) {
    auto object = make<name_space_object>(members.size() * 2 * sizeof(value));
    object->members = std::move(members);
    changing_.push_back(object);
    return {kind::name_space, std::move(object)};
}

LLAMAVISION_INLINE value machine::undefined(std::string hint) {
    auto object = make<undefined_object>(hint.size());
    object->hint = std::move(hint);
    return {kind::undefined, std::move(object)};
}

LLAMAVISION_INLINE value& machine::slot(variable v) const {
    auto* a = here_;
    for (std::uint32_t hop = 0; hop < v.hops; ++hop) a = a->outer;
    return a->slots[v.slot];
}

LLAMAVISION_INLINE void machine::enter(scope const& s) {
    for (auto const& first : s) {
        auto& made = here_->slots[first.slot];
        switch (first.from) {
        case first_value::source::given: break;
        case first_value::source::nothing: made = value(); break;
        case first_value::source::outer: made = slot(first.outer); break;
        case first_value::source::inputs:
            if (auto const input = inputs_.find(first.name); input != inputs_.end()) {
                made = input->second;
            } else if (auto const global = find_global(first.name)) {
                auto object = make<function_object>();
                object->name = first.name;
                object->call = global;
                made = value(kind::function, std::move(object));
            } else {
                made = value();
            }
        }
    }
}

LLAMAVISION_INLINE void machine::leave(scope const& s) {
    for (auto const& first : s) here_->slots[first.slot] = value();
}

LLAMAVISION_INLINE marked_text machine::run(std::map<std::string, value, std::less<>> inputs) {
    inputs_ = std::move(inputs);
    activation outermost{nullptr, values(program_.shape.slots)};
    return within(outermost, [&] {
        buffer out(*this);
        enter(program_.outermost);
        execute(program_.body, out);
        return out.take();
    });
}

LLAMAVISION_INLINE machine::flow machine::execute(block const& b, buffer& out) {
    level const inside(*this);
    for (auto const& s : b) {
        auto const next = std::visit([&](auto const& what) { return run(what, out); }, s.what);
        if (next != flow::on) return next;
    }
    return flow::on;
}

LLAMAVISION_INLINE machine::flow machine::run(output const& o, buffer& out) {
    for (auto const& e : o.shown) out.print(e.what == expression::form::constant ? e.constant : evaluate(e));
    return flow::on;
}

LLAMAVISION_INLINE machine::flow machine::run(condition const& c, buffer& out) {
    for (std::size_t i = 0; i < c.tests.size(); ++i)
        if (truth(*this, evaluate(c.tests[i]))) return execute(c.bodies[i], out);
    return c.bodies.size() > c.tests.size() ? execute(c.bodies.back(), out) : flow::on;
}

namespace detail {

// The items that a loop's test lets through, each tested when it is asked for.
struct tested_items : iterator_object {
    for_loop const* loop = nullptr;
    std::shared_ptr<iterator_object> items;
    activation own;
    bool entered = false;

    bool next(machine& m, value& out) override {
        if (!std::exchange(entered, true)) m.within(own, [&] { m.enter(loop->test_scope); });
        while (m.pull(*items, out))
            if (m.passes(*loop, own, out)) return true;
        return false;
    }
};

} // namespace detail

LLAMAVISION_INLINE bool machine::pull(iterator_object& items, value& out) {
    level const inside(*this);
    charge(1);
    return items.next(*this, out);
}

LLAMAVISION_INLINE bool machine::passes(for_loop const& f, activation& test, value item) {
    return within(test, [&] {
        assign(f.test_target, std::move(item));
        return truth(*this, evaluate(f.test));
    });
}

LLAMAVISION_INLINE machine::flow machine::run(for_loop const& f, buffer& out) {
    auto const iterable = evaluate(f.iterable);
    if (!f.recursive) return turns(f, iterable, 0, nullptr, out);
    out.print(recurse(f, iterable, 0, here_));
    return flow::on;
}

// A recursive loop is a function that returns what it prints.
LLAMAVISION_INLINE value machine::recurse(for_loop const& f, value const& iterable, std::int64_t depth0,
                                          activation* around) {
    level const inside(*this);
    auto own = std::make_unique<activation>(activation{around, values(f.recursive_shape.slots)});
    auto& entered = *own;
    if (f.recursive_shape.encloses) kept_.push_back(std::move(own));
    return within(entered, [&] {
        buffer out(*this);
        turns(f, iterable, depth0, around, out);
        return text(out.take());
    });
}

// jinja2 runs the else branch unless some turn reached the end of the body: also after a break in the first one.
LLAMAVISION_INLINE machine::flow machine::turns(for_loop const& f, value const& iterable, std::int64_t depth0,
                                                activation* around, buffer& out) {
    auto items = iterate(*this, iterable);
    bool const tested = f.test.what != expression::form::absent;
    if (tested) {
        auto made = make<detail::tested_items>(f.test_shape.slots * sizeof(value));
        made->loop = &f;
        made->items = std::move(items);
        made->own = {here_, values(f.test_shape.slots)};
        items = std::move(made);
    }
    std::shared_ptr<loop_object> loop;
    if (f.uses_loop) {
        loop = make<loop_object>();
        loop->items = items;
        if (!tested) loop->iterable = iterable;
        loop->depth0 = depth0;
        loop->again = around ? &f : nullptr;
        loop->around = around;
        changing_.push_back(loop);
    }
    bool untouched = true;
    value item;
    while (true) {
        if (loop && !loop->after.is_missing())
            item = std::exchange(loop->after, value());
        else if (!pull(loop ? *loop->items : *items, item))
            break;
        if (loop) {
            ++loop->index0;
            loop->before = std::exchange(loop->current, item);
            here_->slots[f.loop_slot] = value(kind::loop, loop);
        }
        assign(f.target, item);
        enter(f.body_scope);
        auto const next = execute(f.body, out);
        if (next == flow::leave) break;
        if (next == flow::on) untouched = false;
    }
    leave(f.body_scope);
    if (loop && changing_.back() == loop && loop.use_count() == 2) changing_.pop_back(); // nobody else holds it
    if (!f.has_otherwise || !untouched) return flow::on;
    enter(f.otherwise_scope);
    auto const next = execute(f.otherwise, out);
    leave(f.otherwise_scope);
    return next;
}

LLAMAVISION_INLINE void machine::assign(expression const& target, value v) {
    charge(1);
    if (target.what == expression::form::name) {
        slot(target.place) = std::move(v);
    } else if (target.what == expression::form::member) {
        at_ = &target;
        auto const& held = slot(target.place);
        if (!held.is(kind::name_space))
            fail("an attribute is assigned to of " + target.name + ", which is no namespace");
        auto& space = held.as<name_space_object>();
        for (auto& [name, old] : space.members)
            if (name == target.attribute) {
                old = std::move(v);
                return;
            }
        count(space, target.attribute.size() + 2 * sizeof(value));
        space.members.emplace_back(target.attribute, std::move(v));
    } else { // several names
        at_ = &target;
        auto const items = drained(*this, v);
        if (items.size() != target.parts.size())
            fail(std::to_string(items.size()) + " values are assigned to " + std::to_string(target.parts.size())
                 + " names");
        for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    }
}

LLAMAVISION_INLINE machine::flow machine::run(assignment const& a, buffer&) {
    assign(a.target, evaluate(a.assigned));
    return flow::on;
}

LLAMAVISION_INLINE machine::flow machine::run(capture const& c, buffer&) {
    buffer inside(*this);
    enter(c.inside);
    auto const next = execute(c.body, inside);
    if (next != flow::on) return next;
    auto made = text(inside.take());
    if (c.filter.what != expression::form::absent) made = filtered(c.filter, made);
    assign(c.target, std::move(made));
    leave(c.inside);
    return flow::on;
}

LLAMAVISION_INLINE value machine::macro(macro_body const& body) {
    auto object = make<macro_object>();
    object->body = &body;
    object->around = here_;
    return {kind::macro, std::move(object)};
}

LLAMAVISION_INLINE machine::flow machine::run(macro_definition const& d, buffer&) {
    slot(d.place) = macro(d.macro);
    return flow::on;
}

LLAMAVISION_INLINE machine::flow machine::run(call_block const& c, buffer& out) {
    auto const caller = macro(c.caller);
    out.print(call_expression(c.call, &caller));
    return flow::on;
}

LLAMAVISION_INLINE machine::flow machine::run(generation const& g, buffer& out) {
    arguments none;
    out.print(call_macro(macro(g.body).as<macro_object>(), none));
    return flow::on;
}

LLAMAVISION_INLINE machine::flow machine::run(filter_block const& f, buffer& out) {
    buffer inside(*this);
    enter(f.inside);
    auto const next = execute(f.body, inside);
    if (next != flow::on) return next;
    out.print(filtered(f.filter, text(inside.take())));
    leave(f.inside);
    return flow::on;
}

LLAMAVISION_INLINE machine::flow machine::run(with_block const& w, buffer& out) {
    enter(w.inside);
    for (std::size_t i = 0; i < w.targets.size(); ++i) assign(w.targets[i], evaluate(w.assigned[i]));
    auto const next = execute(w.body, out);
    leave(w.inside);
    return next;
}

LLAMAVISION_INLINE machine::flow machine::run(jump j, buffer&) { return j == jump::leave ? flow::leave : flow::next; }

} // namespace llamavision::tokens::jinja

// SPDX-License-Identifier: Apache-2.0
// The parser's expressions.
#pragma once

#include <algorithm>
#include <llamavision/support/quoted.hpp>
#include <llamavision/tokens/template/names.hpp>
#include <llamavision/tokens/template/parser.hpp>
#include <optional>
#include <utility>

namespace llamavision::tokens::jinja {

LLAMAVISION_INLINE expression parser::make(expression::form what, template_position at) const {
    expression made;
    made.what = what;
    made.at = at;
    return made;
}

// The evaluator recurses over an expression, so its height is bounded.
LLAMAVISION_INLINE void parser::check_height(expression& e) const {
    for (auto const& operand : e.parts) e.height = std::max(e.height, operand.height + 1);
    if (e.height > highest) fail(e.at, "an expression of more than " + std::to_string(highest) + " levels");
}

LLAMAVISION_INLINE expression parser::join(expression::form what, expression left, expression right) const {
    auto made = make(what, left.at);
    made.parts.push_back(std::move(left));
    made.parts.push_back(std::move(right));
    check_height(made);
    return made;
}

LLAMAVISION_INLINE expression parser::binary(operation op, expression left, expression right) const {
    auto made = join(expression::form::binary, std::move(left), std::move(right));
    made.operators.push_back(op);
    return made;
}

// An expression, or several with commas between them, which are a tuple.
LLAMAVISION_INLINE expression parser::whole(bool with_conditional, bool parenthesised) {
    auto const at = here().at;
    auto const at_end = [&] {
        return here().what == lexeme::form::output_end || here().what == lexeme::form::block_end || is_symbol(")");
    };
    auto made = make(expression::form::tuple, at);
    bool is_tuple = false;
    while (true) {
        if (!made.parts.empty()) expect_symbol(",");
        if (at_end()) break;
        made.parts.push_back(any(with_conditional));
        if (!is_symbol(",")) break;
        is_tuple = true;
    }
    if (!is_tuple) {
        if (!made.parts.empty()) return std::move(made.parts.front());
        if (!parenthesised) unexpected("an expression");
    }
    check_height(made);
    return made;
}

LLAMAVISION_INLINE expression parser::any(bool with_conditional) {
    level const inside(*this);
    return with_conditional ? conditional() : either();
}

LLAMAVISION_INLINE expression parser::conditional() {
    auto value = either();
    while (is_name("if")) {
        auto made = make(expression::form::conditional, here().at);
        ++at_;
        made.parts.push_back(either());
        made.parts.push_back(std::move(value));
        if (skip_name("else")) {
            level const inside(*this);
            made.parts.push_back(conditional());
        } else {
            made.parts.push_back(make(expression::form::absent, made.at));
        }
        check_height(made);
        value = std::move(made);
    }
    return value;
}

LLAMAVISION_INLINE expression parser::either() {
    auto left = both();
    while (skip_name("or")) left = join(expression::form::either, std::move(left), both());
    return left;
}

LLAMAVISION_INLINE expression parser::both() {
    auto left = negation();
    while (skip_name("and")) left = join(expression::form::both, std::move(left), negation());
    return left;
}

LLAMAVISION_INLINE expression parser::negation() {
    if (!is_name("not")) return comparison();
    level const inside(*this);
    auto made = make(expression::form::negation, here().at);
    ++at_;
    made.parts.push_back(negation());
    check_height(made);
    return made;
}

LLAMAVISION_INLINE expression parser::comparison() {
    static constexpr std::pair<std::string_view, operation> symbols[] = {
        {"==", operation::equal},      {"!=", operation::unequal}, {"<", operation::less},
        {"<=", operation::less_equal}, {">", operation::greater},  {">=", operation::greater_equal}};
    auto made = make(expression::form::compare, here().at);
    made.parts.push_back(sum());
    while (true) {
        std::optional<operation> op;
        for (auto const& [symbol, meant] : symbols)
            if (!op && skip_symbol(symbol)) op = meant;
        if (!op && skip_name("in")) op = operation::in;
        if (!op && is_name("not") && ahead().what == lexeme::form::name && ahead().text == "in") {
            at_ += 2;
            op = operation::not_in;
        }
        if (!op) break;
        made.operators.push_back(*op);
        made.parts.push_back(sum());
    }
    if (made.operators.empty()) return std::move(made.parts.front());
    check_height(made);
    return made;
}

LLAMAVISION_INLINE expression parser::sum() {
    auto left = concatenation();
    while (is_symbol("+") || is_symbol("-")) {
        auto const op = lexemes_[at_++].text == "+" ? operation::add : operation::subtract;
        left = binary(op, std::move(left), concatenation());
    }
    return left;
}

LLAMAVISION_INLINE expression parser::concatenation() {
    auto made = make(expression::form::concat, here().at);
    made.parts.push_back(product());
    while (skip_symbol("~")) made.parts.push_back(product());
    if (made.parts.size() == 1) return std::move(made.parts.front());
    check_height(made);
    return made;
}

LLAMAVISION_INLINE expression parser::product() {
    auto left = power();
    while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
        auto const& symbol = lexemes_[at_++].text;
        auto const op = symbol == "*"    ? operation::multiply
                        : symbol == "/"  ? operation::divide
                        : symbol == "//" ? operation::floor_divide
                                         : operation::remainder;
        left = binary(op, std::move(left), power());
    }
    return left;
}

// From left to right, and of signed operands: -2 ** 2 is 4 here.
LLAMAVISION_INLINE expression parser::power() {
    auto left = signed_operand();
    while (skip_symbol("**")) left = binary(operation::power, std::move(left), signed_operand());
    return left;
}

LLAMAVISION_INLINE expression parser::signed_operand(bool with_filters) {
    expression made;
    if (is_symbol("-") || is_symbol("+")) {
        level const inside(*this);
        made = make(expression::form::unary, here().at);
        made.operators.push_back(is_symbol("-") ? operation::negative : operation::positive);
        ++at_;
        made.parts.push_back(signed_operand(false));
        check_height(made);
    } else {
        made = primary();
    }
    made = postfix(std::move(made));
    return with_filters ? filters_and_tests(std::move(made)) : std::move(made);
}

LLAMAVISION_INLINE expression parser::primary() {
    auto const& l = here();
    auto made = make(expression::form::constant, l.at);
    switch (l.what) {
    case lexeme::form::name:
        ++at_;
        if (l.text == "true" || l.text == "True")
            made.constant = value(true);
        else if (l.text == "false" || l.text == "False")
            made.constant = value(false);
        else if (l.text == "none" || l.text == "None")
            made.constant = value(nullptr);
        else if (l.text == "self")
            fail(l.at, "the variable \"self\", a template's blocks, is not interpreted");
        else {
            made.what = expression::form::name;
            made.name = l.text;
        }
        return made;
    case lexeme::form::string: {
        std::string text;
        while (here().what == lexeme::form::string) text += lexemes_[at_++].text; // side by side they are one
        made.constant = constant_text(text);
        return made;
    }
    case lexeme::form::integer:
        ++at_;
        made.constant = value(l.integer);
        return made;
    case lexeme::form::real:
        ++at_;
        made.constant = value(l.real);
        return made;
    case lexeme::form::symbol:
        if (l.text == "(") {
            ++at_;
            made = whole(true, true);
            expect_symbol(")");
            return made;
        }
        if (l.text == "[") return list_display();
        if (l.text == "{") return dict_display();
        break;
    default: break;
    }
    unexpected("an expression");
}

LLAMAVISION_INLINE expression parser::postfix(expression base) {
    while (true) {
        if (is_symbol(".") || is_symbol("[")) {
            base = subscript(std::move(base));
        } else if (is_symbol("(")) {
            auto made = make(expression::form::call, here().at);
            made.parts.push_back(std::move(base));
            call_arguments(made);
            base = std::move(made);
        } else {
            return base;
        }
    }
}

LLAMAVISION_INLINE expression parser::filters_and_tests(expression base) {
    while (true) {
        if (is_symbol("|")) {
            base = filter_chain(std::move(base));
        } else if (is_name("is")) {
            base = test(std::move(base));
        } else if (is_symbol("(")) {
            auto made = make(expression::form::call, here().at);
            made.parts.push_back(std::move(base));
            call_arguments(made);
            base = std::move(made);
        } else {
            return base;
        }
    }
}

LLAMAVISION_INLINE expression parser::subscript(expression base) {
    auto const at = here().at;
    if (skip_symbol("[")) return subscribed(std::move(base));
    expect_symbol(".");
    if (here().what == lexeme::form::name) {
        auto made = make(expression::form::attribute, at);
        made.name = lexemes_[at_++].text;
        made.parts.push_back(std::move(base));
        check_height(made);
        return made;
    }
    if (here().what != lexeme::form::integer) unexpected("the name of an attribute, or an index,");
    auto index = make(expression::form::constant, here().at);
    index.constant = value(lexemes_[at_++].integer);
    return join(expression::form::item, std::move(base), std::move(index));
}

// Behind "[": an index or a slice, and "]".
LLAMAVISION_INLINE expression parser::subscribed(expression base) {
    auto made = make(expression::form::slice, base.at);
    made.parts.push_back(std::move(base));
    for (int bound = 0; bound < 3; ++bound) {
        bool const written = !is_symbol(":") && !is_symbol("]");
        made.parts.push_back(written ? any() : make(expression::form::absent, here().at));
        if (bound == 2 || !skip_symbol(":")) break;
    }
    if (is_symbol(",")) fail(here().at, "an index of several parts is not interpreted");
    bool const sliced = made.parts.size() > 2;
    if (!sliced && made.parts[1].what == expression::form::absent) unexpected("an index");
    expect_symbol("]");
    if (!sliced) made.what = expression::form::item;
    while (sliced && made.parts.size() < 4) made.parts.push_back(make(expression::form::absent, made.at));
    check_height(made);
    return made;
}

LLAMAVISION_INLINE void parser::call_arguments(expression& call) {
    level const inside(*this);
    expect_symbol("(");
    bool first = true;
    while (!is_symbol(")")) {
        if (!std::exchange(first, false)) {
            expect_symbol(",");
            if (is_symbol(")")) break;
        }
        if (is_symbol("*") || is_symbol("**"))
            fail(here().at, "arguments unpacked with " + here().text + " are not interpreted");
        if (here().what == lexeme::form::name && ahead().what == lexeme::form::symbol && ahead().text == "=") {
            for (auto const& known : call.keywords)
                if (known == here().text) fail(here().at, "the argument " + in_quotes(known) + " is there twice");
            call.keywords.push_back(here().text);
            at_ += 2;
        } else if (!call.keywords.empty()) {
            fail(here().at, "an argument without a name follows one with a name");
        }
        call.parts.push_back(any());
    }
    ++at_;
    check_height(call);
}

LLAMAVISION_INLINE expression parser::filter_chain(expression base, bool begins_with_name) {
    while (is_symbol("|") || begins_with_name) {
        if (!begins_with_name) ++at_;
        begins_with_name = false;
        auto made = make(expression::form::filter, here().at);
        made.name = any_name("the name of a filter");
        while (skip_symbol(".")) made.name += "." + any_name("the name of a filter");
        made.callee = find_filter(made.name);
        if (!made.callee)
            fail(made.at, is_jinja_filter(made.name) ? "the filter \"" + made.name + "\" is not interpreted"
                                                     : "an unknown filter " + in_quotes(made.name));
        made.parts.push_back(std::move(base));
        if (is_symbol("(")) call_arguments(made);
        check_height(made);
        base = std::move(made);
    }
    return base;
}

LLAMAVISION_INLINE expression parser::test(expression base) {
    auto const at = here().at;
    ++at_; // is
    bool const negated = skip_name("not");
    auto made = make(expression::form::test, here().at);
    made.name = any_name("the name of a test");
    while (skip_symbol(".")) made.name += "." + any_name("the name of a test");
    made.callee = find_test(made.name);
    if (!made.callee)
        fail(made.at, is_jinja_test(made.name) ? "the test \"" + made.name + "\" is not interpreted"
                                               : "an unknown test " + in_quotes(made.name));
    made.parts.push_back(std::move(base));
    auto const form = here().what;
    bool const operand = form == lexeme::form::name || form == lexeme::form::string || form == lexeme::form::integer
                         || form == lexeme::form::real || is_symbol("[") || is_symbol("{");
    if (is_symbol("(")) {
        call_arguments(made);
    } else if (operand && !is_name("else") && !is_name("or") && !is_name("and")) {
        if (is_name("is")) fail(here().at, "a test of a test");
        level const inside(*this);
        made.parts.push_back(postfix(primary()));
    }
    check_height(made);
    if (!negated) return made;
    auto outer = make(expression::form::negation, at);
    outer.parts.push_back(std::move(made));
    check_height(outer);
    return outer;
}

LLAMAVISION_INLINE expression parser::list_display() {
    auto made = make(expression::form::list, here().at);
    ++at_;
    while (!is_symbol("]")) {
        if (!made.parts.empty()) expect_symbol(",");
        if (is_symbol("]")) break;
        made.parts.push_back(any());
    }
    ++at_;
    check_height(made);
    return made;
}

LLAMAVISION_INLINE expression parser::dict_display() {
    auto made = make(expression::form::dict, here().at);
    ++at_;
    while (!is_symbol("}")) {
        if (!made.parts.empty()) expect_symbol(",");
        if (is_symbol("}")) break;
        made.parts.push_back(any());
        expect_symbol(":");
        made.parts.push_back(any());
    }
    ++at_;
    check_height(made);
    return made;
}

LLAMAVISION_INLINE expression parser::one_target(bool with_members) {
    level const inside(*this);
    if (skip_symbol("(")) {
        auto made = target(false);
        expect_symbol(")");
        return made;
    }
    auto made = make(expression::form::name, here().at);
    if (here().what != lexeme::form::name) unexpected("a name to assign to");
    made.name = lexemes_[at_++].text;
    for (std::string_view const fixed : {"true", "false", "none", "True", "False", "None"})
        if (made.name == fixed) fail(made.at, "an assignment to " + made.name);
    if (with_members && skip_symbol(".")) {
        made.what = expression::form::member;
        made.attribute = any_name("the name of an attribute");
    }
    return made;
}

// Names to assign to.
LLAMAVISION_INLINE expression parser::target(bool with_members) {
    auto made = make(expression::form::tuple, here().at);
    bool is_tuple = false;
    while (made.parts.empty() || !(here().what == lexeme::form::block_end || is_symbol(")"))) {
        made.parts.push_back(one_target(with_members));
        if (!skip_symbol(",")) break;
        is_tuple = true;
    }
    if (!is_tuple) return std::move(made.parts.front());
    check_height(made);
    return made;
}

} // namespace llamavision::tokens::jinja

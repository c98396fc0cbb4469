// SPDX-License-Identifier: Apache-2.0
// The parser's statements.
#pragma once

#include <algorithm>
#include <llamavision/support/quoted.hpp>
#include <llamavision/tokens/template/parser.hpp>
#include <utility>

namespace llamavision::tokens::jinja {

LLAMAVISION_INLINE program parse(std::string_view source, std::string const& name) {
    program made;
    made.name = name;
    parser p(lexemes_of(source, made.name), made.name);
    made.body = p.statements({});
    p.expect_end();
    place_variables(made);
    return made;
}

LLAMAVISION_INLINE void parser::fail(template_position at, std::string const& what) const {
    throw template_error(name_, at, what);
}

LLAMAVISION_INLINE void parser::unexpected(std::string_view wanted) const {
    auto const& l = here();
    std::string const found = l.what == lexeme::form::name || l.what == lexeme::form::symbol
                                  ? in_quotes(l.text)
                                  : std::string(l.what == lexeme::form::string       ? "a string"
                                                : l.what == lexeme::form::integer    ? "a number"
                                                : l.what == lexeme::form::real       ? "a number"
                                                : l.what == lexeme::form::end        ? "the end of the template"
                                                : l.what == lexeme::form::output_end ? "the end of the tag"
                                                : l.what == lexeme::form::block_end  ? "the end of the tag"
                                                                                     : "text");
    fail(l.at, found + " where " + std::string(wanted) + " is expected");
}

LLAMAVISION_INLINE bool parser::skip_symbol(std::string_view text) {
    if (!is_symbol(text)) return false;
    ++at_;
    return true;
}

LLAMAVISION_INLINE bool parser::skip_name(std::string_view text) {
    if (!is_name(text)) return false;
    ++at_;
    return true;
}

LLAMAVISION_INLINE void parser::expect_symbol(std::string_view text) {
    if (!skip_symbol(text)) unexpected("'" + std::string(text) + "'");
}

LLAMAVISION_INLINE void parser::expect_name(std::string_view text) {
    if (!skip_name(text)) unexpected("\"" + std::string(text) + "\"");
}

LLAMAVISION_INLINE std::string parser::any_name(std::string_view what) {
    if (here().what != lexeme::form::name) unexpected(what);
    return lexemes_[at_++].text;
}

LLAMAVISION_INLINE void parser::expect(lexeme::form form, std::string_view what) {
    if (here().what != form) unexpected(what);
    ++at_;
}

LLAMAVISION_INLINE void parser::expect_end() {
    if (here().what != lexeme::form::end) unexpected("the end of the template");
}

LLAMAVISION_INLINE block parser::statements(names ends) {
    level const inside(*this);
    block made;
    while (here().what != lexeme::form::end) {
        auto const at = here().at;
        if (here().what == lexeme::form::data || here().what == lexeme::form::output_begin) {
            if (made.empty() || !std::holds_alternative<output>(made.back().what)) made.push_back({at, output{}});
            auto& shown = std::get<output>(made.back().what).shown;
            if (here().what == lexeme::form::data) {
                auto text = make(expression::form::constant, at);
                text.constant = constant_text(lexemes_[at_++].text);
                shown.push_back(std::move(text));
            } else {
                ++at_;
                shown.push_back(whole());
                expect(lexeme::form::output_end, "the end of the tag");
            }
            continue;
        }
        ++at_; // block_begin: every other lexeme is inside of a tag
        if (here().what == lexeme::form::name && std::find(ends.begin(), ends.end(), here().text) != ends.end())
            return made;
        made.push_back(one_statement());
        expect(lexeme::form::block_end, "the end of the tag");
    }
    if (ends.size() > 0) unexpected("{% " + std::string(ends.begin()[ends.size() - 1]) + " %}");
    return made;
}

// What stands between a tag and its end tag, whose name is next unless it is dropped.
LLAMAVISION_INLINE block parser::body(names ends, bool drop_end) {
    skip_symbol(":");
    expect(lexeme::form::block_end, "the end of the tag");
    auto made = statements(ends);
    if (drop_end) ++at_;
    return made;
}

LLAMAVISION_INLINE statement parser::one_statement() {
    auto const at = here().at;
    auto const keyword = any_name("the name of a tag");
    statement made{at, output{}};
    if (keyword == "if")
        made.what = if_statement();
    else if (keyword == "for")
        made.what = for_statement();
    else if (keyword == "set")
        set_statement(made);
    else if (keyword == "macro")
        return macro_statement(at);
    else if (keyword == "call")
        made.what = call_statement();
    else if (keyword == "with")
        made.what = with_statement();
    else if (keyword == "break" || keyword == "continue")
        made.what = jump_statement(at, keyword);
    else if (keyword == "generation") {
        auto const loops = std::exchange(loops_, 0);
        generation g;
        g.body.body = body({"endgeneration"}, true);
        loops_ = loops;
        made.what = std::move(g);
    } else if (keyword == "filter") {
        filter_block f;
        f.filter = filter_chain(make(expression::form::absent, at), true);
        f.body = body({"endfilter"}, true);
        made.what = std::move(f);
    } else {
        refuse_statement(at, keyword);
    }
    return made;
}

LLAMAVISION_INLINE void parser::refuse_statement(template_position at, std::string const& keyword) const {
    static constexpr std::string_view known[] = {"block", "extends",    "include", "import",
                                                 "from",  "autoescape", "print"};
    if (std::find(std::begin(known), std::end(known), keyword) != std::end(known))
        fail(at, "the statement \"" + keyword + "\" is not interpreted");
    fail(at, "an unknown statement " + in_quotes(keyword));
}

LLAMAVISION_INLINE condition parser::if_statement() {
    condition made;
    while (true) {
        made.tests.push_back(whole(false));
        made.bodies.push_back(body({"elif", "else", "endif"}, false));
        if (skip_name("elif")) continue;
        if (skip_name("else"))
            made.bodies.push_back(body({"endif"}, true));
        else
            expect_name("endif");
        return made;
    }
}

LLAMAVISION_INLINE for_loop parser::for_statement() {
    for_loop made;
    made.target = target(false);
    expect_name("in");
    made.iterable = whole(false);
    if (skip_name("if")) made.test = any();
    made.recursive = skip_name("recursive");
    auto const around = made.recursive ? std::exchange(loops_, 0) : loops_;
    ++loops_;
    made.body = body({"endfor", "else"}, false);
    --loops_;
    if (skip_name("else")) {
        made.has_otherwise = true;
        made.otherwise = body({"endfor"}, true);
    } else {
        expect_name("endfor");
    }
    loops_ = around;
    return made;
}

LLAMAVISION_INLINE void parser::set_statement(statement& made) {
    auto assigned_to = target(true);
    if (skip_symbol("=")) {
        made.what = assignment{std::move(assigned_to), whole()};
        return;
    }
    capture c;
    c.target = std::move(assigned_to);
    if (c.target.what == expression::form::tuple) fail(c.target.at, "a block is assigned to several names");
    c.filter = filter_chain(make(expression::form::absent, here().at));
    c.body = body({"endset"}, true);
    made.what = std::move(c);
}

// "(a, b=1)" and the body of a macro or a call.
LLAMAVISION_INLINE macro_body parser::signature_and_body(std::string name, std::string_view end) {
    macro_body made;
    made.name = std::move(name);
    if (end != "endcall" || is_symbol("(")) {
        expect_symbol("(");
        while (!is_symbol(")")) {
            if (!made.parameters.empty()) expect_symbol(",");
            auto const at = here().at;
            auto parameter = any_name("the name of a parameter");
            for (auto const& known : made.parameters)
                if (known == parameter) fail(at, "the parameter " + in_quotes(parameter) + " is there twice");
            if (parameter == "caller") fail(at, "a parameter named \"caller\" is not interpreted");
            if (skip_symbol("="))
                made.defaults.push_back(any());
            else if (!made.defaults.empty())
                fail(at, "a parameter without a default follows one that has a default");
            made.parameters.push_back(std::move(parameter));
        }
        ++at_;
    }
    return made;
}

LLAMAVISION_INLINE statement parser::macro_statement(template_position at) {
    macro_definition made;
    made.macro = signature_and_body(any_name("the name of the macro"), "endmacro");
    auto const loops = std::exchange(loops_, 0);
    made.macro.body = body({"endmacro"}, true);
    loops_ = loops;
    return {at, std::move(made)};
}

LLAMAVISION_INLINE call_block parser::call_statement() {
    call_block made;
    made.caller = signature_and_body("caller", "endcall");
    made.call = any();
    if (made.call.what != expression::form::call) fail(made.call.at, "{% call %} without a call");
    auto const loops = std::exchange(loops_, 0);
    made.caller.body = body({"endcall"}, true);
    loops_ = loops;
    return made;
}

LLAMAVISION_INLINE with_block parser::with_statement() {
    with_block made;
    while (here().what != lexeme::form::block_end) {
        if (!made.targets.empty()) expect_symbol(",");
        made.targets.push_back(target(false));
        expect_symbol("=");
        made.assigned.push_back(any());
    }
    made.body = body({"endwith"}, true);
    return made;
}

LLAMAVISION_INLINE jump parser::jump_statement(template_position at, std::string const& keyword) {
    if (loops_ == 0) fail(at, "\"" + keyword + "\" outside of a loop");
    return keyword == "break" ? jump::leave : jump::next;
}

} // namespace llamavision::tokens::jinja

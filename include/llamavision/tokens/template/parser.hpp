// SPDX-License-Identifier: Apache-2.0
// Lexemes to a program. The grammar is jinja2's, with its precedences where they are not Python's: `~` binds tighter
// than `+`, a sign tighter than `**`, filters and tests tighter than every operator.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/template/lexer.hpp>
#include <llamavision/tokens/template/syntax.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::tokens::jinja {

/// Parses a whole template; `name` is for errors. Source: jinja2 3.1.6, parser.py. Throws template_error with line,
/// column and name of whatever is not interpreted.
[[nodiscard]] program parse(std::string_view source, std::string const& name);

/// Gives every variable its place. Source: jinja2 3.1.6, idtracking.py. Throws template_error.
void place_variables(program& p);

class parser {
  public:
    parser(std::vector<lexeme> lexemes, std::string const& name) : lexemes_(std::move(lexemes)), name_(name) {}

    /// Statements up to a tag that begins with one of `ends`, which stays, or to the end of the template.
    block statements(std::initializer_list<std::string_view> ends);
    void expect_end();

  private:
    using names = std::initializer_list<std::string_view>;

    // Lexemes.
    lexeme const& here() const { return lexemes_[at_]; }
    lexeme const& ahead() const { return lexemes_[std::min(at_ + 1, lexemes_.size() - 1)]; }
    bool is_symbol(std::string_view text) const { return here().what == lexeme::form::symbol && here().text == text; }
    bool is_name(std::string_view text) const { return here().what == lexeme::form::name && here().text == text; }
    bool skip_symbol(std::string_view text);
    bool skip_name(std::string_view text);
    void expect_symbol(std::string_view text);
    void expect_name(std::string_view text);
    std::string any_name(std::string_view what);
    void expect(lexeme::form form, std::string_view what);
    [[noreturn]] void fail(template_position at, std::string const& what) const;
    [[noreturn]] void unexpected(std::string_view wanted) const;
    void check_height(expression& e) const;

    // Statements.
    statement one_statement();
    block body(names ends, bool drop_end);
    condition if_statement();
    for_loop for_statement();
    void set_statement(statement& made);
    macro_body signature_and_body(std::string name, std::string_view end);
    statement macro_statement(template_position at);
    call_block call_statement();
    with_block with_statement();
    jump jump_statement(template_position at, std::string const& keyword);
    [[noreturn]] void refuse_statement(template_position at, std::string const& keyword) const;

    // Expressions, from the loosest to the tightest.
    expression whole(bool with_conditional = true, bool parenthesised = false);
    expression any(bool with_conditional = true);
    expression conditional();
    expression either();
    expression both();
    expression negation();
    expression comparison();
    expression sum();
    expression concatenation();
    expression product();
    expression power();
    expression signed_operand(bool with_filters = true);
    expression primary();
    expression postfix(expression base);
    expression filters_and_tests(expression base);
    expression subscript(expression base);
    expression subscribed(expression base);
    expression filter_chain(expression base, bool begins_with_name = false);
    expression test(expression base);
    void call_arguments(expression& call);
    expression list_display();
    expression dict_display();
    expression target(bool with_members);
    expression one_target(bool with_members);

    expression make(expression::form what, template_position at) const;
    expression join(expression::form what, expression left, expression right) const;
    expression binary(operation op, expression left, expression right) const;

    // Counts how deep the parser is in its own functions.
    class level {
      public:
        explicit level(parser& p) : p_(p) {
            if (++p_.depth_ > deepest) p_.fail(p_.here().at, "the template is nested too deep");
        }
        ~level() { --p_.depth_; }
        level(level const&) = delete;
        level& operator=(level const&) = delete;

      private:
        parser& p_;
    };
    static constexpr std::size_t deepest = 100;   // tags and brackets inside one another
    static constexpr std::uint32_t highest = 200; // operators, filters and brackets on top of one another

    std::vector<lexeme> lexemes_;
    std::string const& name_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0;
    std::size_t loops_ = 0; // around here in the same function: what break and continue need
};

} // namespace llamavision::tokens::jinja

// SPDX-License-Identifier: Apache-2.0
// A parsed template. Every variable has a place: parsing ends with a pass (scopes.ipp) that gives each scope its
// slots, as jinja2's compiler gives them names of Python variables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <llamavision/tokens/template/errors.hpp>
#include <llamavision/tokens/template/value.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace llamavision::tokens::jinja {

/// Where a variable's value is: `slot` of the activation that is `hops` functions further out.
struct variable {
    std::uint32_t hops = 0;
    std::uint32_t slot = 0;
};

enum class operation : std::uint8_t {
    add,
    subtract,
    multiply,
    divide,
    floor_divide,
    remainder,
    power,
    negative,
    positive,
    equal,
    unequal,
    less,
    less_equal,
    greater,
    greater_equal,
    in,
    not_in
};

using filter_function = value (*)(machine&, value const&, arguments&);

/// One node; `parts` are its operands in the order in which they stand in the text.
struct expression {
    enum class form : std::uint8_t {
        absent,      ///< a bound of a slice, an `else`, or a filter's input that is not written
        constant,    ///< constant
        name,        ///< name, place; also a target of an assignment
        member,      ///< target of an assignment: name.attribute
        attribute,   ///< parts[0].name
        item,        ///< parts[0][parts[1]]
        slice,       ///< parts[0][parts[1]:parts[2]:parts[3]]
        call,        ///< parts[0](parts[1], ...), the last keywords.size() of them by keyword
        filter,      ///< parts[0] | name(parts[1], ...)
        test,        ///< parts[0] is name(parts[1], ...)
        unary,       ///< operators[0] parts[0]
        binary,      ///< parts[0] operators[0] parts[1]
        compare,     ///< parts[0] operators[0] parts[1] operators[1] parts[2] ..., as Python chains them
        both,        ///< parts[0] and parts[1]
        either,      ///< parts[0] or parts[1]
        negation,    ///< not parts[0]
        concat,      ///< parts[0] ~ parts[1] ~ ...
        conditional, ///< parts[1] if parts[0] else parts[2]
        list,
        tuple, ///< also a target of an assignment
        dict   ///< parts[0]: parts[1], parts[2]: parts[3], ...
    };
    form what = form::absent;
    std::uint32_t height = 0; ///< nodes from here down to the deepest leaf
    template_position at{};
    variable place{};
    std::string name;
    std::string attribute; ///< of a member
    value constant;
    filter_function callee = nullptr; ///< of a filter or test
    std::vector<operation> operators;
    std::vector<std::string> keywords;
    std::vector<expression> parts;
};

/// How a scope begins: what each of its variables holds before anything is assigned to it.
struct first_value {
    enum class source : std::uint8_t {
        given,  ///< a parameter: whoever enters the scope sets it
        inputs, ///< what the caller of render() gives under this name, or a global function
        outer,  ///< a copy of the variable of the same name further out
        nothing
    };
    std::uint32_t slot = 0;
    source from = source::nothing;
    variable outer{};
    std::string name;
};
using scope = std::vector<first_value>;

/// Code that is entered like a Python function, with slots of its own.
struct function_shape {
    std::uint32_t slots = 0;
    bool encloses = false; ///< another function reads its slots, so they live until the end of the rendering
};

struct statement;
using block = std::vector<statement>;

struct output {
    std::vector<expression> shown;
};

struct condition {
    std::vector<expression> tests; ///< of if and elif
    std::vector<block> bodies;     ///< one for each test, and one more if there is an else
};

struct for_loop {
    expression target, iterable, test;
    expression test_target; ///< the target's variables in the function of the test
    block body, otherwise;
    bool has_otherwise = false;
    bool recursive = false;
    bool uses_loop = false;
    std::uint32_t loop_slot = 0;
    scope body_scope, otherwise_scope, test_scope;
    function_shape test_shape{}, recursive_shape{};
};

struct assignment {
    expression target, assigned;
};

/// {% set x %}...{% endset %}, perhaps through filters.
struct capture {
    expression target, filter;
    block body;
    scope inside;
};

/// A macro, the block of a call, or a generation block: a function that returns what its body prints.
struct macro_body {
    std::string name;
    std::vector<std::string> parameters;
    std::vector<std::uint32_t> slots; ///< of the parameters
    std::vector<expression> defaults; ///< of the last parameters
    block body;
    scope inside;
    function_shape shape{};
    bool takes_caller = false, takes_keywords = false, takes_rest = false;
    std::uint32_t caller = 0, keywords = 0, rest = 0; ///< their slots
};

struct macro_definition {
    variable place{};
    macro_body macro;
};

struct call_block {
    expression call;
    macro_body caller;
};

struct generation {
    macro_body body;
};

struct filter_block {
    expression filter;
    block body;
    scope inside;
};

struct with_block {
    std::vector<expression> targets, assigned;
    block body;
    scope inside;
};

enum class jump : std::uint8_t { leave, next };

struct statement {
    template_position at{};
    std::variant<output, condition, for_loop, assignment, capture, macro_definition, call_block, generation,
                 filter_block, with_block, jump>
        what{output{}};
};

/// What a template's text says.
struct program {
    std::string name;
    block body;
    scope outermost;
    function_shape shape{};
    std::vector<std::string> inputs; ///< names that are read and not assigned before: what render() may be given
};

} // namespace llamavision::tokens::jinja

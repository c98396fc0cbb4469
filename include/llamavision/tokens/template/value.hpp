// SPDX-License-Identifier: Apache-2.0
// Values of a running template: Python's, as far as templates see them. Text, lists, tuples and dicts never change
// once made, as in transformers' sandbox; they are shared, not copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <llamavision/tokens/template/marked_text.hpp>
#include <llamavision/tokens/template/meter.hpp>
#include <llamavision/tokens/template/text_tools.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens::jinja {

enum class kind : std::uint8_t {
    missing,   ///< no value at all: a variable that nothing was assigned to, an argument that was not given
    undefined, ///< what reading such a variable gives
    none,
    boolean,
    integer, ///< 64 bits; Python's integers have no limit, ours are refused beyond
    real,
    text,
    list,
    tuple,
    dict,
    view, ///< dict.keys(), values() and items()
    range,
    name_space, ///< namespace(...), the only thing that a template can change
    iterator,   ///< a generator: gives each of its values once
    loop,
    cycler,
    joiner,
    macro,
    method,  ///< of a text, list, tuple or dict
    function ///< a global one
};

/// What values share. Counts its memory while it lives.
struct object {
    object() = default;
    object(object const&) = delete;
    object& operator=(object const&) = delete;
    virtual ~object() {
        if (count) count->memory -= bytes;
    }
    meter* count = nullptr;
    std::size_t bytes = 0;
    std::uint32_t depth = 0; ///< how deep values lie in values: destructors and printing recurse so far
};

class value {
  public:
    value() = default;
    value(std::nullptr_t) : kind_(kind::none) {}
    value(bool v) : kind_(kind::boolean), integer_(v) {}
    value(std::int64_t v) : kind_(kind::integer), integer_(v) {}
    value(double v) : kind_(kind::real), real_(v) {}
    value(kind k, std::shared_ptr<object> held) : kind_(k), held_(std::move(held)) {}
    template <class T>
    value(T const*) = delete; // would be a boolean

    [[nodiscard]] kind what() const { return kind_; }
    [[nodiscard]] bool is(kind k) const { return kind_ == k; }
    [[nodiscard]] bool is_missing() const { return kind_ == kind::missing; }
    [[nodiscard]] bool boolean() const { return integer_ != 0; }
    [[nodiscard]] std::int64_t integer() const { return integer_; } ///< of a boolean too: Python's are integers
    [[nodiscard]] double real() const { return real_; }

    /// The object behind it; the caller has looked at what().
    template <class Object>
    [[nodiscard]] Object& as() const {
        return static_cast<Object&>(*held_);
    }
    [[nodiscard]] object const* held() const { return held_.get(); }
    [[nodiscard]] std::uint32_t depth() const { return held_ ? held_->depth : 0; }
    [[nodiscard]] bool is_shared() const { return held_.use_count() > 1; }

    /// A boolean or an integer: Python's bool is a kind of int.
    [[nodiscard]] bool is_integral() const { return kind_ == kind::integer || kind_ == kind::boolean; }
    [[nodiscard]] bool is_number() const { return is_integral() || kind_ == kind::real; }
    [[nodiscard]] double number() const { return kind_ == kind::real ? real_ : static_cast<double>(integer_); }

  private:
    kind kind_ = kind::missing;
    union {
        std::int64_t integer_ = 0;
        double real_;
    };
    std::shared_ptr<object> held_;
};

using values = std::vector<value>;

/// Why there is no value, for the error that using it becomes.
struct undefined_object : object {
    std::string hint;
};

struct text_object : object {
    marked_text text;
    bool markup = false;        ///< made by the filters safe and escape: markupsafe's class of str
    std::size_t characters = 0; ///< code points
};

/// Text of the template itself, which no rendering pays for.
inline value constant_text(std::string const& bytes) {
    auto made = std::make_shared<text_object>();
    made->characters = characters_in(bytes);
    made->text.append(bytes, false);
    return {kind::text, std::move(made)};
}

/// A list or a tuple.
struct sequence_object : object {
    values items;
};

struct dict_object : object {
    std::vector<std::pair<value, value>> entries; ///< in the order of insertion
};

struct view_object : object {
    enum class part { key, mapped, item } shown = part::key;
    value dict;
};

struct range_object : object {
    std::int64_t start = 0, stop = 0, step = 1;
    std::size_t length = 0;
    [[nodiscard]] std::int64_t at(std::size_t index) const { return start + static_cast<std::int64_t>(index) * step; }
};

/// Members in the order of assignment.
struct name_space_object : object {
    std::vector<std::pair<std::string, value>> members;
};

class machine;
struct activation;
struct for_loop;

/// A generator, or the walk over a list.
struct iterator_object : object {
    /// Stores the next value and returns true, or returns false at the end.
    virtual bool next(machine& m, value& out) = 0;
};

/// What `loop` names in a loop's body.
struct loop_object : object {
    std::shared_ptr<iterator_object> items;
    value iterable;
    std::int64_t index0 = -1;
    std::int64_t depth0 = 0;
    std::int64_t length = -1; ///< not known yet
    value before, current, after;
    values changed;                  ///< the arguments of the last call of loop.changed
    bool asked = false;              ///< whether there was one
    for_loop const* again = nullptr; ///< a recursive loop, and where it was entered from
    activation* around = nullptr;
};

/// cycler(...): gives its items in turn.
struct cycler_object : object {
    values items;
    std::size_t at = 0;
};

/// joiner(...): nothing when first called, then the separator.
struct joiner_object : object {
    value separator;
    bool used = false;
};

struct method_object : object {
    value self;
    std::string name;
};

struct macro_body;

/// A macro, and the activation whose variables its body sees.
struct macro_object : object {
    macro_body const* body = nullptr;
    activation* around = nullptr;
};

/// The arguments of a call: of functions, methods, filters, tests and macros.
struct arguments {
    values positional;
    std::vector<std::pair<std::string_view, value>> named;
};

using global_function = value (*)(machine&, arguments&);

struct function_object : object {
    std::string name;
    global_function call = nullptr;
};

} // namespace llamavision::tokens::jinja

// SPDX-License-Identifier: Apache-2.0
// Runs a program: walks its statements, evaluates its expressions, counts what that costs. What values can do (Python's
// operators, methods, printing) is in the functions below the class; filters, tests and globals are found by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/template/calendar.hpp>
#include <llamavision/tokens/template/errors.hpp>
#include <llamavision/tokens/template/names.hpp>
#include <llamavision/tokens/template/syntax.hpp>
#include <llamavision/tokens/template/value.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens::jinja {

/// The variables of a function that runs.
struct activation {
    activation* outer = nullptr; ///< of the function around it in the text
    values slots;
};

/// Text that is being printed.
class buffer {
  public:
    explicit buffer(machine& m) : m_(m) {}
    ~buffer();
    buffer(buffer const&) = delete;
    buffer& operator=(buffer const&) = delete;
    void print(value const& v);
    marked_text take();

  private:
    machine& m_;
    marked_text text_;
    std::size_t counted_ = 0;
};

class machine {
  public:
    machine(program const& p, template_limits const& limits, calendar_time now);
    ~machine();
    machine(machine const&) = delete;
    machine& operator=(machine const&) = delete;

    /// Renders with these inputs, values made by this machine.
    marked_text run(std::map<std::string, value, std::less<>> inputs);

    /// Counts work: a value handled counts 1, 16 bytes of text count 1.
    void charge(std::size_t work);

    /// Throws rendering_error with the place of what is being evaluated.
    [[noreturn]] void fail(std::string const& what) const;

    /// While it lives, the machine is one level deeper.
    class level {
      public:
        explicit level(machine& m) : m_(m) {
            if (++m_.depth_ > m_.meter_.limits.depth) m_.too_deep();
        }
        ~level() { --m_.depth_; }
        level(level const&) = delete;
        level& operator=(level const&) = delete;

      private:
        machine& m_;
    };

    // Making values. Each is counted against the limit of memory.
    value text(marked_text made, bool markup = false);
    value text(std::string_view trusted) { return text(marked_text(trusted, false)); }
    value list(values items) { return sequence(kind::list, std::move(items)); }
    value tuple(values items) { return sequence(kind::tuple, std::move(items)); }
    value dict(std::vector<std::pair<value, value>> entries);
    value name_space(std::vector<std::pair<std::string, value>> members);
    value undefined(std::string hint);
    template <class Object>
    std::shared_ptr<Object> make(std::size_t bytes = 0) {
        auto made = std::make_shared<Object>();
        count(*made, sizeof(Object) + bytes);
        return made;
    }
    /// Counts an object that has grown, or whose parts lie `depth` deep in one another.
    void count(object& made, std::size_t bytes);
    void check_depth(object& made, std::uint32_t depth) const;

    value evaluate(expression const& e);
    value call(value const& callee, arguments& given);
    /// What a macro's body prints.
    value call_macro(macro_object const& macro, arguments& given);
    void assign(expression const& target, value v);

    calendar_time const& now() const { return now_; }
    meter& counted() { return meter_; }

    /// The next value of an iterator, one level deeper.
    bool pull(iterator_object& items, value& out);

    /// Whether a loop's test holds for an item; in the activation of the test's function.
    bool passes(for_loop const& f, activation& test, value item);
    void enter(scope const& s);

    /// Runs something in another function's activation.
    template <class Run>
    auto within(activation& other, Run run) {
        struct restore {
            machine& m;
            activation* before;
            ~restore() { m.here_ = before; }
        } const back{*this, std::exchange(here_, &other)};
        return run();
    }

  private:
    enum class flow { on, leave, next };

    value sequence(kind what, values items);
    [[noreturn]] void too_deep() const;
    value& slot(variable v) const;

    flow execute(block const& b, buffer& out);
    flow run(output const& o, buffer& out);
    flow run(condition const& c, buffer& out);
    flow run(for_loop const& f, buffer& out);
    flow run(assignment const& a, buffer& out);
    flow run(capture const& c, buffer& out);
    flow run(macro_definition const& d, buffer& out);
    flow run(call_block const& c, buffer& out);
    flow run(generation const& g, buffer& out);
    flow run(filter_block const& f, buffer& out);
    flow run(with_block const& w, buffer& out);
    flow run(jump j, buffer& out);
    flow turns(for_loop const& f, value const& iterable, std::int64_t depth0, activation* around, buffer& out);
    value recurse(for_loop const& f, value const& iterable, std::int64_t depth0, activation* around);
    void leave(scope const& s);
    value macro(macro_body const& body);

    value name(expression const& e);
    value call_expression(expression const& e, value const* caller);
    value filtered(expression const& e, value const& input);
    value compared(expression const& e);
    void fill(arguments& given, expression const& e, std::size_t first);

    meter meter_; // the first member: it outlives every value
    program const& program_;
    calendar_time now_;
    std::map<std::string, value, std::less<>> inputs_;
    std::vector<std::shared_ptr<object>> changing_; // namespaces and loops, which could hold themselves
    std::vector<std::unique_ptr<activation>> kept_; // activations that macros may look into
    activation* here_ = nullptr;
    expression const* at_ = nullptr;
    std::size_t depth_ = 0;

    friend class buffer;
};

/// Python's binding of arguments to parameters; missing where nothing was given.
class bound {
  public:
    /// Throws rendering_error for an argument too many, of an unknown name, or one of the `required` first missing.
    bound(machine& m, std::string_view callee, arguments& given, std::initializer_list<std::string_view> names,
          std::size_t required = 0);
    value const& operator[](std::size_t index) const { return values_[index]; }
    bool has(std::size_t index) const { return !values_[index].is_missing(); }

  private:
    values values_;
};

// Asking values, as Python does.
[[nodiscard]] std::string_view type_name(value const& v);
[[nodiscard]] bool truth(machine& m, value const& v);
[[nodiscard]] bool equal(machine& m, value const& a, value const& b);
[[nodiscard]] bool less(machine& m, value const& a, value const& b, char const* symbol = "<");
[[nodiscard]] bool contains(machine& m, value const& all, value const& one);
[[nodiscard]] bool compare(machine& m, operation op, value const& a, value const& b);
[[nodiscard]] value unary(machine& m, operation op, value const& v);
[[nodiscard]] value binary(machine& m, operation op, value const& a, value const& b);
[[nodiscard]] value checked_integer(machine& m, bool overflow, std::int64_t result);

/// len(v); nothing if Python's raises TypeError.
[[nodiscard]] std::optional<std::size_t> length_of(value const& v);
/// The integer of an int or bool. Throws rendering_error for others; `what` names it.
[[nodiscard]] std::int64_t integer_of(machine& m, value const& v, std::string_view what);

// Printing.
void append_str(machine& m, marked_text& out, value const& v);
void append_repr(machine& m, marked_text& out, value const& v);
[[nodiscard]] marked_text str(machine& m, value const& v);
[[nodiscard]] std::string real_text(double v);
[[nodiscard]] marked_text escaped(marked_text const& text);
[[nodiscard]] marked_text formatted(machine& m, marked_text const& format, arguments const& given);

struct json_format {
    bool ascii = false;
    bool sorted = false;
    std::optional<std::string> indent{};
    marked_text item_separator{", ", false}, key_separator{": ", false};
};
void append_json(machine& m, marked_text& out, value const& v, json_format const& f, std::size_t depth = 0);

// Taking values apart.
[[nodiscard]] value attribute(machine& m, value const& self, std::string_view name);
[[nodiscard]] value item(machine& m, value const& self, value const& key);
[[nodiscard]] value sliced(machine& m, value const& self, value const& start, value const& stop, value const& step);
[[nodiscard]] value const* find_entry(machine& m, dict_object const& d, value const& key);
[[nodiscard]] value const* find_entry(dict_object const& d, std::string_view key);
/// Adds an entry, or replaces the value of an equal key. Throws rendering_error for a key that Python cannot hash.
void put_entry(machine& m, std::vector<std::pair<value, value>>& entries, value key, value v);
[[nodiscard]] bool is_hashable(value const& key);
[[nodiscard]] value call_method(machine& m, method_object const& method, arguments& given);
[[nodiscard]] value call_text_method(machine& m, value const& self, std::string_view name, arguments& given);
[[nodiscard]] value loop_attribute(machine& m, loop_object& loop, std::string_view name, bool& known);
[[nodiscard]] std::size_t loop_length(machine& m, loop_object& loop);

/// Throws rendering_error if `v` cannot be iterated over.
[[nodiscard]] std::shared_ptr<iterator_object> iterate(machine& m, value const& v);
[[nodiscard]] values drained(machine& m, value const& v);
[[nodiscard]] std::shared_ptr<iterator_object> iterator_of(machine& m, values items);

} // namespace llamavision::tokens::jinja

// SPDX-License-Identifier: Apache-2.0
// Reads the part of Python's pickle format in which state dicts are written. A pickle is a program for a stack machine
// that can call any function. The machine here knows the few names that weights need, and calls nothing.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// Kinds of values, and which member of pickle_value holds each.
enum class pickled : std::uint8_t {
    none,
    boolean,    ///< `integer` is 0 or 1
    integer,    ///< `integer`
    real,       ///< `real`
    text,       ///< `text`
    name,       ///< a class or function: `text` is "module name"
    tuple,      ///< `items`
    list,       ///< `items`
    dictionary, ///< `items`: key, value, key, value, ...
    persistent, ///< `items[0]`: the id of something outside of the pickle, here a storage
    call        ///< `items`: the name of a function and the tuple of its arguments
};

/// One value. It refers to others by their index in pickle_content::values, since values may be shared.
struct pickle_value {
    pickled kind = pickled::none;
    std::int64_t integer = 0;
    double real = 0;
    std::string_view text{}; ///< a view of the pickle's bytes
    std::vector<std::uint32_t>
        items{}; ///< indices of values; they may form circles, so follow them to a fixed depth only
};

/// All values that the program makes, and the index of its result.
struct pickle_content {
    std::vector<pickle_value> values;
    std::uint32_t root = 0;

    [[nodiscard]] pickle_value const& operator[](std::uint32_t number) const { return values[number]; }
};

namespace detail {

/// The names that a state dict of weights refers to: functions, whose calls are kept as data, and types of storages and
/// of elements.
inline constexpr std::array<std::string_view, 4> pickle_functions{
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter"};
inline constexpr std::array<std::string_view, 28> pickle_types{"torch FloatStorage",
                                                               "torch HalfStorage",
                                                               "torch BFloat16Storage",
                                                               "torch DoubleStorage",
                                                               "torch LongStorage",
                                                               "torch IntStorage",
                                                               "torch ShortStorage",
                                                               "torch CharStorage",
                                                               "torch ByteStorage",
                                                               "torch BoolStorage",
                                                               "torch.storage UntypedStorage",
                                                               "torch float32",
                                                               "torch float",
                                                               "torch float16",
                                                               "torch half",
                                                               "torch bfloat16",
                                                               "torch float64",
                                                               "torch int64",
                                                               "torch int32",
                                                               "torch int16",
                                                               "torch int8",
                                                               "torch uint8",
                                                               "torch uint16",
                                                               "torch uint32",
                                                               "torch uint64",
                                                               "torch bool",
                                                               "torch float8_e4m3fn",
                                                               "torch float8_e5m2"};

/// The stack machine. Every instruction has at least one byte and makes at most one value, so the values, the stack and
/// the memo cannot have more entries than the program has bytes.
class pickle_machine {
  public:
    pickle_machine(std::span<std::byte const> program, std::string const& name) : program_(program), name_(name) {}

    [[nodiscard]] pickle_content run() {
        if (program_.size() > limit) fail("is larger than any list of tensors");
        while (!stopped_) step();
        if (at_ != program_.size()) fail("something follows after the end");
        return std::move(content_);
    }

  private:
    using index = std::uint32_t;
    static constexpr std::size_t limit =
        std::size_t{16} << 20; ///< the largest model has 300 kB; one byte of a pickle takes up to 64 in memory

    [[noreturn]] void fail(std::string const& what) const {
        throw format_error(name_ + ", byte " + std::to_string(begin_) + ": " + what);
    }

    [[nodiscard]] std::string_view take(std::uint64_t size) {
        if (size > program_.size() - at_) fail("the pickle is cut off");
        std::string_view const text(reinterpret_cast<char const*>(program_.data()) + at_,
                                    static_cast<std::size_t>(size));
        at_ += static_cast<std::size_t>(size);
        return text;
    }
    /// A little-endian number of `size` bytes.
    [[nodiscard]] std::uint64_t number(std::size_t size) {
        std::uint64_t value = 0, shift = 0;
        for (char const c : take(size)) {
            value |= std::uint64_t{static_cast<unsigned char>(c)} << shift;
            shift += 8;
        }
        return value;
    }
    [[nodiscard]] std::string_view line() {
        std::string_view const rest(reinterpret_cast<char const*>(program_.data()) + at_, program_.size() - at_);
        std::size_t const end = rest.find('\n');
        if (end == std::string_view::npos) fail("the pickle is cut off");
        return take(end + 1).substr(0, end);
    }

    index make(pickle_value value) {
        content_.values.push_back(std::move(value));
        return static_cast<index>(content_.values.size() - 1);
    }
    void push(pickle_value value) { stack_.push_back(make(std::move(value))); }
    /// The size of the stack at the last mark; values below it must not be popped.
    [[nodiscard]] std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
    [[nodiscard]] index top() const {
        if (stack_.size() <= floor()) fail("an instruction finds nothing on the stack");
        return stack_.back();
    }
    index pop() {
        index const value = top();
        stack_.pop_back();
        return value;
    }
    /// Removes and returns all values above the last mark, and the mark.
    [[nodiscard]] std::vector<index> pop_to_mark() {
        if (marks_.empty()) fail("an instruction finds no mark on the stack");
        auto const begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
        std::vector<index> items(begin, stack_.end());
        stack_.erase(begin, stack_.end());
        marks_.pop_back();
        return items;
    }
    void push_tuple(std::size_t count) {
        std::vector<index> items(count);
        for (std::size_t i = count; i-- > 0;) items[i] = pop();
        push({.kind = pickled::tuple, .items = std::move(items)});
    }
    /// Adds items to the container on top of the stack, which must be of that kind.
    void extend(pickled kind, std::vector<index> const& items) {
        auto& container = content_.values[top()];
        if (container.kind != kind || (kind == pickled::dictionary && items.size() % 2 != 0))
            fail(kind == pickled::list ? "appends to what is no list" : "puts entries into what is no dictionary");
        container.items.insert(container.items.end(), items.begin(), items.end());
    }

    void push_name(std::string_view module, std::string_view name) {
        std::string const full = std::string(module) + " " + std::string(name);
        for (std::span<std::string_view const> const known :
             {std::span<std::string_view const>(pickle_functions), std::span<std::string_view const>(pickle_types)})
            if (auto const at = std::find(known.begin(), known.end(), full); at != known.end())
                return push({.kind = pickled::name, .text = *at});
        fail("refers to " + in_quotes(std::string(module) + "." + std::string(name))
             + ", which weights have no need of; nothing was executed");
    }

    /// REDUCE: a call of OrderedDict makes a dictionary; calls of the functions that rebuild tensors are kept.
    void call() {
        index const arguments = pop(), function = pop();
        auto const& name = content_[function];
        if (content_[arguments].kind != pickled::tuple) fail("calls something with what are no arguments");
        auto const known = std::find(pickle_functions.begin(), pickle_functions.end(), name.text);
        if (name.kind != pickled::name || known == pickle_functions.end()) fail("calls what is no function");
        if (known != pickle_functions.begin()) return push({.kind = pickled::call, .items = {function, arguments}});
        if (!content_[arguments].items.empty()) fail("fills an OrderedDict from a list, as torch.save does not");
        push({.kind = pickled::dictionary});
    }

    void push_integer() { // LONG1: two's complement
        auto const size = static_cast<std::size_t>(number(1));
        std::string_view const bytes = take(size);
        if (size > 9 || (size == 9 && bytes.back() != '\0' && bytes.back() != '\xff'))
            fail("an integer has " + std::to_string(size) + " bytes, more than can be counted");
        std::uint64_t value = size > 0 && (bytes.back() & 0x80) ? ~std::uint64_t{0} : 0;
        for (std::size_t i = 0; i < std::min<std::size_t>(size, 8); ++i) {
            value &= ~(std::uint64_t{0xFF} << (8 * i));
            value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
        }
        if (size == 9 && (bytes.back() != '\0') != (value >> 63 != 0)) fail("an integer is more than can be counted");
        push({.kind = pickled::integer, .integer = static_cast<std::int64_t>(value)});
    }

    void remember(std::uint64_t slot) { memo_[slot] = top(); }
    void recall(std::uint64_t slot) {
        auto const at = memo_.find(slot);
        if (at == memo_.end()) fail("recalls the value " + std::to_string(slot) + ", which was not stored");
        stack_.push_back(at->second);
    }

    void step() {
        begin_ = at_;
        auto const opcode = static_cast<unsigned char>(take(1).front());
        switch (opcode) { // by the names of Python's pickletools
        case 0x80:        // PROTO
            if (number(1) > 5) fail("the pickle has a protocol that is not known");
            break;
        case 0x95: // FRAME: a hint for streams
            if (number(8) > program_.size() - at_) fail("the pickle is cut off");
            break;
        case '(': marks_.push_back(stack_.size()); break;                 // MARK
        case '0': static_cast<void>(pop()); break;                        // POP
        case 'N': push({}); break;                                        // NONE
        case 0x88: push({.kind = pickled::boolean, .integer = 1}); break; // NEWTRUE
        case 0x89: push({.kind = pickled::boolean}); break;               // NEWFALSE
        case 'J':                                                         // BININT
            push({.kind = pickled::integer, .integer = static_cast<std::int32_t>(number(4))});
            break;
        case 'K': push({.kind = pickled::integer, .integer = static_cast<std::int64_t>(number(1))}); break; // BININT1
        case 'M': push({.kind = pickled::integer, .integer = static_cast<std::int64_t>(number(2))}); break; // BININT2
        case 0x8a: push_integer(); break;                                                                   // LONG1
        case 'G': { // BINFLOAT: the highest byte first
            std::uint64_t bits = 0;
            for (char const c : take(8)) bits = bits << 8 | static_cast<unsigned char>(c);
            push({.kind = pickled::real, .real = std::bit_cast<double>(bits)});
            break;
        }
        case 'X': push({.kind = pickled::text, .text = take(number(4))}); break;  // BINUNICODE
        case 0x8c: push({.kind = pickled::text, .text = take(number(1))}); break; // SHORT_BINUNICODE
        case 0x8d: push({.kind = pickled::text, .text = take(number(8))}); break; // BINUNICODE8
        case '}': push({.kind = pickled::dictionary}); break;                     // EMPTY_DICT
        case ']': push({.kind = pickled::list}); break;                           // EMPTY_LIST
        case ')': push({.kind = pickled::tuple}); break;                          // EMPTY_TUPLE
        case 't': push({.kind = pickled::tuple, .items = pop_to_mark()}); break;  // TUPLE
        case 0x85: push_tuple(1); break;                                          // TUPLE1
        case 0x86: push_tuple(2); break;                                          // TUPLE2
        case 0x87: push_tuple(3); break;                                          // TUPLE3
        case 'a': {                                                               // APPEND
            index const value = pop();
            extend(pickled::list, {value});
            break;
        }
        case 'e': extend(pickled::list, pop_to_mark()); break; // APPENDS
        case 's': {                                            // SETITEM
            index const value = pop(), key = pop();
            extend(pickled::dictionary, {key, value});
            break;
        }
        case 'u': extend(pickled::dictionary, pop_to_mark()); break; // SETITEMS
        case 'q': remember(number(1)); break;                        // BINPUT
        case 'r': remember(number(4)); break;                        // LONG_BINPUT
        case 0x94: remember(memo_.size()); break;                    // MEMOIZE
        case 'h': recall(number(1)); break;                          // BINGET
        case 'j': recall(number(4)); break;                          // LONG_BINGET
        case 'c': {                                                  // GLOBAL
            auto const module = line();
            push_name(module, line());
            break;
        }
        case 0x93: { // STACK_GLOBAL
            auto const name = content_[pop()], module = content_[pop()];
            if (name.kind != pickled::text || module.kind != pickled::text) fail("a name is no text");
            push_name(module.text, name.text);
            break;
        }
        case 'Q': push({.kind = pickled::persistent, .items = {pop()}}); break; // BINPERSID
        case 'R': call(); break;                                                // REDUCE
        case 'b':                                                               // BUILD: attaches `_metadata`
            static_cast<void>(pop());
            if (content_[top()].kind != pickled::dictionary) fail("gives a state to what is no dictionary");
            break;
        case '.': // STOP
            content_.root = pop();
            if (!stack_.empty() || !marks_.empty()) fail("the pickle ends with several values");
            stopped_ = true;
            break;
        default: unknown(opcode);
        }
    }

    [[noreturn]] void unknown(unsigned char opcode) const {
        constexpr char digits[] = "0123456789abcdef";
        std::string const code{'0', 'x', digits[opcode >> 4], digits[opcode & 15]};
        fail("the instruction " + code
             + (opcode > 0x20 && opcode < 0x7f ? std::string(" '") + static_cast<char>(opcode) + "'" : std::string())
             + " is none that lists of tensors are written with; nothing was executed");
    }

    std::span<std::byte const> program_;
    std::string const& name_;
    std::size_t at_ = 0, begin_ = 0; ///< the next byte, and the current instruction
    bool stopped_ = false;
    pickle_content content_;
    std::vector<index> stack_;
    std::vector<std::size_t> marks_; ///< sizes of the stack
    std::map<std::uint64_t, index> memo_;
};

} // namespace detail

/// Reads the pickle `program`. Texts in the result view its bytes. `name` is the file's name in errors. No function is
/// called.
/// @throws format_error for a pickle that is cut off or contradicts itself, and for instructions and names that state
///         dicts do not need
[[nodiscard]] inline pickle_content read_pickle(std::span<std::byte const> program, std::string const& name) {
    return detail::pickle_machine(program, name).run();
}

} // namespace llamavision::checkpoint

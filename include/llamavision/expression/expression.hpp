// SPDX-License-Identifier: Apache-2.0
// What an expression is: an empty type with a width on either side, the weights it names, and the parts it is made of.
// Words (layers/) are expressions without parts; the grammar (grammar.hpp) joins them; sentences give a name to a
// joint.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include <llamavision/expression/name.hpp>

namespace llamavision {

/// A width that the expression takes as it comes: silu works on rows of any width.
inline constexpr std::size_t any_width = static_cast<std::size_t>(-1);
/// What flows before there are rows of floats: token ids, and the pixels of tiles.
inline constexpr std::size_t token_ids = static_cast<std::size_t>(-2);
inline constexpr std::size_t tile_pixels = static_cast<std::size_t>(-3);

template <class... Parts>
struct part_list {
    static constexpr std::size_t size = sizeof...(Parts);
};

/// One weight of a word. Its full name is path + the word's label + suffix, in Hugging Face's spelling.
struct parameter {
    std::string_view suffix;            ///< ".weight", ".bias", ".gate", or "" where the label is the whole name
    std::array<std::size_t, 4> shape{}; ///< slowest dimension first; unused entries are zero
    std::size_t rank = 1;
    /// A matrix stays in the checkpoint's format, mapped; the rest (norms, biases, gates) is widened to floats.
    bool is_matrix = false;
    /// Only ever multiplied with: a backend may lay it out in its own way.
    bool is_product = false;

    [[nodiscard]] constexpr std::size_t count() const {
        std::size_t product = 1;
        for (std::size_t i = 0; i < rank; ++i) product *= shape[i];
        return product;
    }
};

/// Every expression derives from this; argument-dependent lookup finds the operators of grammar.hpp through it.
/// The members below are defaults that words and grammar nodes shadow.
struct expression_base {
    static constexpr std::size_t in = any_width;
    static constexpr std::size_t out = any_width;
    /// The module's name; empty for what has none.
    static constexpr std::string_view label{};
    /// What `describe` calls an expression that has no name.
    static constexpr std::string_view kind{};
    static constexpr std::array<parameter, 0> parameters{};
    using parts = part_list<>;
    /// y may be x: the expression keeps rows and width, and reads each row before writing it.
    static constexpr bool in_place = false;
    /// Whether the label names something whose output a watcher wants to see.
    static constexpr bool is_observed = true;
    /// False for words: they call kernels and take no scratch memory.
    static constexpr bool is_grammar = false;
};

template <class E>
concept expression = std::derived_from<E, expression_base>;

/// A named composition: `struct swiglu : module { static constexpr auto is = ...; };`. It keeps symbols short, and
/// is what `describe` prints as a heading. Everything else about it is what its body says.
struct module : expression_base {};

template <class E>
concept is_module = std::derived_from<E, module>;

namespace detail {
template <class E>
struct body_of {
    using type = E;
};
template <is_module E>
struct body_of<E> {
    using type = typename body_of<std::remove_const_t<decltype(E::is)>>::type;
};
} // namespace detail

/// The expression itself, or what the sentence says.
template <class E>
using body = typename detail::body_of<E>::type;

template <class E>
inline constexpr std::size_t width_in = body<E>::in;
template <class E>
inline constexpr std::size_t width_out = body<E>::out;
template <class E>
inline constexpr bool works_in_place = body<E>::in_place;

} // namespace llamavision

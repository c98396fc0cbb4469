// SPDX-License-Identifier: Apache-2.0
// What an expression is: an empty type with a width on either side, the weights it names, and the parts it is made of.
// Layers (layers/) are expressions without parts; the grammar (grammar.hpp) joins them; modules give a name to what was
// joined.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
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

/// What a weight is to its layer. It decides how the weight is stored, whether a backend may repack it, and what random
/// weights look like (model/random_weights.hpp).
enum class weight_role : std::uint8_t {
    product,    ///< a matrix that rows are multiplied with, and nothing else: a backend may repack it
    table,      ///< a matrix whose rows are looked up or added; it stays as the checkpoint stores it
    tile_table, ///< a table with a row for each arrangement of tiles, and in it a vector for each tile slot
    vector,     ///< a learned row of activations
    scale,      ///< of a norm
    bias,
    gate ///< one number, before tanh
};

/// One weight of a layer. Its full name is path + the layer's label + suffix, in Hugging Face's spelling.
struct parameter {
    std::string_view suffix; ///< ".weight", ".bias", ".gate", or "" where the label is the whole name
    weight_role role = weight_role::vector;
    std::array<std::size_t, 4> shape{}; ///< slowest dimension first; unused entries are zero
    /// The full name of the weight that this one is, where two layers share one (a head tied to the embedding). It is
    /// counted once, with the other layer. Empty: a weight of its own.
    std::string_view tied_to{};

    [[nodiscard]] constexpr std::size_t rank() const {
        std::size_t n = 0;
        while (n < shape.size() && shape[n] > 0) ++n;
        return n;
    }
    /// Values in it.
    [[nodiscard]] constexpr std::size_t count() const {
        std::size_t product = 1;
        for (std::size_t i = 0; i < rank(); ++i) product *= shape[i];
        return product;
    }
    /// A matrix stays in the checkpoint's format, mapped; the rest (norms, biases, gates) is widened to floats.
    [[nodiscard]] constexpr bool is_matrix() const { return role <= weight_role::tile_table; }
    [[nodiscard]] constexpr bool is_product() const { return role == weight_role::product; }
};

/// Every expression derives from this; argument-dependent lookup finds the operators of grammar.hpp through it.
/// The members below are defaults that layers and grammar nodes shadow. `c` is a `context` (context.hpp).
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
    /// Whether an observer is shown the output of what the label names.
    static constexpr bool is_observed = true;
    /// Whether running it takes scratch memory: true for grammar nodes and for few layers.
    static constexpr bool takes_scratch = false;
    /// A sequence of layers (grammar::stack), each of whose parts is the block of several layers.
    static constexpr bool is_stack = false;
    /// Its weights are used once for each picture, not once for each row of text.
    static constexpr bool is_of_image = false;
    /// Its input is read by products alone, which can apply a norm while they read.
    static constexpr bool reads_by_products = false;
    /// All of its input is read before the first value of its output is written.
    static constexpr bool reads_before_writing = false;

    /// How many rows come out when `n` go in.
    static constexpr std::size_t rows_after(auto const& /*c*/, std::size_t n) { return n; }
    /// Whether it outputs zero for every row of this pass, so that its residual can be skipped.
    static constexpr bool outputs_zero(auto const& /*c*/) { return false; }
    /// Whether it leaves every row of this pass as it is.
    static constexpr bool is_identity(auto const& /*c*/) { return false; }
};

template <class E>
concept expression = std::derived_from<E, expression_base>;

/// A named composition: `struct swiglu : module { static constexpr auto is = ...; };`. It keeps symbols short.
/// Everything about it is what its body says, but for what it may declare of its weights and those of its own modules:
/// `part`, the part of the model that they belong to (weights/formats.hpp), and `is_of_image`.
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

/// The expression itself, or what the module is.
template <class E>
using body = typename detail::body_of<E>::type;

template <class E>
inline constexpr std::size_t width_in = body<E>::in;
template <class E>
inline constexpr std::size_t width_out = body<E>::out;
template <class E>
inline constexpr bool works_in_place = body<E>::in_place;

} // namespace llamavision

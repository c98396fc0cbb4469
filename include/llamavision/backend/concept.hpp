// SPDX-License-Identifier: Apache-2.0
// What a backend offers: kernels for the layers, on pointers and extents. It knows no expression, no checkpoint, no
// session. A backend may offer more than this (see `fused_*`): `run` asks with `requires` and falls back to the parts.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

#include <llamavision/backend/attention.hpp>
#include <llamavision/backend/choice.hpp>
#include <llamavision/backend/products.hpp>
#include <llamavision/weights/formats.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision {

/// All activations are float, row-major, without gaps between rows. `y` may equal an input exactly where the kernel
/// is marked "in place". Every kernel gives the same bits for any number of threads: the order of a reduction depends
/// on the shapes alone.
///
/// - `linear(w, bias, x, rows, y)`: y (rows, w.rows) = x (rows, w.columns) wᵀ + bias (w.rows, or null).
/// - `embed(table, ids, count, y)`: y (count, table.columns) = the rows of the table that `ids` names.
/// - `widen(w, first, count, y)`: y (count) = w's values first … first + count - 1 in row-major order.
/// - `bytes_equal(w, a, b, count)`: whether w's values a … a + count - 1 are stored as the same bytes as b … b + count
/// - 1.
/// - `rms_norm(x, rows, width, weight, eps, y)`: y = x / sqrt(mean(x²) + eps) · weight; in place.
/// - `layer_norm(x, rows, width, weight, bias, eps, y)`: y = (x - mean) / sqrt(var + eps) · weight + bias; in place.
/// - `silu(x, count, y)`, `gelu(x, count, y)`: x·σ(x), and the exact x·Φ(x) = x/2·(1 + erf(x/√2)); in place.
/// - `multiply(a, b, count, y)`: y = a·b; in place.
/// - `add_scaled(x, scale, f, count, y)`: y = x + scale·f; in place.
/// - `add_row(x, rows, width, scale, f, y)`: the same with one row f (width) for every row of x; in place.
/// - `rope(x, rows, heads, head_dim, cos, sin)`: rotates the halves (i, i + head_dim/2) of every head in place by the
///   angles whose cosines and sines are given as (rows, head_dim/2).
/// - `attend(q, shape, groups, y)`: y and q (rows, heads, head_dim); rows in no group are left alone.
/// - `unfold(x, tiles, channels, side, patch, y)`: y (tiles · (side/patch)², channels · patch · patch): the patches of
///   every tile (channels, side, side) row by row, each as (channel, row, column).
/// - `interleave(parts, n, rows, width, y, stride)`: y[r·stride + i·n + k] = parts[k][r·width + i].
/// - `copy(x, count, y)`, `zero(y, count)`.
template <class B>
concept backend = requires(B const& b, matrix const& w, float const* x, float* y, std::int32_t const* ids,
                           std::size_t n, float s, attention_shape const& shape, std::span<query_group const> groups,
                           float const* const* parts) {
    { b.name() } -> std::convertible_to<std::string_view>;
    b.linear(w, x, x, n, y);
    b.embed(w, ids, n, y);
    b.widen(w, n, n, y);
    { b.bytes_equal(w, n, n, n) } -> std::convertible_to<bool>;
    b.rms_norm(x, n, n, x, s, y);
    b.layer_norm(x, n, n, x, x, s, y);
    b.silu(x, n, y);
    b.gelu(x, n, y);
    b.multiply(x, x, n, y);
    b.add_scaled(x, s, x, n, y);
    b.add_row(x, n, n, s, x, y);
    b.rope(y, n, n, n, x, x);
    b.attend(x, shape, groups, y);
    b.unfold(x, n, n, n, n, y);
    b.interleave(parts, n, n, n, y, n);
    b.copy(x, n, y);
    b.zero(y, n);
};

/// Has memory of its own, where all that its kernels read and write lies: activations, caches, image memories, weights.
/// In the host's memory stay the descriptions (matrices, shapes, groups and their blocks, the list `parts`) and weights
/// of one value, which kernels take as numbers. A backend that does not offer this works in the host's memory.
///
/// - `allocate(bytes)`: uninitialised, on a cache line; kept by the copies of the pointer. Throws memory_error.
/// - `available()`: how many bytes may still be allocated.
/// - `upload(from, bytes, to)`: from the host's memory, which the caller may change when this returns.
/// - `download(from, bytes, to)`: to the host's memory, after all earlier calls to the backend are done.
/// - `wait()`: returns when all earlier calls are done; kernels may return before they are.
template <class B>
concept owns_memory = requires(B const& b, void const* from, std::size_t n, void* to) {
    { b.allocate(n) } -> std::convertible_to<std::shared_ptr<std::byte>>;
    { b.available() } -> std::convertible_to<std::size_t>;
    b.upload(from, n, to);
    b.download(from, n, to);
    b.wait();
};

/// Leaves some products to a second backend, in the host's memory: the weights of the text's layers from `layers()` on
/// stay there, and are repacked by `host()`.
template <class B>
concept divides = owns_memory<B> && requires(B const& b) {
    { b.layers() } -> std::convertible_to<std::size_t>;
    requires backend<std::remove_cvref_t<decltype(b.host())>>;
};

/// Kernels that do the work of several layers in one pass. A backend names those that it has,
/// `static constexpr fusion fusions = fusion::swiglu | fusion::norms;`, and `run` uses them where an expression has
/// those layers in that order. A name without its kernel, or a kernel without its name, does not compile.
enum class fusion : unsigned {
    none = 0,
    swiglu = 1,      ///< `fused_swiglu(gate, up, x, rows, y)`: y (rows, gate.rows) = silu(x·gateᵀ) ⊙ (x·upᵀ)
    linear_gelu = 2, ///< `fused_linear_gelu(w, bias, x, rows, y)`: y = gelu(x·wᵀ + bias)
    linear_add = 4,  ///< `fused_linear_add(w, bias, x, rows, scale, y)`: y += scale·(x·wᵀ + bias)
    norms = 8,       ///< `linear`, `fused_swiglu` and `fused_linear_gelu` also take `normed` rows for x
    /// `fused_projections(of, x, rows, by)`: at most three products of the same rows, equally wide, and rope after
    /// some; x may be `normed` rows.
    projections = 16
};
[[nodiscard]] constexpr fusion operator|(fusion a, fusion b) {
    return static_cast<fusion>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
[[nodiscard]] constexpr bool includes(fusion all, fusion one) {
    return (static_cast<unsigned>(all) & static_cast<unsigned>(one)) == static_cast<unsigned>(one);
}

/// Whether the backend names that fusion.
template <class B, fusion F>
concept fuses = requires {
    requires includes(B::fusions, F);
};

namespace detail {

template <class B, fusion F>
concept has_kernel_of = requires(B const& b, matrix const& w, float const* x, std::size_t n, float s, float* y,
                                 normed const& left, std::span<projection const> of, rotation const& by) {
    requires F != fusion::swiglu || requires { b.fused_swiglu(w, w, x, n, y); };
    requires F != fusion::linear_gelu || requires { b.fused_linear_gelu(w, x, x, n, y); };
    requires F != fusion::linear_add || requires { b.fused_linear_add(w, x, x, n, s, y); };
    requires F != fusion::norms || requires {
        b.linear(w, x, left, n, y);
        b.fused_swiglu(w, w, left, n, y);
        b.fused_linear_gelu(w, x, left, n, y);
    };
    requires F != fusion::projections || requires { b.fused_projections(of, left, n, by); };
};

} // namespace detail

/// Whether each fusion that the backend names has its kernel, and each fused kernel is named. The compile error names
/// the one that does not fit.
template <class B>
[[nodiscard]] consteval bool fusions_agree() {
    static_assert(fuses<B, fusion::swiglu> == detail::has_kernel_of<B, fusion::swiglu>,
                  "fusions name fusion::swiglu if and only if there is fused_swiglu(gate, up, x, rows, y)");
    static_assert(fuses<B, fusion::linear_gelu> == detail::has_kernel_of<B, fusion::linear_gelu>,
                  "fusions name fusion::linear_gelu if and only if there is fused_linear_gelu(w, bias, x, rows, y)");
    static_assert(
        fuses<B, fusion::linear_add> == detail::has_kernel_of<B, fusion::linear_add>,
        "fusions name fusion::linear_add if and only if there is fused_linear_add(w, bias, x, rows, scale, y)");
    static_assert(
        fuses<B, fusion::norms> == detail::has_kernel_of<B, fusion::norms>,
        "fusions name fusion::norms if and only if linear, fused_swiglu and fused_linear_gelu take normed rows");
    static_assert(fuses<B, fusion::projections> == detail::has_kernel_of<B, fusion::projections>,
                  "fusions name fusion::projections if and only if there is fused_projections(of, x, rows, by)");
    return true;
}

/// Says how much memory its kernels take beside their operands, at most, and keep for the next call:
/// `working_memory(rows, shape, widest)` for layers with such attention, whose products have at most `widest` columns.
/// Attention of few rows in float may take 32 MB more where the context is long.
template <class B>
concept has_working_memory = requires(B const& b, std::size_t n, attention_shape const& shape) {
    { b.working_memory(n, shape, n) } -> std::convertible_to<std::size_t>;
};

/// Offers a smaller form of keys and values: `kept_floats(shape, capacity)` is how many floats of memory the keys of
/// so many rows take, and their values; `keep(shape, keys, values, places)` puts rows (rows of all places, kv_heads,
/// head_dim) into their places, in order.
template <class B>
concept keeps_keys = requires(B const& b, attention_shape const& shape, float const* x, std::size_t n,
                              std::span<kept_rows const> places) {
    { b.kept_floats(shape, n) } -> std::convertible_to<std::size_t>;
    b.keep(shape, x, x, places);
};

/// Offers layouts of its own for weights of products: `repacked_bytes(w, f)` is how many bytes the weight w takes in
/// format f (w.data may be null; 0: it stays as it is), `repack(w, f, to)` fills so many, which begin on a cache line
/// of its memory, and returns how its kernels see them, and `repacked_at(w, f, at)` says the same of bytes that were
/// filled before; w lies in the host's memory. `repack` throws format_error for a value that is infinite or no number
/// where that would be lost, in integers.
/// It may name its layouts, `layouts()`, by a text that changes when their bytes do; else `kernels()` stands for that
/// text. A file of packed weights is made anew for another name, or another text.
template <class B>
concept repacks_weights = requires(B const& b, matrix const& w, weight_format f, std::byte* to) {
    { b.repacked_bytes(w, f) } -> std::convertible_to<std::size_t>;
    { b.repack(w, f, to) } -> std::convertible_to<matrix>;
    { b.repacked_at(w, f, to) } -> std::convertible_to<matrix>;
};

/// Offers to choose a token where its logits lie: `choose(memory, how, logits, count)`. It fills `memory` for the next
/// choice of the same answer, whose `forbidden` must be the same. By the bits of logits and random numbers, it chooses
/// what tokens::sampler would choose.
template <class B>
concept chooses = owns_memory<B> && requires(B const& b, std::shared_ptr<void>& memory, choosing const& how,
                                             float const* logits, std::size_t n) {
    { b.choose(memory, how, logits, n) } -> std::same_as<chosen>;
};

/// Offers to record calls and to repeat them: `replay(tape, key, positions, body)` calls `body` and records it on the
/// tape, or plays the tape if it holds a body with the same key. In between, `keep` puts the one row of its i-th
/// place at positions[i], and the last block of the i-th group of `attend`, if it is causal, has positions[i] rows more
/// than the group; all else must be the same each time. Where there are more positions than it has room for, it calls
/// `body`, and records nothing. Its `keep` also takes places of floats, so that any keys find theirs.
template <class B>
concept replays = keeps_keys<B> && requires(B const& b, std::shared_ptr<void>& tape, std::span<std::uint64_t const> key,
                                            std::span<std::size_t const> positions, std::function<void()> const& body) {
    b.replay(tape, key, positions, body);
};

} // namespace llamavision

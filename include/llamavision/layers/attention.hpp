// SPDX-License-Identifier: Apache-2.0
// attend: queries come from the input rows; keys and values come from (a) the same rows and those before them, (b) an
// image, or (c) all tiles of the picture that the rows belong to. The expressions inside define q, k and v.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

#include <llamavision/expression/count.hpp>
#include <llamavision/expression/run.hpp>
#include <llamavision/layers/rope.hpp>

namespace llamavision {

/// Where an attention layer's keys and values come from.
enum class key_source : std::uint8_t {
    rows, ///< the input rows
    past, ///< the input rows and, from a cache, those of the conversation before them
    image ///< the image memory
};

namespace layer {

/// Multiplications and additions of scores and weighted values, for that many (query, key) pairs of one layer.
constexpr double attention_flops(double pairs, std::size_t width) { return 4 * pairs * static_cast<double>(width); }

template <std::size_t Heads, class Q, class K, class V>
struct attend_base : expression_base {
    static_assert(left_gives_right_takes<width_in<Q>, width_in<K>>::agree, "queries and keys read the same rows");
    static_assert(left_gives_right_takes<width_in<K>, width_in<V>>::agree, "keys and values read the same rows");
    static_assert(left_gives_right_takes<width_out<K>, width_out<V>>::agree, "keys and values are equally wide");
    static_assert(width_out<Q> % Heads == 0, "the heads divide the queries' width");
    static_assert(width_out<K> % (width_out<Q> / Heads) == 0, "keys are made of heads as wide as the queries'");
    static constexpr bool takes_scratch = true;
    static constexpr std::size_t in = width_in<Q>;
    static constexpr std::size_t out = width_out<Q>;
    static constexpr std::size_t head_dim = out / Heads;
    static constexpr std::size_t kv_width = width_out<K>;
    static constexpr attention_shape shape{Heads, kv_width / head_dim, head_dim};
    static constexpr key_source keys_from = key_source::rows;
    static constexpr bool reads_by_products =
        body<Q>::reads_by_products && body<K>::reads_by_products && body<V>::reads_by_products;
    using parts = part_list<Q, K, V>;

    /// Whether a backend may make queries, keys and values in one pass (fusion::projections).
    using query = detail::projection_of<Q>;
    using key = detail::projection_of<K>;
    using value = detail::projection_of<V>;
    static constexpr bool in_one_pass =
        query::is_plain && key::is_plain && value::is_plain && query::rope_dim == key::rope_dim && value::rope_dim == 0;

    /// Queries, keys and values, all made of the input rows.
    template <class B, class W, class X>
    static void project(B const& backend, W const& w, context& c, X x, rows q, rows k, rows v) {
        auto const& wq = std::get<0>(w.parts); // not bound together: clang 14 lets no `requires` see such names
        auto const& wk = std::get<1>(w.parts);
        auto const& wv = std::get<2>(w.parts);
        if constexpr (fuses<B, fusion::projections> && in_one_pass)
            if (!c.watch) { // an observer is shown each
                if (c.measuring()) return;
                constexpr std::size_t rope_dim = query::rope_dim;
                std::array const all{projection{query::weight(wq), q.data, rope_dim > 0},
                                     projection{key::weight(wk), k.data, rope_dim > 0},
                                     projection{value::weight(wv), v.data, false}};
                rotation by;
                if constexpr (rope_dim > 0) by = {c.text->cos, c.text->sin, rope_dim};
                return backend.fused_projections(all, x.data, x.count, by);
            }
        llamavision::run(backend, Q{}, wq, c, x, q);
        llamavision::run(backend, K{}, wk, c, x, k);
        llamavision::run(backend, V{}, wv, c, x, v);
    }

    /// Of queries, keys and values, all made of the input rows.
    static constexpr double product_flops(work const& w, double& rows) {
        return llamavision::flops(Q{}, w, rows) + llamavision::flops(K{}, w, rows) + llamavision::flops(V{}, w, rows);
    }
};

/// Causal self-attention of text: a row sees itself and every row of its conversation before it. Keys and values go
/// into the conversation's cache.
template <std::size_t Heads, class Q, class K, class V>
struct attend_past : attend_base<Heads, Q, K, V> {
    static constexpr std::string_view kind = "attend to itself and the past";
    static constexpr key_source keys_from = key_source::past;
    using base = attend_base<Heads, Q, K, V>;

    static constexpr double flops(work const& w, double& rows) {
        return base::product_flops(w, rows) + attention_flops(w.text_pairs, base::out);
    }

    template <class B, class X>
    static void run(B const& backend, weights<attend_past> const& w, context& c, X x, rows y) {
        arena::frame const frame(c.scratch);
        rows const q = c.scratch.take(x.count, base::out);
        rows const k = c.scratch.take(x.count, base::kv_width);
        rows const v = c.scratch.take(x.count, base::kv_width);
        base::project(backend, w, c, x, q, k, v);
        if (c.measuring()) return;
        bool const kept = keeps_keys<B> && c.rounded;
        attention_lists& lists = c.lists();
        see(c, kept, lists);
        remember(backend, kept, k, v, lists.places);
        backend.attend(q.data, base::shape, lists.groups, y.data);
    }

  private:
    /// A place for each segment's keys, and a group of its rows.
    static void see(context const& c, bool kept, attention_lists& lists) {
        std::span<segment const> const segments = c.text->segments;
        lists.places.clear();
        lists.blocks.clear();
        lists.groups.clear();
        lists.blocks.reserve(segments.size()); // the groups point into it
        std::size_t first = 0;
        for (segment const& s : segments) {
            kv_cache const& cache = s.cache;
            float *const keys = cache.keys(c.layer), *const values = cache.values(c.layer);
            std::size_t const capacity = kept ? cache.capacity : 0;
            lists.places.push_back({s.rows, s.position, capacity, keys, values});
            lists.blocks.push_back({keys, values, nullptr, s.position + s.rows, capacity});
            lists.groups.push_back({first, s.rows, {&lists.blocks.back(), 1}, true});
            first += s.rows;
        }
    }

    template <class B>
    static void remember(B const& backend, bool kept, rows k, rows v, std::span<kept_rows const> places) {
        if constexpr (keeps_keys<B>)
            if (kept || replays<B>) return backend.keep(base::shape, k.data, v.data, places);
        std::size_t from = 0;
        for (kept_rows const& to : places) {
            std::size_t const count = to.rows * base::kv_width, at = to.first * base::kv_width;
            backend.copy(k.data + from, count, to.keys + at);
            backend.copy(v.data + from, count, to.values + at);
            from += count;
        }
    }
};

/// Attention of the tower: every row sees every row of the four tiles, but padding does not see padding (Meta:
/// build_encoder_attention_mask masks only the pairs where both are). A row that represents m rows counts m times: its
/// key's score has ln(m) added, since Σ over m equal keys of exp(s) is exp(s + ln m).
template <std::size_t Heads, class Q, class K, class V>
struct attend_tiles : attend_base<Heads, Q, K, V> {
    static constexpr std::string_view kind = "attend to all tiles";
    using base = attend_base<Heads, Q, K, V>;

    static constexpr double flops(work const& w, double& rows) {
        return base::product_flops(w, rows) + attention_flops(w.tower_pairs, base::out);
    }

    template <class B, class X>
    static void run(B const& backend, weights<attend_tiles> const& w, context& c, X x, rows y) {
        arena::frame const frame(c.scratch);
        rows const q = c.scratch.take(x.count, base::out);
        rows const k = c.scratch.take(x.count, base::kv_width);
        rows const v = c.scratch.take(x.count, base::kv_width);
        base::project(backend, w, c, x, q, k, v);
        if (c.measuring()) return;
        attention_lists& lists = c.lists();
        see(*c.vision, k.data, v.data, lists.blocks, lists.groups);
        attention_shape shape = base::shape;
        shape.rounded = c.rounded;
        backend.attend(q.data, shape, lists.groups, y.data);
    }

    /// Who sees whom: block 0 holds every row; the blocks after it hold the tokens of one real tile each.
    static void see(vision_rows const& plan, float const* k, float const* v, std::vector<key_block>& blocks,
                    std::vector<query_group>& groups) {
        blocks.clear();
        groups.clear();
        blocks.push_back({k, v, plan.bias_for_kernels(), plan.rows()});
        for (std::size_t s = 0; s < plan.slots.size(); ++s)
            if (plan.slots[s].real) {
                std::size_t const at = s * plan.rows_per_slot() * base::kv_width;
                blocks.push_back({k + at, v + at, nullptr, plan.tokens()});
            }
        std::span<key_block const> const all(blocks.data(), 1), unpadded(blocks.data() + 1, blocks.size() - 1);
        for (std::size_t s = 0; s < plan.slots.size(); ++s) {
            std::size_t const first = s * plan.rows_per_slot();
            if (plan.slots[s].real) {
                groups.push_back({first, plan.tokens(), all});
                groups.push_back({first + plan.tokens(), plan.pads, unpadded});
            } else
                groups.push_back({first, plan.rows_per_slot(), unpadded});
        }
    }
};

/// A cross-attention layer's keys and values of an image; computed once for each image, by `memorise`.
template <class K, class V>
struct from_image : expression_base {
    static constexpr bool is_of_image = true;
    using parts = part_list<K, V>;
};

/// Cross-attention: rows see all rows of the real tiles of their images. Keys and values come from the image memory.
template <std::size_t Heads, class Q, class K, class V>
struct attend_image : attend_base<Heads, Q, K, V> {
    static constexpr std::string_view kind = "attend to the image";
    static constexpr key_source keys_from = key_source::image;
    using base = attend_base<Heads, Q, K, V>;
    using parts = part_list<Q, from_image<K, V>>;

    /// Keys and values belong to the image, queries and scores to the text.
    static constexpr double flops(work const& w, double& rows) {
        double image_rows = w.feature_rows;
        double const kv = llamavision::flops(K{}, w, image_rows) + llamavision::flops(V{}, w, image_rows);
        return kv + llamavision::flops(Q{}, w, rows) + attention_flops(w.image_pairs, base::out);
    }

    template <class B, class X>
    static void run(B const& backend, weights<attend_image> const& w, context& c, X x, rows y) {
        arena::frame const frame(c.scratch);
        rows const q = c.scratch.take(x.count, base::out);
        llamavision::run(backend, Q{}, std::get<0>(w.parts), c, x, q);
        if (c.measuring()) return;
        attention_lists& lists = c.lists();
        see(c, lists.blocks, lists.groups);
        backend.attend(q.data, base::shape, lists.groups, y.data);
    }

    /// Keys and values of one image for this layer: features (rows, in) to (rows, kv_heads, head_dim) each.
    template <class B>
    static void memorise(B const& backend, weights<attend_image> const& w, context& c, rows features, rows keys,
                         rows values) {
        auto const& of_image = std::get<1>(w.parts);
        llamavision::run(backend, K{}, std::get<0>(of_image.parts), c, features, keys);
        llamavision::run(backend, V{}, std::get<1>(of_image.parts), c, features, values);
    }

  private:
    /// Neighbouring rows that see the same images are one group, of one conversation or of several: keys are read once.
    static void see(context const& c, std::vector<key_block>& blocks, std::vector<query_group>& groups) {
        std::size_t most = 0;
        for (image_visibility const& s : c.text->visibility) most += 2 * s.images.size();
        blocks.clear();
        groups.clear();
        blocks.reserve(most); // the groups point into it
        image_visibility const* before = nullptr;
        for (image_visibility const& s : c.text->visibility) {
            bool const same =
                before && before->leak == s.leak
                && std::equal(before->images.begin(), before->images.end(), s.images.begin(), s.images.end());
            before = &s;
            if (same) {
                groups.back().rows += s.rows;
                continue;
            }
            std::size_t const begin = blocks.size();
            for (image_memory const* image : s.images) {
                image_memory::layer const& kv = image->layers[c.layer];
                blocks.push_back({kv.keys, kv.values, nullptr, image->rows, image->kept ? image->rows : 0});
                if (s.leak && image->padded_rows)
                    blocks.push_back({kv.padded_keys, kv.padded_values, image->padded_bias, image->padded_rows,
                                      image->kept ? image->padded_rows : 0});
            }
            groups.push_back({s.first, s.rows, {blocks.data() + begin, blocks.size() - begin}});
        }
    }
};

} // namespace layer

/// Causal self-attention with that many query heads; the number of key heads follows from the widths.
template <std::size_t Heads, expression Q, expression K, expression V>
[[nodiscard]] constexpr auto attend_past(Q, K, V) {
    return layer::attend_past<Heads, Q, K, V>{};
}

template <std::size_t Heads, expression Q, expression K, expression V>
[[nodiscard]] constexpr auto attend_tiles(Q, K, V) {
    return layer::attend_tiles<Heads, Q, K, V>{};
}

template <expression K, expression V>
[[nodiscard]] constexpr auto from_image(K, V) {
    return layer::from_image<K, V>{};
}

template <std::size_t Heads, expression Q, expression K, expression V>
[[nodiscard]] constexpr auto attend_image(Q, layer::from_image<K, V>) {
    return layer::attend_image<Heads, Q, K, V>{};
}

} // namespace llamavision

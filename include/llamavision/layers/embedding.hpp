// SPDX-License-Identifier: Apache-2.0
// Where text enters and leaves: the embedding, and the rows that reach the head.
#pragma once

#include <cstddef>

#include <llamavision/expression/count.hpp>
#include <llamavision/expression/run.hpp>

namespace llamavision {

namespace layer {

/// Token ids to rows of the table (Rows, Width).
template <name Name, std::size_t Rows, std::size_t Width>
struct embedding : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = token_ids;
    static constexpr std::size_t out = Width;
    static constexpr std::array parameters{parameter{".weight", weight_role::table, {Rows, Width}}};

    template <class B>
    static void run(B const& backend, weights<embedding> const& w, context&, id_rows x, rows y) {
        backend.embed(w.own[0], x.data, x.count, y.data);
    }
};

/// The last rows of each segment, as many as have logits asked for: a prompt of a thousand tokens needs the head for
/// one of them.
struct wanted_rows : expression_base {
    static constexpr std::string_view kind = "rows that want logits";
    static std::size_t rows_after(context const& c, std::size_t /*n*/) { return c.text->logit_rows(); }
    static constexpr double flops(work const& w, double& rows) {
        rows = w.logit_rows;
        return 0;
    }

    template <class B>
    static void run(B const& backend, weights<wanted_rows> const&, context& c, rows x, rows y) {
        float* to = y.data;
        std::size_t begin = 0, end = 0, passed = 0; // rows [begin, end) lie side by side, and are not copied yet
        auto const copy = [&] {
            if (begin == end) return;
            backend.copy(x.data + begin * x.width, (end - begin) * x.width, to);
            to += (end - begin) * x.width;
        };
        for (segment const& s : c.text->segments) {
            passed += s.rows;
            if (passed - s.logit_rows != end) {
                copy();
                begin = passed - s.logit_rows;
            }
            end = passed;
        }
        copy();
    }
};

} // namespace layer

template <name Name, std::size_t Rows, std::size_t Width>
inline constexpr layer::embedding<Name, Rows, Width> embedding{};

inline constexpr layer::wanted_rows wanted_rows{};

} // namespace llamavision

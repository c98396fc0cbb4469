// SPDX-License-Identifier: Apache-2.0
// Where text enters and leaves: the embedding, and the rows that reach the head.
#pragma once

#include <cstddef>

#include <llamavision/expression/count.hpp>
#include <llamavision/expression/run.hpp>

namespace llamavision {

namespace word {

/// Token ids to rows of the table (Rows, Width).
template <name Name, std::size_t Rows, std::size_t Width>
struct embedding : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = token_ids;
    static constexpr std::size_t out = Width;
    static constexpr std::array parameters{parameter{".weight", {Rows, Width}, 2, true}};

    template <class B>
    static void run(B const& backend, weights<embedding> const& w, context&, id_rows x, rows y) {
        backend.embed(w.own[0], x.data, x.count, y.data);
    }
};

/// The last rows, whose logits somebody wants: a prompt of a thousand tokens needs the head for one of them.
struct wanted_rows : expression_base {
    static constexpr std::string_view kind = "rows that want logits";
    static std::size_t rows_after(context const& c, std::size_t) { return c.text->logit_rows; }
    static constexpr double flops(work const& w, double& rows) {
        rows = w.logit_rows;
        return 0;
    }

    template <class B>
    static void run(B const& backend, weights<wanted_rows> const&, context&, rows x, rows y) {
        backend.copy(x.data + (x.count - y.count) * x.width, y.size(), y.data);
    }
};

} // namespace word

template <name Name, std::size_t Rows, std::size_t Width>
inline constexpr word::embedding<Name, Rows, Width> embedding{};

inline constexpr word::wanted_rows wanted_rows{};

} // namespace llamavision

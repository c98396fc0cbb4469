// SPDX-License-Identifier: Apache-2.0
// The reading `run`: rows flow through the expression on a backend. With a watcher in the context the same reading is
// `trace`; with a measuring arena it is `plan`. A backend that offers a kernel for a whole sentence is given the
// sentence.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <llamavision/backend/concept.hpp>
#include <llamavision/expression/context.hpp>
#include <llamavision/expression/weights.hpp>
#include <llamavision/support/cold.hpp>

namespace llamavision {

template <class B, expression E, class X>
void run(B const& backend, E, weights<E> const& w, context& c, X x, rows y);

namespace detail {

/// How many rows come out when `n` go in; most expressions keep them.
template <class E>
std::size_t rows_after(E, context const& c, std::size_t n) {
    if constexpr (requires { E::rows_after(c, n); })
        return E::rows_after(c, n);
    else
        return n;
}
template <name Name, class F>
std::size_t rows_after(grammar::scope<Name, F>, context const& c, std::size_t n);
template <class F, class G>
std::size_t rows_after(grammar::chain<F, G>, context const& c, std::size_t n) {
    return rows_after(body<G>{}, c, rows_after(body<F>{}, c, n));
}
template <name Name, class F>
std::size_t rows_after(grammar::scope<Name, F>, context const& c, std::size_t n) {
    return rows_after(body<F>{}, c, n);
}

/// Idle: says zero for every row of this pass, so that its residual is the identity and need not be computed.
template <class E>
bool idle(E, context const& c) {
    if constexpr (requires { E::idle(c); })
        return E::idle(c);
    else
        return false;
}
template <class F, class G>
bool idle(grammar::chain<F, G>, context const& c) {
    return idle(body<F>{}, c) || idle(body<G>{}, c);
}

/// Leaves every row of this pass alone: a block whose residuals are all idle.
template <class E>
bool passes(E, context const&) {
    return false;
}
template <class F, class Gate>
bool passes(grammar::residual<F, Gate>, context const& c) {
    return idle(body<F>{}, c);
}
template <class F, class G>
bool passes(grammar::chain<F, G>, context const& c) {
    return passes(body<F>{}, c) && passes(body<G>{}, c);
}

/// Adds `label` to the path of names while it lives, if somebody watches.
class named {
  public:
    named(context& c, std::string_view label) : context_(c), length_(c.path.size()) {
        if (c.watch && !label.empty()) enter(label);
    }
    named(context& c, std::size_t layer) : context_(c), length_(c.path.size()) {
        if (c.watch) enter(std::to_string(layer));
    }
    ~named() {
        if (context_.watch) leave();
    }
    named(named const&) = delete;
    named& operator=(named const&) = delete;
    void tell(rows const& output) const {
        if (context_.watch && !context_.measuring()) (*context_.watch)(context_.path, output);
    }

  private:
    LLAMAVISION_COLD void enter(std::string_view label) {
        if (!context_.path.empty()) context_.path += '.';
        context_.path += label;
    }
    LLAMAVISION_COLD void leave() { context_.path.resize(length_); }

    context& context_;
    std::size_t length_;
};

template <class B, class E, class X>
void run_node(B const& backend, E, weights<E> const& w, context& c, X x, rows y) {
    if constexpr (!E::is_grammar)
        if (c.measuring()) return;
    E::run(backend, w, c, x, y);
}

/// What F says is as wide as F or G declare; where both take any width, as wide as x.
template <class F, class G, class X>
std::size_t width_between(X const& x) {
    if constexpr (width_out<F> != any_width)
        return width_out<F>;
    else if constexpr (width_in<G> != any_width)
        return width_in<G>;
    else
        return x.width;
}

/// Whether E reads its input through products alone, which can make its norm as they read.
template <class E>
inline constexpr bool reads_by_products = requires {
    requires E::reads_by_products;
};
template <is_module E>
inline constexpr bool reads_by_products<E> = reads_by_products<body<E>>;
template <class F, class G>
inline constexpr bool reads_by_products<grammar::chain<F, G>> = reads_by_products<F>;
template <class F, class G>
inline constexpr bool reads_by_products<grammar::product<F, G>> = reads_by_products<F>&& reads_by_products<G>;
template <name Name, class F>
inline constexpr bool reads_by_products<grammar::scope<Name, F>> = reads_by_products<F>;

/// Whether F | G, of rows, is a norm that the backend leaves to what reads it.
template <class B, class F, class G, class X>
inline constexpr bool leaves_norm = fuses_norms<B>&& reads_by_products<G>&&
    std::same_as<X, rows>&& requires(weights<F> const& w, rows x) {
    F::left_to_reader(w, x);
};

template <class B, class F, class G, class X>
void run_node(B const& backend, grammar::chain<F, G>, weights<grammar::chain<F, G>> const& w, context& c, X x, rows y) {
    if constexpr (leaves_norm<B, F, G, X>)
        if (!c.watch) return run(backend, G{}, std::get<1>(w.parts), c, F::left_to_reader(std::get<0>(w.parts), x), y);
    if constexpr (requires { run_fused(backend, grammar::chain<F, G>{}, w, x, y); })
        if (!c.watch) { // a watcher wants to see the parts
            if (!c.measuring()) run_fused(backend, grammar::chain<F, G>{}, w, x, y);
            return;
        }
    if constexpr (works_in_place<G>) {
        run(backend, F{}, std::get<0>(w.parts), c, x, y);
        run(backend, G{}, std::get<1>(w.parts), c, y, y);
    } else {
        arena::frame const frame(c.scratch);
        rows const between = c.scratch.take(rows_after(body<F>{}, c, x.count), width_between<F, G>(x));
        run(backend, F{}, std::get<0>(w.parts), c, x, between);
        run(backend, G{}, std::get<1>(w.parts), c, between, y);
    }
}

template <class B, class F, class G, class X>
void run_node(B const& backend, grammar::product<F, G>, weights<grammar::product<F, G>> const& w, context& c, X x,
              rows y) {
    if constexpr (requires { run_fused(backend, grammar::product<F, G>{}, w, x, y); })
        if (!c.watch) { // a watcher wants to see the parts
            if (!c.measuring()) run_fused(backend, grammar::product<F, G>{}, w, x, y);
            return;
        }
    arena::frame const frame(c.scratch);
    rows const second = c.scratch.take(y.count, y.width);
    run(backend, F{}, std::get<0>(w.parts), c, x, y);
    run(backend, G{}, std::get<1>(w.parts), c, x, second);
    if (!c.measuring()) backend.multiply(y.data, second.data, y.size(), y.data);
}

/// Whether a backend adds what E says to rows that are there already, in the epilogue of E's last product.
template <class B, class E>
inline constexpr bool adds = requires(B const& backend, weights<E> const& w, rows x, float scale) {
    add_fused(backend, E{}, w, x, scale, x);
};
template <class B, is_module E>
inline constexpr bool adds<B, E> = adds<B, body<E>>;
template <class B, class F, class G>
inline constexpr bool adds<B, grammar::chain<F, G>> = adds<B, G>;
template <class B, name Name, class F>
inline constexpr bool adds<B, grammar::scope<Name, F>> = adds<B, F>;

/// Whether E has read all of its input before its last word writes.
template <class E>
inline constexpr bool reads_before_writing = false;
template <is_module E>
inline constexpr bool reads_before_writing<E> = reads_before_writing<body<E>>;
template <class F, class G>
inline constexpr bool reads_before_writing<grammar::chain<F, G>> = true;
template <name Name, class F>
inline constexpr bool reads_before_writing<grammar::scope<Name, F>> = reads_before_writing<F>;

template <class B, class F, class G, class X>
void add(B const& backend, grammar::chain<F, G>, weights<grammar::chain<F, G>> const& w, context& c, X x, float scale,
         rows y);
template <class B, name Name, class F, class X>
void add(B const& backend, grammar::scope<Name, F>, weights<grammar::scope<Name, F>> const& w, context& c, X x,
         float scale, rows y);

/// y += scale · E(x), for an E that the backend `adds`. y may be what x is made of, if E reads before it writes.
template <class B, class E, class X>
void add(B const& backend, E, weights<E> const& w, context& c, X x, float scale, rows y) {
    if constexpr (is_module<E>)
        add(backend, body<E>{}, w, c, x, scale, y);
    else if (!c.measuring())
        add_fused(backend, E{}, w, x, scale, y);
}
template <class B, class F, class G, class X>
void add(B const& backend, grammar::chain<F, G>, weights<grammar::chain<F, G>> const& w, context& c, X x, float scale,
         rows y) {
    if constexpr (leaves_norm<B, F, G, X> && reads_before_writing<G>)
        return add(backend, G{}, std::get<1>(w.parts), c, F::left_to_reader(std::get<0>(w.parts), x), scale, y);
    arena::frame const frame(c.scratch);
    rows const between = c.scratch.take(rows_after(body<F>{}, c, x.count), width_between<F, G>(x));
    run(backend, F{}, std::get<0>(w.parts), c, x, between);
    add(backend, G{}, std::get<1>(w.parts), c, between, scale, y);
}
template <class B, name Name, class F, class X>
void add(B const& backend, grammar::scope<Name, F>, weights<grammar::scope<Name, F>> const& w, context& c, X x,
         float scale, rows y) {
    add(backend, F{}, std::get<0>(w.parts), c, x, scale, y);
}

template <class B, class F, class Gate>
void run_node(B const& backend, grammar::residual<F, Gate>, weights<grammar::residual<F, Gate>> const& w, context& c,
              rows x, rows y) {
    if (!c.measuring() && (idle(body<F>{}, c) || x.data != y.data)) {
        if (x.data != y.data) backend.copy(x.data, x.size(), y.data);
        if (idle(body<F>{}, c)) return;
    }
    float scale = 1.0f;
    if constexpr (!std::same_as<Gate, grammar::no_gate>)
        if (!c.measuring()) scale = Gate::value(std::get<1>(w.parts));
    if constexpr (reads_before_writing<F> && adds<B, F>) // y may be x
        if (!c.watch) return add(backend, F{}, std::get<0>(w.parts), c, x, scale, y);
    arena::frame const frame(c.scratch);
    rows const f = c.scratch.take(x.count, x.width);
    run(backend, F{}, std::get<0>(w.parts), c, x, f);
    if (!c.measuring()) backend.add_scaled(y.data, scale, f.data, y.size(), y.data);
}

template <class B, name Name, class F, class X>
void run_node(B const& backend, grammar::scope<Name, F>, weights<grammar::scope<Name, F>> const& w, context& c, X x,
              rows y) {
    run(backend, F{}, std::get<0>(w.parts), c, x, y);
}

/// The layers of a stack run in place on y.
template <class B>
void begin_stack(B const& backend, context const& c, rows x, rows y) {
    if (!c.measuring() && x.data != y.data) backend.copy(x.data, x.size(), y.data);
}
inline void end_layer(context const& c) {
    if (c.on_layer && !c.measuring()) (*c.on_layer)();
}

template <class B, std::size_t N, class Block, class Taps>
void run_node(B const& backend, grammar::repeat<N, Block, Taps>, weights<grammar::repeat<N, Block, Taps>> const& w,
              context& c, rows x, rows y) {
    begin_stack(backend, c, x, y);
    // Taps are the *inputs* of the named layers (Meta appends x before it calls the block).
    auto const keep = [&](std::size_t done) {
        if (c.measuring()) return;
        for (std::size_t k = 0; k < Taps::layers.size(); ++k)
            if (Taps::layers[k] + c.vision->tap_shift == done) backend.copy(y.data, y.size(), c.vision->taps[k]);
    };
    for (std::size_t i = 0; i < N; ++i) {
        if constexpr (Taps::layers.size() > 0) keep(i);
        c.layer = i;
        named const layer(c, i);
        run(backend, Block{}, w.layers[i], c, y, y);
        layer.tell(y);
        end_layer(c);
        if (c.measuring()) return; // every layer takes the same
    }
    if constexpr (Taps::layers.size() > 0) keep(N);
}

/// A layer that would leave all rows alone is skipped, and says nothing (Hugging Face: cross layers without an image).
template <class B, class Block>
void run_layer(B const& backend, Block, weights<Block> const& w, context& c, rows y, named const& layer) {
    if (!c.measuring() && passes(body<Block>{}, c)) return;
    run(backend, Block{}, w, c, y, y);
    layer.tell(y);
}

template <class B, std::size_t N, class At, class F, class G>
void run_node(B const& backend, grammar::interleave<N, At, F, G>, weights<grammar::interleave<N, At, F, G>> const& w,
              context& c, rows x, rows y) {
    using node = grammar::interleave<N, At, F, G>;
    begin_stack(backend, c, x, y);
    std::size_t f = 0, g = 0;
    for (std::size_t i = 0; i < N; ++i) {
        bool const is_g = node::is_b(i);
        named const layer(c, i);
        c.layer = is_g ? g : f;
        if (is_g)
            run_layer(backend, G{}, w.b[g++], c, y, layer);
        else
            run_layer(backend, F{}, w.a[f++], c, y, layer);
        end_layer(c);
    }
}

} // namespace detail

/// Runs E on `x` (rows, ids or tiles) and leaves its output in `y`, whose memory and row count the caller provides.
/// Memory beyond x and y comes from `c.scratch`. Nothing is allocated.
template <class B, expression E, class X>
void run(B const& backend, E, weights<E> const& w, context& c, X x, rows y) {
    using node = body<E>;
    detail::named const module(c, node::label);
    detail::run_node(backend, node{}, w, c, x, y);
    if constexpr (!node::label.empty() && node::is_observed) module.tell(y);
}

} // namespace llamavision

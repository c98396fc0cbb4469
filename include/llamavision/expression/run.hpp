// SPDX-License-Identifier: Apache-2.0
// The reading `run`: rows flow through the expression on a backend. With an observer in the context the same reading is
// `trace`; with a measuring arena it is `plan`. A backend that offers a kernel for several layers together (`fused`) is
// given all of them.
#pragma once

#include <array>
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

/// The backend's kernel for all of E, which is several layers. Empty where there is none; the headers of the layers
/// specialise it, so it is known wherever the layers are. What it may have:
/// - `run(backend, w, x, y)`: y = E(x); x is rows, or normed_rows.
/// - `add(backend, w, x, scale, y)`: y += scale · E(x).
template <class B, class E>
struct fused {};

namespace detail {

/// Adds `label` to the path of names while it lives, if there is an observer.
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
    if constexpr (!E::takes_scratch)
        if (c.measuring()) return;
    E::run(backend, w, c, x, y);
}

/// What F outputs is as wide as F or G declare; where both take any width, as wide as x.
template <class F, class G, class X>
std::size_t width_between(X const& x) {
    if constexpr (width_out<F> != any_width)
        return width_out<F>;
    else if constexpr (width_in<G> != any_width)
        return width_in<G>;
    else
        return x.width;
}

/// Whether F | G, of rows, is a norm that G's products apply while they read their input.
template <class B, class F, class G, class X>
inline constexpr bool norm_is_read = fuses<B, fusion::norms>&& body<G>::reads_by_products&&
    std::same_as<X, rows>&& requires(weights<F> const& w, rows x) {
    F::for_reader(w, x);
};

/// Whether the backend has a kernel for all of E. It is not used under an observer, who is shown the parts.
template <class B, class E>
inline constexpr bool has_fused = requires(B const& backend, weights<E> const& w, rows x) {
    fused<B, E>::run(backend, w, x, x);
};
/// Whether it has one for y += scale · E(x): the addition happens in the epilogue of E's last product.
template <class B, class E>
inline constexpr bool has_fused_add = requires(B const& backend, weights<E> const& w, rows x, float scale) {
    fused<B, E>::add(backend, w, x, scale, x);
};
template <class B, is_module E>
inline constexpr bool has_fused_add<B, E> = has_fused_add<B, body<E>>;
template <class B, class F, class G>
inline constexpr bool has_fused_add<B, grammar::chain<F, G>> = has_fused_add<B, G>;
template <class B, name Name, class F>
inline constexpr bool has_fused_add<B, grammar::scope<Name, F>> = has_fused_add<B, F>;

/// Runs E by the backend's kernel for it. @return false: there is none, or there is an observer
template <class B, class E, class X>
bool ran_fused([[maybe_unused]] B const& backend, E, [[maybe_unused]] weights<E> const& w, [[maybe_unused]] context& c,
               [[maybe_unused]] X x, [[maybe_unused]] rows y) {
    if constexpr (has_fused<B, E>)
        if (!c.watch) {
            if (!c.measuring()) fused<B, E>::run(backend, w, x, y);
            return true;
        }
    return false;
}

template <class B, class F, class G, class X>
void run_node(B const& backend, grammar::chain<F, G> e, weights<grammar::chain<F, G>> const& w, context& c, X x,
              rows y) {
    if constexpr (norm_is_read<B, F, G, X>)
        if (!c.watch) return run(backend, G{}, std::get<1>(w.parts), c, F::for_reader(std::get<0>(w.parts), x), y);
    if (ran_fused(backend, e, w, c, x, y)) return;
    if constexpr (works_in_place<G>) {
        run(backend, F{}, std::get<0>(w.parts), c, x, y);
        run(backend, G{}, std::get<1>(w.parts), c, y, y);
    } else {
        arena::frame const frame(c.scratch);
        rows const between = c.scratch.take(body<F>::rows_after(c, x.count), width_between<F, G>(x));
        run(backend, F{}, std::get<0>(w.parts), c, x, between);
        run(backend, G{}, std::get<1>(w.parts), c, between, y);
    }
}

template <class B, class F, class G, class X>
void run_node(B const& backend, grammar::product<F, G> e, weights<grammar::product<F, G>> const& w, context& c, X x,
              rows y) {
    if (ran_fused(backend, e, w, c, x, y)) return;
    arena::frame const frame(c.scratch);
    rows const second = c.scratch.take(y.count, y.width);
    run(backend, F{}, std::get<0>(w.parts), c, x, y);
    run(backend, G{}, std::get<1>(w.parts), c, x, second);
    if (!c.measuring()) backend.multiply(y.data, second.data, y.size(), y.data);
}

template <class B, class F, class G, class X>
void add(B const& backend, grammar::chain<F, G>, weights<grammar::chain<F, G>> const& w, context& c, X x, float scale,
         rows y);
template <class B, name Name, class F, class X>
void add(B const& backend, grammar::scope<Name, F>, weights<grammar::scope<Name, F>> const& w, context& c, X x,
         float scale, rows y);

/// y += scale · E(x), for an E that `has_fused_add`. y may be what x is made of, if E reads before it writes.
template <class B, class E, class X>
void add(B const& backend, E, weights<E> const& w, context& c, X x, float scale, rows y) {
    if constexpr (is_module<E>)
        add(backend, body<E>{}, w, c, x, scale, y);
    else if (!c.measuring())
        fused<B, E>::add(backend, w, x, scale, y);
}
template <class B, class F, class G, class X>
void add(B const& backend, grammar::chain<F, G>, weights<grammar::chain<F, G>> const& w, context& c, X x, float scale,
         rows y) {
    if constexpr (norm_is_read<B, F, G, X> && body<G>::reads_before_writing)
        return add(backend, G{}, std::get<1>(w.parts), c, F::for_reader(std::get<0>(w.parts), x), scale, y);
    arena::frame const frame(c.scratch);
    rows const between = c.scratch.take(body<F>::rows_after(c, x.count), width_between<F, G>(x));
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
    if (!c.measuring() && (body<F>::outputs_zero(c) || x.data != y.data)) {
        if (x.data != y.data) backend.copy(x.data, x.size(), y.data);
        if (body<F>::outputs_zero(c)) return;
    }
    float scale = 1.0f;
    if constexpr (!std::same_as<Gate, grammar::no_gate>)
        if (!c.measuring()) scale = Gate::value(std::get<1>(w.parts));
    if constexpr (body<F>::reads_before_writing && has_fused_add<B, F>) // y may be x
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

/// One layer of a stack, in place on y. One that would leave all rows alone is skipped, and is not shown to an observer
/// (Hugging Face skips the cross layers of a pass without an image).
template <class B, class Block, class Layers>
void run_layer(B const& backend, Block, Layers const& layers, context& c, rows y, named const& layer) {
    if (!c.measuring() && body<Block>::is_identity(c)) return;
    run(backend, Block{}, layers[c.layer], c, y, y);
    layer.tell(y);
}

template <class B, class E, class... Blocks, std::size_t... I>
void run_layers(B const& backend, E, part_list<Blocks...>, std::index_sequence<I...>, weights<E> const& w, context& c,
                rows y) {
    // Taps are the *inputs* of the named layers (Meta appends x before it calls the block).
    auto const tap = [&]([[maybe_unused]] std::size_t done) {
        if constexpr (E::taps::layers.size() > 0)
            for (std::size_t k = 0; k < E::taps::layers.size(); ++k)
                if (!c.measuring() && E::taps::layers[k] + c.vision->tap_shift == done)
                    backend.copy(y.data, y.size(), c.vision->taps[k]);
    };
    std::array<std::size_t, sizeof...(Blocks)> done{}; // layers of each kind
    for (std::size_t i = 0; i < E::depth; ++i) {
        tap(i);
        std::size_t const block = E::block_of(i);
        if (c.measuring() && done[block] > 0) continue; // every layer of a kind takes the same
        named const layer(c, i);
        c.layer = done[block]++;
        ((block == I ? run_layer(backend, Blocks{}, std::get<I>(w.parts), c, y, layer) : void()), ...);
        if (c.on_layer && !c.measuring()) (*c.on_layer)();
    }
    tap(E::depth);
}

template <class B, std::size_t N, class Second, class Taps, class... Blocks>
void run_node(B const& backend, grammar::stack<N, Second, Taps, Blocks...> e,
              weights<grammar::stack<N, Second, Taps, Blocks...>> const& w, context& c, rows x, rows y) {
    if (!c.measuring() && x.data != y.data) backend.copy(x.data, x.size(), y.data);
    run_layers(backend, e, part_list<Blocks...>{}, std::index_sequence_for<Blocks...>{}, w, c, y);
}

} // namespace detail

/// Runs E on `x` (rows, ids or tiles) and leaves its output in `y`, whose memory and row count the caller provides.
/// Memory beyond x and y comes from `c.scratch`. Nothing is allocated.
template <class B, expression E, class X>
void run(B const& backend, E, weights<E> const& w, context& c, X x, rows y) {
    static_assert(fusions_agree<B>());
    using node = body<E>;
    detail::named const module(c, node::label);
    weights<node> const& of_node = w; // a module's are those of what it is
    detail::run_node(backend, node{}, of_node, c, x, y);
    if constexpr (!node::label.empty() && node::is_observed) module.tell(y);
}

} // namespace llamavision

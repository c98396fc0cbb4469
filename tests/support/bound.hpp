// SPDX-License-Identifier: Apache-2.0
// Hand-made expressions with hand-made weights, run on the scalar backend.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/expression/run.hpp>
#include <llamavision/layers/activation.hpp>
#include <llamavision/layers/gate.hpp>
#include <llamavision/layers/linear.hpp>

using floats = std::vector<float>;

/// Tensors from a list of (name, shape, values).
struct given_tensor {
    std::string name;
    std::vector<std::size_t> extents;
    floats values;
};
[[nodiscard]] inline llamavision::checkpoint::named_tensors tensors(std::vector<given_tensor> const& list) {
    llamavision::checkpoint::named_tensors all;
    for (given_tensor const& t : list) {
        auto const owner = std::make_shared<floats const>(t.values);
        all.tensors[t.name] = {llamavision::checkpoint::dtype::f32, t.extents, std::as_bytes(std::span(*owner))};
        all.owners.push_back(owner);
    }
    return all;
}

/// An expression with its weights, ready to run.
template <class E>
class bound {
  public:
    bound(E e, std::vector<given_tensor> const& list) {
        llamavision::binder binder(tensors(list));
        binder.bind(e, weights_);
        owners_ = binder.finish();
    }
    [[nodiscard]] llamavision::weights<E> const& weights() const { return weights_; }

    /// y (rows_out, width_out) for x (rows_in, width_in). The scratch memory is just what the plan says.
    [[nodiscard]] floats operator()(floats x, std::size_t width_in, std::size_t width_out, std::size_t rows_out = 0,
                                    llamavision::context const& standing = empty()) const {
        std::size_t const count = x.size() / width_in;
        return on(llamavision::rows{x.data(), count, width_in}, rows_out ? rows_out : count, width_out, standing);
    }
    /// The same for whatever flows in.
    template <class X>
    [[nodiscard]] floats on(X in, std::size_t rows_out, std::size_t width_out,
                            llamavision::context const& standing = empty()) const {
        floats y(rows_out * width_out, -77.0f);
        llamavision::rows const out{y.data(), rows_out, width_out};
        llamavision::arena measure;
        pass(measure, standing, in, out);
        floats memory(measure.peak());
        llamavision::arena scratch(memory);
        pass(scratch, standing, in, out);
        peaks_equal = scratch.peak() == measure.peak();
        return y;
    }
    /// Whether the last run took just what was planned.
    mutable bool peaks_equal = false;

  private:
    static llamavision::context const& empty() {
        static llamavision::arena nothing;
        static llamavision::context const c{nothing};
        return c;
    }
    template <class X>
    void pass(llamavision::arena& memory, llamavision::context const& standing, X in, llamavision::rows out) const {
        llamavision::context c{memory};
        c.text = standing.text;
        c.vision = standing.vision;
        c.watch = standing.watch;
        c.on_layer = standing.on_layer;
        run(llamavision::scalar{}, E{}, weights_, c, in, out);
    }

    llamavision::weights<E> weights_;
    std::vector<std::shared_ptr<void const>> owners_;
};

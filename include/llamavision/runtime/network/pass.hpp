// SPDX-License-Identifier: Apache-2.0
// What a pass over either half of a model needs: inputs where kernels read them, observers that see activations in the
// host's memory, and progress after each layer.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/expression/context.hpp>
#include <llamavision/runtime/network/network.hpp>
#include <llamavision/runtime/weights/stream.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision {

/// `count` values of the host where kernels read them: the same, or a copy in the backend's memory, from the scratch.
template <backend B, class Value>
Value const* on_device([[maybe_unused]] B const& backend, Value const* values, [[maybe_unused]] std::size_t count,
                       [[maybe_unused]] arena& scratch) {
    if constexpr (!owns_memory<B>)
        return values;
    else {
        float* const to = scratch.take(1, ceil_div(count * sizeof(Value), sizeof(float))).data;
        if (!scratch.measuring()) backend.upload(values, count * sizeof(Value), to);
        return reinterpret_cast<Value const*>(to);
    }
}

/// An observer that is shown activations in the host's memory. It refers to both arguments.
template <backend B>
observer on_host([[maybe_unused]] B const& backend, observer const& watch) {
    if constexpr (owns_memory<B>)
        if (watch)
            return [&backend, &watch, copy = std::vector<float>()](std::string_view module, rows const& y) mutable {
                copy.resize(y.size());
                backend.download(y.data, y.size() * sizeof(float), copy.data());
                watch(module, {copy.data(), y.count, y.width});
            };
    return watch;
}

/// After each layer: asks for the next weights, calls the progress of the options, and throws `cancelled` when their
/// stop token asks for it.
template <class Options>
struct layer_counter {
    Options const& options;
    std::size_t total;           ///< layers
    weight_stream const* stream; ///< null: the weights lie in memory
    std::size_t done = 0;

    void operator()() {
        ++done;
        if (stream) stream->enter(done);
        if (options.on_progress) options.on_progress(done, total);
        if (options.stop.stop_requested()) throw cancelled("stopped on request");
    }
};

/// Options of a pass that only measures.
template <class Options>
[[nodiscard]] Options measuring(bool watched) {
    Options options;
    if (watched) options.watch = [](std::string_view, rows const&) {};
    return options;
}

} // namespace llamavision

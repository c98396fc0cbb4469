// SPDX-License-Identifier: Apache-2.0
// What a picture is encoded with, as one hash: pictures may be kept under it, and are never taken for another model's.
// Of every byte, or of a sample, which costs nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/memory.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/runtime/weights/placement.hpp>
#include <llamavision/support/content_hash.hpp>
#include <llamavision/support/sha256.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision {

/// The hash of every weight that encoding reads, as it lies in memory: the encoder's, and those of the reader that make
/// keys and values of images; of the backend and its kernels; and of whatever else decides the bits.
/// @param name of the configuration
/// @param how what else decides the bits
/// @param read the weights, in the order in which data flows
/// @param sample so many bytes from the middle of each are read; by default all of them, at the speed of memory
template <backend B>
[[nodiscard]] std::string identify_encoder(B const& backend, std::string_view name, std::string_view how,
                                           std::span<bound_weight const* const> read, std::size_t sample = SIZE_MAX) {
    sha256 digest;
    auto const add = [&](std::string text) {
        text += '\n';
        digest.update(std::as_bytes(std::span(std::as_const(text))));
    };
    add("llamavision " + std::string(name) + ", encoder 1"); // 1: counts changes of what is computed
    add(std::string(backend.name()));
    if constexpr (requires { backend.kernels(); }) add(backend.kernels());
    add(std::string(how));

    thread_pool* pool = nullptr;
    if constexpr (requires { host_backend(backend).pool(); }) pool = host_backend(backend).pool().get();
    std::vector<std::byte> downloaded;
    for (bound_weight const* const w : read) {
        std::size_t const count = std::min(sample, w->bytes.size());
        std::span<std::byte const> bytes = w->bytes.subspan((w->bytes.size() - count) / 2, count);
        if (w->where == home::device) {
            downloaded.resize(count);
            download(backend, bytes.data(), count, downloaded.data());
            bytes = downloaded;
        }
        add(w->facts.name + " " + std::string(name_of(w->type)) + " " + std::to_string(w->bytes.size()) + " "
            + std::to_string(content_hash(bytes, pool)));
    }
    return digest.hex();
}

/// Such a hash, made when it is first asked for, by whichever thread.
class known_identity {
  public:
    template <class Make>
    std::string const& get(Make const& make) {
        std::call_once(made_, [&] { text_ = make(); });
        return text_;
    }

  private:
    std::once_flag made_;
    std::string text_;
};

} // namespace llamavision

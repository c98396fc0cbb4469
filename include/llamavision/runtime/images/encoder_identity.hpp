// SPDX-License-Identifier: Apache-2.0
// What a picture is encoded with, as one hash: pictures may be kept under it, and are never taken for another model's.
// Of every byte, or of a sample, which costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/memory.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/runtime/weights/placement.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision {

/// What the bits of an encoded picture depend on beside its weights.
struct encoder_facts {
    std::string configuration; ///< its name
    std::string backend;
    std::string kernels; ///< of the backend, if it has several; else empty
    std::string how;     ///< what else decides the bits
};

/// The hash of every weight that encoding reads, as it lies in memory: the encoder's, and those of the reader that make
/// keys and values of images; and of those facts.
/// @param read the weights, in the order in which data flows
/// @param sample so many bytes from the middle of each are read; SIZE_MAX: all of them, at the speed of memory
/// @param pool shares the work; may be null
/// @param download from the backend's memory, for weights that lie there
[[nodiscard]] LLAMAVISION_INLINE std::string
hash_of_encoder(encoder_facts const& facts, std::span<bound_weight const* const> read, std::size_t sample,
                thread_pool* pool, std::function<void(std::byte const*, std::span<std::byte>)> const& download);

/// The same, of a backend.
template <backend B>
[[nodiscard]] std::string identify_encoder(B const& backend, std::string_view configuration, std::string_view how,
                                           std::span<bound_weight const* const> read, std::size_t sample = SIZE_MAX) {
    encoder_facts facts{std::string(configuration), std::string(backend.name()), {}, std::string(how)};
    if constexpr (requires { backend.kernels(); }) facts.kernels = backend.kernels();
    thread_pool* pool = nullptr;
    if constexpr (requires { host_backend(backend).pool(); }) pool = host_backend(backend).pool().get();
    return hash_of_encoder(facts, read, sample, pool, [&](std::byte const* from, std::span<std::byte> to) {
        download(backend, from, to.size(), to.data());
    });
}

/// Such a hash, made once, when it is first needed; any thread may ask.
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

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/images/encoder_identity.ipp>
#endif

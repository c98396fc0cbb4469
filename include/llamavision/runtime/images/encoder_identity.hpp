// SPDX-License-Identifier: Apache-2.0
// What a picture is encoded with, as one hash: pictures may be kept under it, and are never taken for another model's.
// Of every byte, or of a sample, which costs nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/memory.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/expression/weights.hpp>
#include <llamavision/model/mllama.hpp>
#include <llamavision/runtime/weights/placement.hpp>
#include <llamavision/support/content_hash.hpp>
#include <llamavision/support/sha256.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision {

/// The hash of every weight that encoding reads, as it lies in memory: the encoder's, and the cross-attention's keys
/// and values; of the backend and its kernels; and of `how`, whatever else decides the bits. Reads so many bytes from
/// the middle of each; all of them by default, at the speed of memory.
template <configuration C, backend B>
[[nodiscard]] std::string identify_encoder(B const& backend, std::string_view how, std::span<bound_weight const> bound,
                                           std::size_t sample = SIZE_MAX) {
    std::set<std::string, std::less<>> read;
    auto const add_names = [&](auto node, auto const&, std::string const& path) {
        for (parameter const& p : node.parameters) read.insert(path + std::string(p.suffix));
    };
    walk(mllama<C>.encoder, *std::make_unique<weights<image_encoder<C>>>(), "", add_names);
    walk(mllama<C>.reader, *std::make_unique<weights<language_model<typename C::text>>>(), "",
         [&](auto node, auto const& w, std::string const& path) {
             if constexpr (requires { node.walk_memorised(w, path, add_names); })
                 node.walk_memorised(w, path, add_names);
         });

    sha256 digest;
    auto const add = [&](std::string text) {
        text += '\n';
        digest.update(std::as_bytes(std::span(std::as_const(text))));
    };
    add("llamavision " + std::string(C::name) + ", encoder 1"); // 1: counts changes of what is computed
    add(std::string(backend.name()));
    if constexpr (requires { backend.kernels(); }) add(backend.kernels());
    add(std::string(how));

    thread_pool* pool = nullptr;
    if constexpr (requires { host_backend(backend).pool(); }) pool = host_backend(backend).pool().get();
    std::vector<std::byte> brought;
    for (bound_weight const& w : bound)
        if (read.contains(w.name)) {
            std::size_t const count = std::min(sample, w.bytes.size());
            std::span<std::byte const> bytes = w.bytes.subspan((w.bytes.size() - count) / 2, count);
            if (w.where == home::device) {
                brought.resize(count);
                download(backend, bytes.data(), count, brought.data());
                bytes = brought;
            }
            add(w.name + " " + std::string(name_of(w.type)) + " " + std::to_string(w.bytes.size()) + " "
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

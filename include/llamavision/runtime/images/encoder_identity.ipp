// SPDX-License-Identifier: Apache-2.0
// How the weights of an encoder become one hash.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/runtime/images/encoder_identity.hpp>
#include <llamavision/support/content_hash.hpp>
#include <llamavision/support/sha256.hpp>

namespace llamavision {

LLAMAVISION_INLINE std::string
hash_of_encoder(encoder_facts const& facts, std::span<bound_weight const* const> read, std::size_t sample,
                thread_pool* pool, std::function<void(std::byte const*, std::span<std::byte>)> const& download) {
    sha256 digest;
    auto const add = [&](std::string text) {
        text += '\n';
        digest.update(std::as_bytes(std::span(std::as_const(text))));
    };
    add("llamavision " + facts.configuration + ", encoder 1"); // 1: counts changes of what is computed
    add(facts.backend);
    if (!facts.kernels.empty()) add(facts.kernels);
    add(facts.how);
    std::vector<std::byte> downloaded;
    for (bound_weight const* const w : read) {
        std::size_t const count = std::min(sample, w->bytes.size());
        std::span<std::byte const> bytes = w->bytes.subspan((w->bytes.size() - count) / 2, count);
        if (w->where == home::device) {
            downloaded.resize(count);
            download(bytes.data(), downloaded);
            bytes = downloaded;
        }
        std::string_view const layout = w->layout ? w->layout->name : "rows";
        add(w->facts.name + " " + std::string(name_of(w->type)) + " in " + std::string(layout) + " "
            + std::to_string(w->bytes.size()) + " " + std::to_string(content_hash(bytes, pool)));
    }
    return digest.hex();
}

} // namespace llamavision

// SPDX-License-Identifier: Apache-2.0
// Whether a model fits, before anything large is allocated.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include <llamavision/runtime/network/network.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision {

namespace detail {
[[nodiscard]] inline std::string in_gigabytes(std::size_t bytes) {
    std::string const tenths = std::to_string((bytes + 50'000'000) / 100'000'000);
    return (tenths.size() > 1 ? tenths.substr(0, tenths.size() - 1) : "0") + "." + tenths.back() + " GB";
}

inline constexpr char const* read_from_disk =
    "with load_options::beyond_memory (--beyond-memory) it reads them from the disk for every token, slowly";
inline constexpr char const* read_as_needed =
    "a file of packed weights (load_options::packed, --packed) is read as it is needed";
} // namespace detail

/// What weights, one picture and a conversation of a thousand tokens leave of so many bytes, for mapped weights.
/// @param apart whether they are bytes of a backend's own memory, into which nothing is mapped
/// @param beyond whether it may take more than there is; then nothing may be left
/// @throws memory_error with the figures
[[nodiscard]] inline std::size_t budget_left(memory_plan const& m, std::size_t budget, bool apart, bool beyond) {
    std::size_t const need = m.own(1000), mapped = apart ? 0 : m.weights.mapped;
    if (beyond || need + mapped <= budget) return budget - std::min(budget, need);
    using detail::in_gigabytes;
    bool const in_files = need <= budget; // what is too much
    std::size_t const counted = in_files ? mapped : 0;
    std::string advice = "; smaller formats for its weights take less";
    if (in_files)
        advice += std::string(", and ") + detail::read_from_disk;
    else if (!apart)
        advice += std::string(", and ") + detail::read_as_needed;
    throw memory_error("the model takes " + in_gigabytes(need + counted) + " of memory (weights "
                       + in_gigabytes(m.weights.own + counted)
                       + (in_files ? ", of which " + in_gigabytes(mapped) + " lie in files; " : ", ")
                       + "a picture and a conversation " + in_gigabytes(need - m.weights.own) + ") and "
                       + in_gigabytes(budget) + " are available" + advice);
}

/// The same for the weights that a backend with memory of its own leaves to the host, of whose memory there are so many
/// bytes.
/// @throws memory_error with the figures
inline void check_host_memory(weight_memory const& w, std::size_t budget, bool beyond) {
    using detail::in_gigabytes;
    bool const in_files = w.host <= budget; // what is too much
    if (in_files && (beyond || w.host + w.mapped <= budget)) return;
    throw memory_error("what the model leaves to the CPU takes " + in_gigabytes(in_files ? w.host + w.mapped : w.host)
                       + " of the machine's memory"
                       + (in_files ? " (of which " + in_gigabytes(w.mapped) + " lie in files)" : "") + ", and "
                       + in_gigabytes(budget)
                       + " are available; more layers on the GPU (--gpu-layers) or smaller formats leave less, and "
                       + (in_files ? detail::read_from_disk : detail::read_as_needed));
}

} // namespace llamavision

// SPDX-License-Identifier: Apache-2.0
// One small network on the scalar backend and one on simd, compiled once for all tests of the runtime.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/runtime/conversation/session.hpp>
#include <llamavision/runtime/network/options.hpp>
#include <llamavision/support/thread_pool.hpp>

#include "../support/small.hpp"

std::shared_ptr<llamavision::network const> small_network();
std::shared_ptr<llamavision::network const> small_network_simd();
std::shared_ptr<llamavision::network const> small_network_with(llamavision::network_options const& how);
/// The same on a backend with memory of its own (apart.hpp), and the wide one on a tier of simd, in one format.
std::shared_ptr<llamavision::network const> apart_network();
std::shared_ptr<llamavision::network const> wide_network_on(llamavision::tier level, llamavision::weight_format f,
                                                            std::shared_ptr<llamavision::thread_pool> pool = nullptr);
/// Other weights, another number of cross layers.
std::shared_ptr<llamavision::network const> other_network();
/// The small network with one other value: for arrangement 2 (one row of two tiles), the table has a value in slot 3,
/// which is padding.
std::shared_ptr<llamavision::network const> network_with_fine_tuned_tables();
/// A network whose rows have whole blocks: tower in bf16, text in q4, on simd. Its tensors are made when they are
/// bound; `made` counts them.
std::shared_ptr<llamavision::network const> wide_network(std::uint64_t seed, llamavision::network_options how = {},
                                                         std::size_t* made = nullptr);
/// The same on a backend of another name, which inherits simd's layouts, and whose kernels are all simd's.
std::shared_ptr<llamavision::network const> wide_network_elsewhere(llamavision::network_options how, std::size_t* made);
/// The message for a checkpoint of the wide network in which one value of that tensor is infinite.
std::string fault_of_infinite(std::string const& tensor, llamavision::weight_formats const& formats);
/// The message for a checkpoint of the small network with one misspelled and one misshapen tensor.
std::string faults_of_renamed_checkpoint();

/// A random picture, encoded by a network with the small numbers; pictures of different seeds differ.
inline llamavision::session::image_ptr picture_by(llamavision::network const& net, std::size_t rows,
                                                  std::size_t columns, std::uint64_t seed = 1,
                                                  llamavision::encode_options options = {}) {
    options.remember_padding = true;
    return net.encode(random_tiles(rows, columns, small::vision::tile, seed), options);
}
inline llamavision::session::image_ptr picture(std::size_t rows, std::size_t columns, std::uint64_t seed = 1,
                                               llamavision::encode_options options = {}) {
    return picture_by(*small_network(), rows, columns, seed, std::move(options));
}

inline constexpr llamavision::token image_token = small::text::vocabulary;

using id_list = std::vector<llamavision::token>;
using image_list = std::vector<llamavision::session::image_ptr>;

[[nodiscard]] inline std::vector<float> copy(std::span<float const> values) { return {values.begin(), values.end()}; }

/// Logits of the last row after reading the prompt in one pass.
[[nodiscard]] inline std::vector<float> logits_after(id_list const& ids, image_list const& images = {},
                                                     llamavision::session_options options = {}) {
    llamavision::session s(small_network(), options);
    s.append(ids, images);
    return copy(s.logits());
}

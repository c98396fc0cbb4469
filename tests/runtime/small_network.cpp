// SPDX-License-Identifier: Apache-2.0
#include "small_network.hpp"

#include "../support/message.hpp"
#include "apart.hpp"

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/model/random_weights.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>

#include <cstring>
#include <limits>
#include <utility>

namespace lv = llamavision;

namespace {
struct other : small {
    struct text : small::text {
        static constexpr std::array<std::size_t, 1> cross_layers{2};
    };
};

struct wide {
    static constexpr std::string_view name = "wide";
    struct vision : small::vision {
        static constexpr std::size_t width = 32, mlp = 64;
    };
    struct text : small::text {
        static constexpr std::size_t width = 64, mlp = 96, vocabulary = 64;
    };
};

template <class C, class B>
std::shared_ptr<lv::network const> make(B backend, std::uint64_t seed, lv::network_options const& how = {}) {
    return std::make_shared<lv::network_of<C, B>>(random_weights<C>(seed), std::move(backend), how);
}

struct elsewhere : lv::simd {
    using lv::simd::simd;
    [[nodiscard]] std::string_view name() const { return "elsewhere"; }
};

template <class B>
std::shared_ptr<lv::network const> make_wide(B backend, std::uint64_t seed, lv::network_options how,
                                             std::size_t* made) {
    lv::checkpoint::named_tensors all = lv::random_weights<wide>(seed);
    if (made)
        for (auto& [name, tensor] : all.tensors)
            tensor.make = [made, make = tensor.make](std::span<std::byte> room) {
                ++*made;
                make(room);
            };
    how.formats = lv::weight_formats::divided(lv::weight_format::bf16, lv::weight_format::q4);
    return std::make_shared<lv::network_of<wide, B>>(std::move(all), std::move(backend), how);
}
} // namespace

std::shared_ptr<lv::network const> small_network() {
    static auto const network = make<small>(lv::scalar{}, 1);
    return network;
}
std::shared_ptr<lv::network const> small_network_with(lv::network_options const& how) {
    return make<small>(lv::scalar{}, 1, how);
}
std::shared_ptr<lv::network const> small_network_simd() {
    static auto const network = make<small>(lv::simd(2), 1);
    return network;
}
std::shared_ptr<lv::network const> apart_network() {
    static auto const network = make<small>(apart{}, 1);
    return network;
}
std::shared_ptr<lv::network const> wide_network_on(lv::tier level, lv::weight_format f,
                                                   std::shared_ptr<lv::thread_pool> pool) {
    lv::network_options how;
    how.formats = lv::weight_formats::divided(f, f);
    return std::make_shared<lv::network_of<wide, lv::simd>>(random_weights<wide>(1),
                                                            lv::simd(lv::simd_options{2, level, std::move(pool)}), how);
}
std::shared_ptr<lv::network const> other_network() {
    static auto const network = make<other>(lv::scalar{}, 2);
    return network;
}

std::shared_ptr<lv::network const> network_with_fine_tuned_tables() {
    lv::checkpoint::named_tensors all = random_weights<small>(1);
    auto& table = all.tensors.at("vision_model.post_tile_positional_embedding.embedding.weight");
    std::size_t const slot = small::vision::width;
    auto const values = std::make_shared<std::vector<float>>(9 * 4 * slot);
    std::memcpy(values->data(), table.bytes.data(), table.bytes.size());
    (*values)[(2 * 4 + 3) * slot + 5] = 0.5f;
    table.bytes = std::as_bytes(std::span(std::as_const(*values)));
    all.owners.push_back(values);
    return std::make_shared<lv::network_of<small, lv::scalar>>(std::move(all), lv::scalar{});
}

std::shared_ptr<lv::network const> wide_network(std::uint64_t seed, lv::network_options how, std::size_t* made) {
    return make_wide(lv::simd(2), seed, std::move(how), made);
}
std::shared_ptr<lv::network const> wide_network_elsewhere(lv::network_options how, std::size_t* made) {
    return make_wide(elsewhere(2), 1, std::move(how), made);
}

std::string fault_of_infinite(std::string const& tensor, lv::weight_formats const& formats) {
    return message_of<lv::format_error>([&] {
        lv::checkpoint::named_tensors all = random_weights<wide>(1);
        auto& damaged = all.tensors.at(tensor);
        auto const values = std::make_shared<std::vector<float>>(damaged.bytes.size() / sizeof(float));
        std::memcpy(values->data(), damaged.bytes.data(), damaged.bytes.size());
        values->at(values->size() / 2) = -std::numeric_limits<float>::infinity();
        damaged.bytes = std::as_bytes(std::span(std::as_const(*values)));
        all.owners.push_back(values);
        lv::network_options how;
        how.formats = formats;
        return lv::network_of<wide, lv::simd>(std::move(all), lv::simd(2), how).size().tensors;
    });
}

std::string faults_of_renamed_checkpoint() {
    return message_of<lv::mismatch_error>([] {
        lv::checkpoint::named_tensors all = random_weights<small>(1);
        auto node = all.tensors.extract("language_model.model.norm.weight");
        node.key() = "language_model.model.norms.weight";
        all.tensors.insert(std::move(node));
        all.tensors.at("vision_model.class_embedding").shape = {13};
        return lv::network_of<small, lv::scalar>(std::move(all), lv::scalar{}).size().tensors;
    });
}

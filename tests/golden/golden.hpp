// SPDX-License-Identifier: Apache-2.0
// One folder of goldens: its model on a backend, its pictures, its cases, and what the references computed.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/runtime/conversation/session.hpp>

namespace golden {

namespace lv = llamavision;

using floats = std::vector<float>;
using network_ptr = std::shared_ptr<lv::network const>;

/// From bf16 on: the simd backend with all weights in bf16, and with the tower's as integers, or the text's as blocks;
/// the cuda backend on the host and on a GPU, weights as stored.
enum class kernels { scalar, simd, bf16, i8, q8, q4, emulated, gpu };

// Each in a translation unit of its own.
network_ptr open_p1(std::filesystem::path const& folder, kernels which);
network_ptr open_g1(std::filesystem::path const& folder, kernels which);
network_ptr open_g2(std::filesystem::path const& folder, kernels which);
network_ptr open_p1_on_cuda(std::filesystem::path const& folder, kernels which);
network_ptr open_g1_on_cuda(std::filesystem::path const& folder, kernels which);
network_ptr open_g2_on_cuda(std::filesystem::path const& folder, kernels which);
/// Whether this was built for GPUs, and there is one.
bool has_gpu();

template <class T>
T element(std::byte const* bytes, std::size_t i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    return value;
}

inline floats floats_of(lv::checkpoint::tensor const& t) {
    floats values(t.bytes.size() / lv::checkpoint::size_of(t.type));
    bool const halves = t.type == lv::checkpoint::dtype::bf16;
    REQUIRE((halves || t.type == lv::checkpoint::dtype::f32));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] =
            halves ? static_cast<float>(element<lv::bf16>(t.bytes.data(), i)) : element<float>(t.bytes.data(), i);
    return values;
}

inline std::vector<lv::token> ids_of(lv::checkpoint::tensor const& t) {
    REQUIRE(t.type == lv::checkpoint::dtype::i64);
    std::vector<lv::token> ids(t.bytes.size() / 8);
    for (std::size_t i = 0; i < ids.size(); ++i)
        ids[i] = static_cast<lv::token>(element<std::int64_t>(t.bytes.data(), i));
    return ids;
}

/// The largest difference relative to the largest magnitude of what was wanted.
struct distance {
    double most = 0, largest = 0;

    void add(float is, float wanted) {
        double const d = std::abs(static_cast<double>(is) - static_cast<double>(wanted));
        if (!(d <= most)) most = d; // a NaN is a difference, too
        largest = std::max(largest, std::abs(static_cast<double>(wanted)));
    }
    [[nodiscard]] double relative() const { return most / largest; }
};

/// Who reads the prompt, and the goldens' word for it.
struct mode {
    lv::parity reading;
    char const* rows;   ///< whose prompt rows it gives; where these are not stored, they are "hf"
    char const* greedy; ///< whose generated tokens
};
inline constexpr std::array modes{mode{lv::parity::hugging_face, "hf", "hf"}, mode{lv::parity::meta, "meta", "meta"},
                                  mode{lv::parity::usual, "meta", "mixed"}};

class shape {
  public:
    shape(std::string const& name, network_ptr (*open)(std::filesystem::path const&, kernels), kernels which)
        : folder_(std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden" / name),
          network_(open(folder_ / "hf", which)), pictures_(read("images")) {
        std::ifstream file(folder_ / "golden" / "cases.json");
        REQUIRE(file.is_open());
        cases_ = nlohmann::json::parse(file);
    }

    [[nodiscard]] network_ptr const& network() const { return network_; }
    [[nodiscard]] nlohmann::json const& cases() const { return cases_.at("cases"); }
    /// golden/<name>.safetensors
    [[nodiscard]] lv::checkpoint::named_tensors read(std::string const& name) const {
        return lv::checkpoint::read_safetensors(folder_ / "golden" / (name + ".safetensors"));
    }
    /// The keys of all pictures, "1x2" and so on.
    [[nodiscard]] std::vector<std::string> pictures() const {
        std::vector<std::string> keys;
        for (auto const& [name, tensor] : pictures_.tensors) keys.push_back(name.substr(0, name.find('.')));
        return keys;
    }
    [[nodiscard]] lv::image::tiles tiles(std::string const& key) const {
        return {static_cast<std::size_t>(key[0] - '0'), static_cast<std::size_t>(key[2] - '0'),
                network_->numbers().vision.tile, floats_of(pictures_.tensors.at(key + ".pixel_values"))};
    }

    /// The pictures of a case, encoded once for each set of options.
    [[nodiscard]] std::vector<lv::session::image_ptr> encoded(nlohmann::json const& keys, bool remember, bool collapse,
                                                              bool after) {
        std::vector<lv::session::image_ptr> images;
        for (std::string const key : keys) {
            lv::session::image_ptr& image =
                encoded_[key + (remember ? " remember" : "") + (collapse ? " collapse" : "") + (after ? " after" : "")];
            if (!image) {
                lv::encode_options options;
                options.remember_padding = remember;
                options.collapse_padding = collapse;
                options.taps_after_layer = after;
                image = network_->encode(tiles(key), options);
            }
            images.push_back(image);
        }
        return images;
    }

  private:
    std::filesystem::path folder_;
    network_ptr network_;
    lv::checkpoint::named_tensors pictures_;
    nlohmann::json cases_;
    std::map<std::string, lv::session::image_ptr> encoded_;
};

} // namespace golden

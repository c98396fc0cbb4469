// SPDX-License-Identifier: Apache-2.0
// Stored tensors of quantised modules, made from formulas, and what reading them gives.
#pragma once

#include <llamavision/checkpoint/encoding/convert.hpp>
#include <llamavision/checkpoint/encoding/quantised/join.hpp>
#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/model_config.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/half.hpp>

#include "../../support/message.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace stored {

using llamavision::bf16;
using llamavision::f16;
using llamavision::checkpoint::dtype;

/// Every (row, column) of a matrix.
template <class T>
std::vector<T> made(std::size_t rows, std::size_t columns, std::function<T(std::size_t, std::size_t)> const& of) {
    std::vector<T> values;
    for (std::size_t n = 0; n < rows; ++n)
        for (std::size_t k = 0; k < columns; ++k) values.push_back(of(n, k));
    return values;
}

/// Some number below `limit`, another one for each place.
inline std::uint32_t some(std::size_t n, std::size_t k, std::uint32_t limit) {
    std::uint32_t const mixed = static_cast<std::uint32_t>(n * 2654435761u + k * 40503u + 12345u) * 2246822519u;
    return (mixed >> 13) % limit;
}

/// `count` codes of `bits` bits in words of 32, bit by bit: one stream, or with `whole` as many in a word as it holds.
inline std::vector<std::uint32_t> in_words(std::vector<std::uint32_t> const& codes, std::size_t bits,
                                           bool whole = false) {
    std::vector<std::uint32_t> words;
    std::size_t at = 0;
    for (std::uint32_t const code : codes) {
        if (whole && at % 32 + bits > 32) at = (at / 32 + 1) * 32;
        for (std::size_t bit = 0; bit < bits; ++bit, ++at) {
            words.resize(at / 32 + 1);
            words[at / 32] |= (code >> bit & 1u) << (at % 32);
        }
    }
    return words;
}

/// Each row of a matrix of codes in words of its own.
inline std::vector<std::uint32_t> rows_in_words(std::vector<std::uint32_t> const& codes, std::size_t columns,
                                                std::size_t bits, bool whole = false) {
    std::vector<std::uint32_t> all;
    for (auto row = codes.begin(); row != codes.end(); row += static_cast<std::ptrdiff_t>(columns)) {
        auto const words = in_words({row, row + static_cast<std::ptrdiff_t>(columns)}, bits, whole);
        all.insert(all.end(), words.begin(), words.end());
    }
    return all;
}

template <class T>
std::vector<T> transposed(std::vector<T> const& values, std::size_t rows) {
    std::size_t const columns = values.size() / rows;
    return made<T>(columns, rows, [&](std::size_t k, std::size_t n) { return values[n * columns + k]; });
}

/// The files of one checkpoint: tensors, and the quantization_config of its config.json.
class weights {
  public:
    template <class T>
    void set(std::string const& name, dtype type, std::vector<std::size_t> shape, std::vector<T> const& values) {
        auto const bytes = std::make_shared<std::vector<std::byte>>(values.size() * sizeof(T));
        if (!values.empty()) std::memcpy(bytes->data(), values.data(), bytes->size());
        tensors_.tensors[name] = {type, std::move(shape), *bytes, {}};
        tensors_.owners.push_back(bytes);
    }
    void set(std::string const& name, std::string const& text) {
        set(name, dtype::u8, {text.size()}, std::vector<char>(text.begin(), text.end()));
    }
    void drop(std::string const& name) { tensors_.tensors.erase(name); }
    void settings(std::string method, std::string text) {
        model_.quantisation = {std::move(method), std::move(text), "config.json", "quantization_config"};
    }
    void no_settings() { model_.quantisation.reset(); }
    void computed(std::string type) { model_.dtype = std::move(type); }
    [[nodiscard]] llamavision::checkpoint::model_config& model() { return model_; }
    /// Gives the module m another name.
    void rename(std::string const& name) {
        auto old = std::move(tensors_.tensors);
        tensors_.tensors.clear();
        for (auto& [key, value] : old) tensors_.tensors.emplace(name + key.substr(1), std::move(value));
    }

    [[nodiscard]] llamavision::checkpoint::named_tensors read() const {
        std::vector<std::string> problems;
        return join_quantised(tensors_, &model_, "folder", llamavision::checkpoint::faults::thrown, problems);
    }
    [[nodiscard]] llamavision::checkpoint::tensor weight() const { return read().tensors.at("m.weight"); }

    /// The values of m.weight, converted to `type` as `convert` does it, as floats.
    [[nodiscard]] std::vector<float> values(dtype type) const {
        auto const all = read();
        std::vector<std::byte> bytes;
        llamavision::checkpoint::rounding lost;
        convert(
            all.tensors.at("m.weight"), type,
            [&](std::span<std::byte const> piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); }, lost);
        std::vector<float> result(bytes.size() / size_of(type));
        for (std::size_t i = 0; i < result.size(); ++i) {
            std::uint16_t half = 0;
            if (type == dtype::f32) {
                std::memcpy(&result[i], bytes.data() + i * 4, 4);
                continue;
            }
            std::memcpy(&half, bytes.data() + i * 2, 2);
            result[i] = type == dtype::f16 ? static_cast<float>(f16{half}) : static_cast<float>(bf16{half});
        }
        return result;
    }
    /// The message of the error with which m.weight is refused, when it is found or when its values are made.
    [[nodiscard]] std::string refused() const {
        return message_of<llamavision::error>([&] { return values(dtype::f32); });
    }

  private:
    llamavision::checkpoint::named_tensors tensors_;
    llamavision::checkpoint::model_config model_;
};

inline std::vector<std::uint16_t> bf16_bits(std::vector<float> const& values) {
    std::vector<std::uint16_t> bits;
    for (float const value : values) bits.push_back(bf16::round(value).bits);
    return bits;
}
inline std::vector<std::uint16_t> f16_bits(std::vector<float> const& values) {
    std::vector<std::uint16_t> bits;
    for (float const value : values) bits.push_back(f16::round(value).bits);
    return bits;
}

inline float as_bf16(float value) { return static_cast<float>(bf16::round(value)); }
inline float as_f16(float value) { return static_cast<float>(f16::round(value)); }

} // namespace stored

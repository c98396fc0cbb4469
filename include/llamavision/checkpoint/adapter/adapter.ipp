// SPDX-License-Identifier: Apache-2.0
// Reads an adapter, compares it with the model, and adds it.
#pragma once

#include <llamavision/checkpoint/adapter/adapter.hpp>
#include <llamavision/checkpoint/adapter/read_config.hpp>
#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/checkpoint/encoding/convert.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <algorithm>
#include <cstddef>
#include <Eigen/Core>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// The file beside an adapter that holds weights which were trained with it; empty if there is none. Such are
/// non_lora_trainables.bin (LLaVA's training) and any safetensors but the adapter's own, a whole model's, and those of
/// training itself.
[[nodiscard]] inline std::string trained_beside(std::filesystem::path const& folder) {
    std::vector<std::string> names;
    std::error_code fault;
    std::filesystem::directory_iterator entry(folder, fault);
    for (; !fault && entry != std::filesystem::directory_iterator(); entry.increment(fault)) {
        auto name = entry->path().filename().string();
        bool known = false;
        for (std::string_view const own : {"adapter_model", "model", "optimizer", "value_head"})
            known = known || name.starts_with(own);
        bool const tensors = entry->path().extension() == ".safetensors" && !known;
        if (tensors || name == "non_lora_trainables.bin") names.push_back(std::move(name));
    }
    std::sort(names.begin(), names.end());
    return names.empty() ? std::string() : names.front();
}

} // namespace detail

LLAMAVISION_INLINE adapter open_adapter(std::filesystem::path const& path) {
    if (!is_there(path)) throw file_error(path.string() + ": no such file or folder");
    auto const folder = is_folder(path) || !path.has_parent_path() ? path : path.parent_path();
    if (!is_there(folder / "adapter_config.json"))
        throw file_error(folder.string() + ": holds no adapter_config.json, so it is no adapter (PEFT)");
    adapter result{path, read_adapter_config(folder / "adapter_config.json"), {}};
    auto const file = folder / "adapter_model.safetensors";
    if (!is_there(file) && is_there(folder / "adapter_model.bin"))
        throw file_error(folder.string()
                         + ": holds adapter_model.bin, PyTorch's form; save the adapter as safetensors");
    if (auto const beside = detail::trained_beside(folder); !beside.empty())
        throw mismatch_error(
            (folder / beside).string()
            + ": holds weights that were trained beside the adapter, which are not read; save them with "
              "the adapter (PEFT's modules_to_save), or merge all into the model");
    result.tensors = read_safetensors(file);
    return result;
}

namespace detail {

/// The factors A and B that change one tensor. Those of an embedding are transposed: the change is scale · (B · A)ᵀ.
struct low_rank {
    std::string module; ///< PEFT's name of it
    tensor const* a = nullptr;
    tensor const* b = nullptr;
    bool of_embedding = false;
};

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

[[nodiscard]] inline row_major as_floats(tensor const& t) {
    row_major result(static_cast<Eigen::Index>(t.shape[0]), static_cast<Eigen::Index>(t.shape[1]));
    rounding unused;
    convert(t.type, t.bytes.data(), dtype::f32, reinterpret_cast<std::byte*>(result.data()), values_of(t), unused);
    return result;
}

inline void round_in_place(dtype type, row_major& values, std::size_t count) {
    std::vector<std::byte> narrow(count * size_of(type));
    auto* const bytes = reinterpret_cast<std::byte*>(values.data());
    rounding unused;
    convert(dtype::f32, bytes, type, narrow.data(), count, unused);
    convert(type, narrow.data(), dtype::f32, bytes, count, unused);
}

/// `base` + scale · left · right, with left (rows, rank) and right (rank, columns). Computed in f32 and rounded once,
/// as PEFT merges f32 adapters.
[[nodiscard]] inline tensor plus_product(tensor base, low_rank const& change, float scale) {
    tensor result{base.type, base.shape, {}, {}};
    result.make = [base = std::move(base), a = *change.a, b = *change.b, transposed = change.of_embedding,
                   scale](std::span<std::byte> to) {
        row_major left = as_floats(transposed ? a : b), right = as_floats(transposed ? b : a);
        if (transposed) {
            left = left.transpose().eval();
            right = right.transpose().eval();
        }
        std::vector<std::byte> buffer;
        auto const from = bytes_of(base, buffer);
        std::size_t const columns = base.shape[1], row = columns * size_of(base.type);
        auto const at_once = std::max<Eigen::Index>(1, 65536 / static_cast<Eigen::Index>(columns + 1));
        row_major sum, product;
        rounding unused;
        for (Eigen::Index begin = 0; begin < left.rows(); begin += at_once) {
            auto const rows = std::min(at_once, left.rows() - begin);
            auto const offset = static_cast<std::size_t>(begin) * row;
            auto const count = static_cast<std::size_t>(rows) * columns;
            sum.resize(rows, right.cols());
            convert(base.type, from.data() + offset, dtype::f32, reinterpret_cast<std::byte*>(sum.data()), count,
                    unused);
            // Eigen's lazyProduct: the rank is small, and the blocked product would cost every program seconds of
            // compile time.
            product = left.middleRows(begin, rows).lazyProduct(right);
            product *= scale;
            if (transposed) round_in_place(base.type, product, count); // as PEFT does for embeddings alone
            sum += product;
            convert(dtype::f32, reinterpret_cast<std::byte const*>(sum.data()), base.type, to.data() + offset, count,
                    unused);
        }
    };
    return result;
}

/// `name` without PEFT's prefix "base_model.model.".
[[nodiscard]] inline std::string_view without_prefix(std::string_view name) {
    constexpr std::string_view prefix = "base_model.model.";
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    return name;
}

/// The model's name of a tensor that an adapter calls `name`; empty if the model has no such tensor. An adapter uses
/// the names of a text model, one of the two spellings of Llama 3.2 Vision, or those of its text half alone.
[[nodiscard]] inline std::optional<std::string> name_in_model(named_tensors const& model, std::string const& name) {
    for (std::string const& candidate : {name, canonical_name(name), "language_model." + name})
        if (model.tensors.contains(candidate)) return candidate;
    return std::nullopt;
}

/// An adapter's tensors by kind: factors, by the name of the weight that they change; whole tensors, which replace the
/// model's (modules_to_save, bias); and the names of those that are neither.
struct sorted_adapter {
    std::map<std::string, low_rank> factors;
    std::map<std::string, tensor const*> whole;
    std::vector<std::string> strange;
};

[[nodiscard]] inline sorted_adapter sort(named_tensors const& tensors) {
    sorted_adapter result;
    struct factor {
        std::string_view suffix;
        tensor const* low_rank::*which;
        bool of_embedding;
    };
    constexpr factor factors[] = {{".lora_A.weight", &low_rank::a, false},
                                  {".lora_B.weight", &low_rank::b, false},
                                  {".lora_embedding_A", &low_rank::a, true},
                                  {".lora_embedding_B", &low_rank::b, true}};
    for (auto const& [full, value] : tensors.tensors) {
        std::string_view const name = without_prefix(full);
        auto const is = [name](factor const& f) { return name.ends_with(f.suffix); };
        if (auto const f = std::find_if(std::begin(factors), std::end(factors), is); f != std::end(factors)) {
            std::string const module(name.substr(0, name.size() - f->suffix.size()));
            low_rank& entry = result.factors[module + ".weight"];
            entry.module = module;
            entry.*(f->which) = &value;
            entry.of_embedding = f->of_embedding;
        } else if (name.find("lora_") != std::string_view::npos || name.size() == full.size()) {
            result.strange.push_back(in_quotes(full));
        } else {
            std::string plain(name);
            for (std::string_view const part : {".base_layer.", ".modules_to_save."})
                if (auto const at = plain.find(part); at != std::string::npos) plain.replace(at, part.size(), ".");
            result.whole.emplace(std::move(plain), &value);
        }
    }
    return result;
}

/// The reason why the factors cannot change `base`; empty if they can.
[[nodiscard]] inline std::string misfit(low_rank const& change, tensor const& base, adapter_config const& config) {
    if (!change.a || !change.b) return std::string(" has no ") + (change.a ? "B" : "A");
    tensor const &a = *change.a, &b = *change.b;
    for (tensor const* const t : {&a, &b})
        if (!is_plain_weight(t->type) || t->shape.size() != 2) return " is no pair of matrices";
    if (base.shape.size() != 2) return " changes a tensor that is no matrix";
    if (!is_plain_weight(base.type)) return " changes a tensor of " + std::string(name_of(base.type));
    std::size_t const rank = a.shape[0];
    std::size_t const rows = change.of_embedding ? a.shape[1] : b.shape[0];
    std::size_t const columns = change.of_embedding ? b.shape[0] : a.shape[1];
    if (rank == 0 || b.shape[1] != rank) return " has factors of different ranks";
    if (rows != base.shape[0] || columns != base.shape[1])
        return " is for " + std::to_string(rows) + " by " + std::to_string(columns) + ", the model has "
               + std::to_string(base.shape[0]) + " by " + std::to_string(base.shape[1]);
    bool known = rank == config.rank;
    for (auto const& pattern : config.ranks) known = known || pattern.second == rank;
    if (!known) return " has rank " + std::to_string(rank) + ", which adapter_config.json does not name";
    return {};
}

} // namespace detail

LLAMAVISION_INLINE std::string other_base_warning(adapter const& with, bool base) {
    std::string name = with.config.base;
    for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    name = name.substr(name.find_last_of('/') + 1);
    bool const of_instruct = name.find("instruct") != std::string::npos;
    bool const of_base = !of_instruct && name.starts_with("llama-3") && name.find("guard") == std::string::npos;
    if (base ? !of_instruct : !of_base) return {};
    return (with.path / "adapter_config.json").string() + ": the adapter was trained on " + in_quotes(with.config.base)
           + ", "
           + (base ? "an Instruct model, and this is a base model" : "a base model, and this is an Instruct model")
           + "; answers may be worse than those it was trained for";
}

LLAMAVISION_INLINE named_tensors merge_adapter(named_tensors model, adapter const& with) {
    if (with.tensors.tensors.empty()) throw mismatch_error(with.path.string() + ": the adapter holds no tensors");
    auto const sorted = detail::sort(with.tensors);
    auto unfit = sorted.strange;
    for (auto const& [name, value] : sorted.whole) { // before the factors, which may change a replaced tensor
        auto const target = detail::name_in_model(model, name);
        if (!target)
            unfit.push_back(in_quotes(name) + " is not in the model");
        else if (model.tensors.at(*target).shape != value->shape || !is_plain_weight(value->type))
            unfit.push_back(in_quotes(name) + " has another shape or type than in the model");
        else
            model.tensors.at(*target) = *value;
    }
    for (auto const& [name, change] : sorted.factors) {
        auto const target = detail::name_in_model(model, name);
        auto const why = target ? detail::misfit(change, model.tensors.at(*target), with.config)
                                : std::string(" is not in the model");
        if (!why.empty()) {
            unfit.push_back(in_quotes(name) + why);
            continue;
        }
        tensor& base = model.tensors.at(*target);
        auto const scale = adapter_scale(with.config, change.module, change.a->shape[0]);
        base = detail::plus_product(std::move(base), change, static_cast<float>(scale));
    }
    if (!unfit.empty())
        throw mismatch_error(with.path.string() + ": the adapter does not fit the model: " + listed(unfit));
    model.owners.insert(model.owners.end(), with.tensors.owners.begin(), with.tensors.owners.end());
    return model;
}

} // namespace llamavision::checkpoint

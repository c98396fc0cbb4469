// SPDX-License-Identifier: Apache-2.0
// Converts a whole checkpoint from GGUF's names, order of rows and gates to Hugging Face's, and back, for every
// dialect. Matrices whose rows change places are made when their bytes are asked for, in every type, since whole rows
// move; all others stay views.
#pragma once

#include <llamavision/checkpoint/container/gguf.hpp>
#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/checkpoint/form/gguf/config.hpp>
#include <llamavision/checkpoint/form/gguf/dialect.hpp>
#include <llamavision/checkpoint/form/gguf/gates.hpp>
#include <llamavision/checkpoint/form/gguf/names.hpp>
#include <llamavision/checkpoint/form/meta/mapping.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

[[nodiscard]] constexpr bool has_projector_names(gguf_dialect d) {
    return d == gguf_dialect::pair || d == gguf_dialect::pair_permuted;
}

/// The number of rows of a head, if the rows of the tensor are in rotary pairs, as in Meta's form; empty if they are
/// not. `name` is Hugging Face's.
[[nodiscard]] inline std::optional<std::size_t> paired_rows(std::string_view name, gguf_dialect d,
                                                            config::numbers const& n) {
    if (!name.ends_with("q_proj.weight") && !name.ends_with("k_proj.weight")) return std::nullopt;
    bool const tower = n.kind == config::family::mllama && name.starts_with("vision_model."),
               cross = name.find("cross_attn.") != std::string_view::npos;
    bool paired = d != gguf_dialect::llamavision;
    if (tower) paired = d == gguf_dialect::ollama;
    if (cross) paired = paired && d != gguf_dialect::pair;
    if (!paired) return std::nullopt;
    return tower ? n.vision.width / n.vision.heads : n.text.width / n.text.heads;
}

constexpr std::string_view position_gate = "vision_model.gated_positional_embedding.gate";

/// Whether this is a gate that the file stores after tanh. Only gates of the tower are.
[[nodiscard]] inline bool is_opened_gate(std::string_view name, gguf_dialect d) {
    if (d == gguf_dialect::llamavision || !name.starts_with("vision_model.")) return false;
    if (name.ends_with(".gate_attn") || name.ends_with(".gate_ffn")) return d != gguf_dialect::ollama_0_7_0;
    return name.ends_with(".gate");
}

} // namespace detail

/// The tensors of a model file and, if there are two files, of its projector, under Hugging Face's names. Tensors
/// without such a name keep their own.
/// @param dialect any but as_marked
/// @throws mismatch_error for gates that are no gates, rows that are not whole heads, and names that occur twice
[[nodiscard]] inline named_tensors gguf_to_hugging_face(gguf_content const& model, gguf_content const* projector,
                                                        config::numbers const& numbers, gguf_dialect dialect,
                                                        std::string const& file) {
    named_tensors result;
    tensor const* tile_gate = nullptr;
    auto const add = [&](gguf_content const& from) {
        for (auto const& [name, stored] : from.content.tensors) {
            if (name == "rope_freqs.weight") continue;                       // it is a part of the configuration
            if (name == "output.weight" && numbers.text.tied_head) continue; // a copy of the embedding
            if (name == "v.tile_position_embd.gate" && dialect != gguf_dialect::llamavision) {
                tile_gate = &stored;
                continue;
            }
            auto const named =
                hugging_face_name_of_gguf(name, detail::has_projector_names(dialect), numbers.kind).value_or(name);
            tensor value = stored;
            std::string const place = file + ": the tensor " + in_quotes(name) + " ";
            if (auto const head = detail::paired_rows(named, dialect, numbers))
                value = detail::with_rotary_rows(stored, *head, false, file + ": the tensor " + in_quotes(name));
            else if (detail::is_opened_gate(named, dialect) && named != detail::position_gate)
                value = detail::closed_gate(stored, place);
            if (!result.tensors.emplace(named, std::move(value)).second)
                throw mismatch_error(place + "is there twice, in the model's and the projector's file");
        }
        result.owners.insert(result.owners.end(), from.content.owners.begin(), from.content.owners.end());
    };
    add(model);
    if (projector) add(*projector);
    if (auto const gate = result.tensors.find(detail::position_gate);
        gate != result.tensors.end() && dialect != gguf_dialect::llamavision) {
        if (!tile_gate) throw mismatch_error(file + ": the tensor \"v.tile_position_embd.gate\" is missing");
        gate->second = detail::closed_gate(gate->second, *tile_gate, file + ": the tensor \"v.position_embd.gate\" ");
    }
    return result;
}

/// A GGUF file with the keys of `model` and the tensors of `source`, which have Hugging Face's names. In all dialects
/// but llamavision, vectors and tables of positions become F32, which readers of these files expect. The owners of
/// `source` must outlive the result.
/// @param dialect any but as_marked. Of a pair, the result has the tensors of both files: those of the projector begin
///        with "v." and "mm."
/// @throws mismatch_error for names that this model does not have, and like gguf_to_hugging_face
[[nodiscard]] inline gguf_to_write hugging_face_to_gguf(named_tensors const& source, model_config const& model,
                                                        gguf_dialect dialect) {
    gguf_to_write file;
    add_gguf_config(file, model);
    bool const own = dialect == gguf_dialect::llamavision;
    if (own) file.keys.emplace_back("llamavision.layout", std::string("hugging face"));
    auto const& text = model.values.text;
    if (text.rope.scaled) {
        auto const factors = rope_factors(text.rope, text.width / text.heads);
        tensor table{dtype::f32, {factors.size()}, {}, [factors](std::span<std::byte> to) {
                         std::memcpy(to.data(), factors.data(), to.size());
                     }};
        file.tensors.emplace_back("rope_freqs.weight", std::move(table));
    }
    for (auto const& [name, stored] : source.tensors) {
        auto const named = gguf_name_of_hugging_face(name, detail::has_projector_names(dialect), model.values.kind);
        if (!named) throw mismatch_error("the tensor " + in_quotes(name) + " has no name in GGUF files of this model");
        std::string const place = "the tensor " + in_quotes(name) + " ";
        tensor value = stored;
        if (auto const head = detail::paired_rows(name, dialect, model.values))
            value = detail::with_rotary_rows(stored, *head, true, "the tensor " + in_quotes(name));
        if (detail::is_opened_gate(name, dialect)) {
            float const opened = detail::opened_gate(stored, place);
            value = detail::gate_tensor(name == detail::position_gate ? 1 - opened : opened);
            if (name == detail::position_gate)
                file.tensors.emplace_back("v.tile_position_embd.gate", detail::gate_tensor(opened));
        }
        bool const table = named->find("position_embd.weight") != std::string::npos;
        if (!own && (value.shape.size() == 1 || table)) value = retyped(std::move(value), dtype::f32);
        file.tensors.emplace_back(*named, std::move(value));
    }
    return file;
}

} // namespace llamavision::checkpoint

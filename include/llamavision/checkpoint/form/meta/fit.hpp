// SPDX-License-Identifier: Apache-2.0
// Completes the numbers of Meta's params.json by the tensors: those of the tower by shapes, and whether a text model's
// head is tied by bytes. Compares what params.json does say with the shapes.
#pragma once

#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/form/meta/params.hpp>
#include <llamavision/checkpoint/pieces.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/checkpoint/tied_head.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// Reads shapes of tensors, and collects a sentence for each that contradicts params.json.
class meta_shapes {
  public:
    explicit meta_shapes(named_tensors const& tensors) : tensors_(tensors) {}

    /// An extent of a tensor; 0 if there is no such tensor or axis.
    [[nodiscard]] std::size_t extent(std::string const& name, std::size_t axis) const {
        auto const at = tensors_.tensors.find(name);
        return at == tensors_.tensors.end() || axis >= at->second.shape.size() ? 0 : at->second.shape[axis];
    }
    /// The number of layers: how many tensors "PREFIX 0 SUFFIX", "PREFIX 1 SUFFIX", … there are.
    [[nodiscard]] std::size_t layers(std::string const& prefix, std::string const& suffix) const {
        std::size_t count = 0;
        while (tensors_.tensors.contains(prefix + std::to_string(count) + suffix)) ++count;
        return count;
    }

    /// Adds a sentence if an extent is not `expected`. A missing tensor is no fault here, since `bind` reports it.
    void expect(std::string const& name, std::size_t axis, std::size_t expected, std::string const& because) {
        auto const at = tensors_.tensors.find(name);
        if (at == tensors_.tensors.end() || extent(name, axis) == expected) return;
        found.push_back(because + " " + std::to_string(expected) + (axis == 0 ? " rows" : " columns") + ", but " + name
                        + " is " + shape_text(at->second.shape));
    }
    void expect_layers(std::string const& key, std::size_t stated, std::size_t there) {
        if (there != 0 && there != stated)
            found.push_back(key + " is " + std::to_string(stated) + ", but there are tensors of "
                            + std::to_string(there) + " such layers");
    }

    std::vector<std::string> found;

  private:
    named_tensors const& tensors_;
};

/// Reads the tower's numbers from shapes, as far as they are in any. Returns the number of tapped layers.
[[nodiscard]] inline std::size_t read_tower(meta_shapes& shapes, config::vision_numbers& v) {
    std::string const encoder = "vision_model.vision_encoder.", local = encoder + "transformer.resblocks.",
                      global = encoder + "global_transformer.resblocks.";
    auto const unless_zero = [](std::size_t value, std::size_t& number) {
        if (value != 0) number = value;
    };
    unless_zero(shapes.extent(encoder + "class_embedding", 0), v.width);
    unless_zero(shapes.layers(local, ".ln_1.weight"), v.layers);
    unless_zero(shapes.layers(global, ".ln_1.weight"), v.global_layers);
    unless_zero(shapes.extent(local + "0.mlp.c_fc.weight", 0), v.mlp);
    if (std::size_t const inputs = shapes.extent(encoder + "conv1._linear.weight", 1); inputs != 0) {
        std::size_t side = 1;
        while (v.channels * side * side < inputs) ++side;
        if (v.channels * side * side == inputs)
            v.patch = side;
        else
            shapes.found.push_back(encoder + "conv1._linear.weight takes " + std::to_string(inputs)
                                   + " values, which are no square patch of " + std::to_string(v.channels)
                                   + " channels");
    }
    std::size_t const features = shapes.extent("vision_model.vision_projection.weight", 1);
    return features < v.width ? v.taps.size() : features / v.width - 1;
}

/// Compares the text's numbers with shapes.
/// @param prefix the beginning of the tensors' names
inline void check_text(meta_shapes& shapes, config::text_numbers const& t, std::size_t files,
                       std::string const& prefix) {
    std::string const self = prefix + "layers.", cross = prefix + "cross_attention_layers.",
                      embedding = prefix + "tok_embeddings.weight";
    shapes.expect(embedding, 0, t.vocabulary,
                  files > 1 && shapes.extent(embedding, 0) < t.vocabulary ? "files are missing: vocab_size makes"
                                                                          : "vocab_size makes");
    shapes.expect(embedding, 1, t.width, "dim makes");
    std::size_t const head = t.width / t.heads;
    if (shapes.found.empty()) { // a wrong width or vocabulary would cause more sentences
        shapes.expect(self + "0.attention.wk.weight", 0, t.kv_heads * head, "n_kv_heads makes");
        shapes.expect(self + "0.feed_forward.w1.weight", 0, t.mlp, "multiple_of and ffn_dim_multiplier make");
        shapes.expect(cross + "0.attention.q_norm.weight", 0, head, "dim and n_heads make");
    }
    shapes.expect_layers("n_layers", t.layers - t.cross_layers.size(), shapes.layers(self, ".attention_norm.weight"));
    shapes.expect_layers("vision_num_cross_attention_layers", t.cross_layers.size(),
                         shapes.layers(cross, ".attention_norm.weight"));
}

/// Reads the tower's numbers. If the tower is not the published one, no file says its heads and taps, and these numbers
/// become `unstated`. `where` is the checkpoint's name in warnings.
inline void fit_tower(meta_shapes& shapes, model_config& model, std::string const& where) {
    auto& v = model.values.vision;
    auto const published = v;
    std::size_t const taps = read_tower(shapes, v);
    if (v != published || taps != published.taps.size()) {
        v.heads = 0;
        v.taps.clear();
        model.unstated.insert(model.unstated.end(), {"vision.heads", "vision.taps", "vision.norm_eps"});
        model.warnings.push_back(where
                                 + ": the vision tower is not that of the published models, and Meta's form does not "
                                   "say its heads nor which layers are tapped; those of the program's configuration "
                                   "are taken");
    }
}

} // namespace detail

/// Completes a model's numbers, which read_params has read, by the tensors of the whole model in Meta's form, which
/// were merged from `files` files. The head of a text model is compared with its embedding up to the first difference.
/// `where` is the checkpoint's name in errors.
/// @throws mismatch_error if the tensors contradict params.json
inline void fit_to_tensors(model_config& model, named_tensors const& tensors, std::size_t files,
                           std::string const& where) {
    detail::meta_shapes shapes(tensors);
    bool const sees = model.values.kind == config::family::mllama;
    if (sees)
        detail::fit_tower(shapes, model, where);
    else
        model.values.text.tied_head = is_head_tied(tensors, "output.weight", "tok_embeddings.weight");
    detail::check_text(shapes, model.values.text, files, sees ? "text_model." : "");
    auto fitted = model.values;
    fitted.vision.heads = std::max<std::size_t>(fitted.vision.heads, 1);
    auto const more = detail::params_contradictions(fitted);
    if (sees && more.empty()) {
        std::size_t const side = fitted.vision.tile / fitted.vision.patch;
        shapes.expect("vision_model.vision_encoder.positional_embedding", 0, side * side + 1,
                      "vision_chunk_size makes");
    }
    shapes.found.insert(shapes.found.end(), more.begin(), more.end());
    if (!shapes.found.empty())
        throw mismatch_error(where + ": params.json contradicts the tensors: " + joined(shapes.found));
}

} // namespace llamavision::checkpoint

// SPDX-License-Identifier: Apache-2.0
// `trace`: the plain computation, with the same rows as in the references, and every activation under the name of
// Hugging Face's module.
#include "commands.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <string_view>
#include <system_error>

#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/runtime/conversation/session.hpp>

#include "answers.hpp"
#include "bundled.hpp"
#include "console.hpp"
#include "models.hpp"
#include "tiles_file.hpp"

namespace lv = llamavision;

namespace program {

namespace {

/// Outputs by module. With several images, a module has several outputs of one shape, stacked along a new first
/// dimension.
class recorder {
  public:
    /// @param tiles tile slots of the tower: outside of its layers, rows are split by them, as in Hugging Face's code
    /// @param head_dim of the text: cross-attention applies norms to each head separately
    recorder(std::size_t tiles, std::size_t head_dim) : tiles_(tiles), head_dim_(head_dim) {}

    [[nodiscard]] lv::observer watch() {
        return [this](std::string_view module, lv::rows const& y) {
            output& o = outputs_[std::string(module)];
            ++o.times;
            if (module.ends_with("cross_attn.q_norm") || module.ends_with("cross_attn.k_norm")) {
                o.shape = {y.width / head_dim_, y.count, head_dim_};
                for (std::size_t h = 0; h < y.width; h += head_dim_)
                    for (float const* row = y.data + h; row < y.data + y.size(); row += y.width)
                        o.values.insert(o.values.end(), row, row + head_dim_);
            } else {
                o.shape = shape_of(module, y);
                o.values.insert(o.values.end(), y.data, y.data + y.size());
            }
        };
    }

    void add(std::string const& name, std::vector<std::size_t> shape, std::span<float const> values) {
        outputs_[name] = {std::move(shape), 1, {values.begin(), values.end()}};
    }

    [[nodiscard]] std::vector<lv::checkpoint::tensor_to_write> tensors() const {
        std::vector<lv::checkpoint::tensor_to_write> all;
        for (auto const& [name, o] : outputs_) {
            std::vector<std::size_t> shape = o.shape;
            if (o.times > 1) shape.insert(shape.begin(), o.times);
            all.push_back({name, lv::checkpoint::dtype::f32, std::move(shape), std::as_bytes(std::span(o.values))});
        }
        return all;
    }

  private:
    struct output {
        std::vector<std::size_t> shape;
        std::size_t times = 0;
        std::vector<float> values;
    };

    [[nodiscard]] std::vector<std::size_t> shape_of(std::string_view module, lv::rows const& y) const {
        bool const vision = module.starts_with("vision_model") || module.starts_with("multi_modal_projector")
                            || module.ends_with("cross_attn.k_proj") || module.ends_with("cross_attn.v_proj");
        bool const flat =
            module.find("transformer") != std::string_view::npos || module == "vision_model.layernorm_post";
        if (!vision || flat || y.count % tiles_ != 0) return {y.count, y.width};
        return {tiles_, y.count / tiles_, y.width};
    }

    std::size_t tiles_, head_dim_;
    std::map<std::string, output> outputs_;
};

std::vector<lv::token> ids_of(std::string_view list) {
    std::vector<lv::token> ids;
    while (true) {
        auto const word = list.substr(0, list.find(','));
        lv::token id = 0;
        auto const end = std::from_chars(word.data(), word.data() + word.size(), id);
        if (end.ec != std::errc() || end.ptr != word.data() + word.size())
            throw lv::argument_error("--tokens: \"" + std::string(word) + "\" is no token id");
        ids.push_back(id);
        if (word.size() == list.size()) return ids;
        list.remove_prefix(word.size() + 1);
    }
}

std::vector<lv::token> prompt_of(trace_options const& o, lv::model const& model) {
    if (o.tokens) return ids_of(*o.tokens);
    lv::tokens::message turn;
    turn.content.assign(o.images.size(), lv::tokens::image_here);
    turn.content.emplace_back(o.prompt);
    return lv::tokens::chat_format(model.tokenizer(), model.defaults().chat).encode({&turn, 1});
}

std::vector<lv::session::image_ptr> encode(trace_options const& o, lv::model const& model, recorder& record) {
    std::vector<lv::session::image_ptr> images;
    for (auto const& [kind, file] : o.images) {
        lv::image::tiles const tiles = kind == trace_options::source::tiles
                                           ? read_tiles(file)
                                           : lv::image::preprocess(lv::image::open(file), model.defaults().pictures);
        lv::encode_options options;
        options.collapse_padding = false;
        options.remember_padding = true; // Hugging Face projects all slots
        options.watch = record.watch();
        try {
            images.push_back(model.encode(tiles, options));
        } catch (lv::image_error const& fault) { throw lv::image_error(file + ": " + fault.what()); }
    }
    return images;
}

/// The most likely token after each step; stop ids do not end it.
std::vector<std::int64_t> continue_greedily(lv::session& s, std::size_t count) {
    std::vector<std::int64_t> tokens;
    while (tokens.size() < count) {
        auto const best = std::max_element(s.logits().begin(), s.logits().end()) - s.logits().begin();
        tokens.push_back(best);
        if (tokens.size() == count || s.length() == s.context()) break;
        s.append_generated(static_cast<lv::token>(best));
    }
    return tokens;
}

} // namespace

int trace(trace_options const& options) {
    if (!options.tokens)
        check_tokenizer(lv::checkpoint::read_description(model_path(options.model), lv::checkpoint::faults::thrown,
                                                         dialect_of(options.gguf)));
    lv::model const model = open_model(options, nullptr, {1, options.images.size(), 1}); // the session is checked later
    lv::config::numbers const& numbers = model.net().numbers();
    recorder record(numbers.vision.tiles, numbers.text.width / numbers.text.heads);
    auto const images = encode(options, model, record);
    std::vector<lv::token> const ids = prompt_of(options, model);

    lv::session_options settings;
    settings.reading = parity_of(options.parity);
    std::size_t const left = numbers.text.context - std::min(ids.size(), numbers.text.context);
    settings.context = std::min(numbers.text.context, ids.size() + std::min(options.max_tokens, left));
    lv::session session = model.open_session(settings);
    lv::read_options reading;
    reading.watch = record.watch();
    session.append(ids, images, reading);
    record.add("logits", {ids.size(), model.net().tokens().head}, session.all_logits());
    std::vector<std::int64_t> const tokens = continue_greedily(session, options.max_tokens);

    auto tensors = record.tensors();
    tensors.push_back({"tokens", lv::checkpoint::dtype::i64, {tokens.size()}, std::as_bytes(std::span(tokens))});
    lv::checkpoint::write_safetensors(options.out, tensors, {{"parity", options.parity}});
    say(options.out + ": " + std::to_string(tensors.size()) + " tensors");
    return 0;
}

} // namespace program

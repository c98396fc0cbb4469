// SPDX-License-Identifier: Apache-2.0
// The same weights in Meta's form, in one file and in several, compute the same: every activation and token to the bit.
#include "golden.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/form/meta/mapping.hpp>
#include <llamavision/checkpoint/form/meta/shards.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/pth.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/config/tiny.hpp>
#include <llamavision/runtime/conversation/chat.hpp>
#include <llamavision/runtime/load.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/write_tokenizer.hpp>

#include "../../examples/llamavision/scene.hpp"
#include "../checkpoint/temporary_folder.hpp"

namespace lv = llamavision;

namespace {

/// Writes a Hugging Face folder's weights in Meta's form, as so many files.
void write_meta_form(std::filesystem::path const& from, std::filesystem::path const& to, std::size_t count,
                     nlohmann::json const& params) {
    auto const file = lv::checkpoint::open(from);
    auto const whole = lv::checkpoint::hugging_face_to_meta(file.tensors, file.model->values);
    for (std::size_t rank = 0; rank < count; ++rank) {
        auto const part = lv::checkpoint::shard_of(whole, rank, count);
        std::vector<std::vector<std::byte>> rooms(part.tensors.size());
        std::vector<lv::checkpoint::tensor_to_write> list;
        for (auto const& [name, value] : part.tensors)
            list.push_back({name, value.type, value.shape, bytes_of(value, rooms[list.size()]), {}});
        write_pth(to / (count == 1 ? "consolidated.pth" : "consolidated.0" + std::to_string(rank) + ".pth"), list);
    }
    std::ofstream(to / "params.json") << params;
}

/// Writes the weights of the bundled model with tile tables that Meta's form can express. Trained in transformers, they
/// hold a vector of its own for each tile of each arrangement; here a tile has that of the smallest arrangement it
/// is in, and padded tiles have none.
void write_two_dimensional(std::filesystem::path const& from, std::filesystem::path const& to) {
    auto const file = lv::checkpoint::open(from);
    std::size_t const tiles = file.model->values.vision.tiles;
    std::vector<std::vector<std::byte>> rooms(file.tensors.tensors.size());
    std::vector<lv::checkpoint::tensor_to_write> list;
    for (auto const& [name, value] : file.tensors.tensors) {
        auto& room = rooms[list.size()];
        std::span<std::byte const> bytes = value.bytes;
        if (name.find("tile_") != std::string::npos && name.ends_with("embedding.weight")) {
            auto const all = lv::config::all_arrangements(tiles);
            std::size_t const cell = bytes.size() / (all.size() + 1) / tiles;
            room.assign(bytes.size(), std::byte{0});
            for (std::size_t a = 0; a < all.size(); ++a)
                for (std::size_t slot = 0; slot < all[a].tiles(); ++slot) {
                    std::size_t const rows = slot / all[a].columns + 1, columns = slot % all[a].columns + 1;
                    std::size_t const id = lv::config::arrangement_id(rows, columns, tiles);
                    std::copy_n(bytes.data() + (id * tiles + rows * columns - 1) * cell, cell,
                                room.data() + ((a + 1) * tiles + slot) * cell);
                }
            bytes = room;
        }
        list.push_back({name, value.type, value.shape, bytes, {}});
    }
    write_safetensors(to, list);
}

nlohmann::json params_of(lv::config::numbers const& n, std::size_t multiple_of, double multiplier) {
    auto const& t = n.text;
    return {{"dim", t.width},
            {"n_layers", t.layers - t.cross_layers.size()},
            {"n_heads", t.heads},
            {"n_kv_heads", t.kv_heads},
            {"vocab_size", t.vocabulary},
            {"multiple_of", multiple_of},
            {"ffn_dim_multiplier", multiplier},
            {"norm_eps", t.norm_eps},
            {"rope_theta", t.rope.theta},
            {"use_scaled_rope", t.rope.scaled},
            {"vision_chunk_size", n.vision.tile},
            {"vision_max_num_chunks", n.vision.tiles},
            {"vision_num_cross_attention_layers", t.cross_layers.size()}};
}

/// The prompt's logits and 24 greedy tokens of every case, in one row.
std::vector<float> computed(golden::shape& shape, golden::network_ptr const& net) {
    std::vector<float> all;
    for (auto const& entry : shape.cases().items()) {
        nlohmann::json const& about = entry.value();
        std::vector<lv::session::image_ptr> images;
        for (std::string const key : about.at("images")) images.push_back(net->encode(shape.tiles(key), {}));
        lv::session s(net);
        auto const stored = shape.read(entry.key());
        s.append(golden::ids_of(stored.tensors.at("input_ids")), images, {});
        for (int i = 0; i < 24; ++i) {
            all.insert(all.end(), s.logits().begin(), s.logits().end());
            auto const best = std::max_element(s.logits().begin(), s.logits().end()) - s.logits().begin();
            all.push_back(static_cast<float>(best));
            s.append_generated(static_cast<lv::token>(best));
        }
    }
    return all;
}

void check_forms(std::string const& name, golden::network_ptr (*open)(std::filesystem::path const&, golden::kernels),
                 std::vector<std::size_t> const& counts, std::size_t multiple_of, double multiplier) {
    golden::shape shape(name, open, golden::kernels::simd);
    auto const wanted = computed(shape, shape.network());
    for (std::size_t const count : counts) {
        temporary_folder const folder;
        write_meta_form(std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden" / name / "hf", folder.path(), count,
                        params_of(shape.network()->numbers(), multiple_of, multiplier));
        auto const net = open(folder.path(), golden::kernels::simd);
        CHECK(computed(shape, net) == wanted);
    }
}

} // namespace

TEST_CASE("p1 and g1 in Meta's form") {
    check_forms("p1", golden::open_p1, {1, 2}, 32, 0.94);
    check_forms("g1", golden::open_g1, {1}, 4, 0.5);
}

TEST_CASE("the bundled model in Meta's form gives the same answers") {
    std::filesystem::path const bundled = LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint";
    temporary_folder const plain, folder;
    std::filesystem::copy(bundled, plain.path());
    write_two_dimensional(bundled, plain.path() / "model.safetensors");
    write_meta_form(plain.path(), folder.path(), 2, params_of(lv::config::numbers_of<lv::tiny>(), 128, 1.0));
    lv::model const ours = lv::load<lv::tiny>(plain.path());
    auto const tokenizer = lv::tokens::read_tokenizer(bundled / "tokenizer.json");
    folder.write("tokenizer.model", lv::tokens::tokenizer_model_text(tokenizer.vocabulary));
    lv::load_options loading;
    loading.chat = ours.defaults().chat.form;
    lv::model const theirs = lv::load<lv::tiny>(folder.path(), loading);
    CHECK(theirs.defaults().answers.stop_ids == ours.defaults().answers.stop_ids);
    CHECK(theirs.defaults().answers.sampling.temperature == 0.6);

    for (std::uint64_t i = 0; i < 20; ++i) {
        lv::scenes::scene const scene = lv::scenes::draw(20261124, i);
        auto const ask = [&](lv::model const& m) {
            lv::chat c = m.chat();
            std::vector<lv::image::pixels> pictures;
            if (scene.width > 0) pictures.push_back({scene.width, scene.height, scene.rgb});
            lv::ask_options options;
            options.sampling.temperature = 0;
            lv::answer const a = c.ask(pictures, scene.question, options);
            std::string const text = a.text();
            return std::pair(text, a.ids());
        };
        CHECK(ask(ours) == ask(theirs));
    }
}

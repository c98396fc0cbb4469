// SPDX-License-Identifier: Apache-2.0
// Parity with both references on small random models: every stored activation and all logits to 1e-5 of the largest
// magnitude, every greedy token the same, in all three modes, with and without collapsed padding, on every backend.
#include "golden.hpp"

#include <algorithm>

namespace lv = llamavision;

namespace {
constexpr double tolerance = 1e-5;

template <auto Open, golden::kernels Which>
struct subject {
    char const* name;
    golden::shape open() const { return {name, Open, Which}; }
    static bool usable() {
        if (Which != golden::kernels::gpu || golden::has_gpu()) return true;
        MESSAGE("skipped: no device");
        return false;
    }
};

// One subject for each folder of goldens and backend.
struct p1_scalar : subject<golden::open_p1, golden::kernels::scalar> {
    p1_scalar() : subject{"p1"} {}
};
struct p1_simd : subject<golden::open_p1, golden::kernels::simd> {
    p1_simd() : subject{"p1"} {}
};
struct g1_scalar : subject<golden::open_g1, golden::kernels::scalar> {
    g1_scalar() : subject{"g1"} {}
};
struct g1_simd : subject<golden::open_g1, golden::kernels::simd> {
    g1_simd() : subject{"g1"} {}
};
struct g1_ids_scalar : subject<golden::open_g1, golden::kernels::scalar> {
    g1_ids_scalar() : subject{"g1_ids"} {}
};
struct g1_ids_simd : subject<golden::open_g1, golden::kernels::simd> {
    g1_ids_simd() : subject{"g1_ids"} {}
};
struct g2_scalar : subject<golden::open_g2, golden::kernels::scalar> {
    g2_scalar() : subject{"g2"} {}
};
struct g2_simd : subject<golden::open_g2, golden::kernels::simd> {
    g2_simd() : subject{"g2"} {}
};
struct p1_emulated : subject<golden::open_p1_on_cuda, golden::kernels::emulated> {
    p1_emulated() : subject{"p1"} {}
};
struct g1_emulated : subject<golden::open_g1_on_cuda, golden::kernels::emulated> {
    g1_emulated() : subject{"g1"} {}
};
struct g2_emulated : subject<golden::open_g2_on_cuda, golden::kernels::emulated> {
    g2_emulated() : subject{"g2"} {}
};
struct p1_gpu : subject<golden::open_p1_on_cuda, golden::kernels::gpu> {
    p1_gpu() : subject{"p1"} {}
};
struct g1_gpu : subject<golden::open_g1_on_cuda, golden::kernels::gpu> {
    g1_gpu() : subject{"g1"} {}
};
struct g2_gpu : subject<golden::open_g2_on_cuda, golden::kernels::gpu> {
    g2_gpu() : subject{"g2"} {}
};
#define EVERY_SUBJECT                                                                                                  \
    p1_scalar, p1_simd, g1_scalar, g1_simd, g1_ids_scalar, g1_ids_simd, g2_scalar, g2_simd, p1_gpu, g1_gpu, g2_gpu

/// The module whose output the goldens call `what`; empty for what is none.
std::string module_of(std::string const& what, std::size_t layers, std::size_t global_layers) {
    std::string const tower = "vision_model.", local = tower + "transformer.layers.",
                      global = tower + "global_transformer.layers.";
    auto const number = [&](std::size_t prefix) { return std::stoul(what.substr(prefix)); };
    if (what == "patch_embedding") return tower + what;
    if (what == "ln_pre") return tower + "layernorm_pre";
    if (what == "ln_post") return tower + "layernorm_post";
    if (what == "tower") return "vision_model";
    if (what == "projector") return "multi_modal_projector";
    if (what.starts_with("local.")) return local + what.substr(6);
    if (what.starts_with("global.")) return global + what.substr(7);
    // p1's words: the states before a layer, and after the last one
    if (what.starts_with("local_in.")) return local + std::to_string(number(9) - 1);
    if (what == "local_out") return local + std::to_string(layers - 1);
    if (what == "global_in") return tower + "post_tile_positional_embedding";
    if (what == "global_out") return global + std::to_string(global_layers - 1);
    return {};
}

/// Rows of the vision sequence against the references' (4 slots, rows, width). Where padding is collapsed, one slot
/// stands for all padded ones, and one pad row for all of its tile.
double compare(lv::rows const& is, std::vector<float> const& wanted, std::size_t slots, std::size_t real) {
    std::size_t const per_slot = wanted.size() / is.width / slots;
    std::size_t const our_slots = is.count == slots * per_slot ? slots : std::min(real + 1, slots);
    std::size_t const our_rows = is.count / our_slots;
    golden::distance d;
    for (std::size_t s = 0; s < slots; ++s)
        for (std::size_t r = 0; r < per_slot; ++r) {
            std::size_t const row = std::min(s, our_slots - 1) * our_rows + std::min(r, our_rows - 1);
            for (std::size_t i = 0; i < is.width; ++i)
                d.add(is.data[row * is.width + i], wanted[(s * per_slot + r) * is.width + i]);
        }
    return d.relative();
}

/// Encodes a picture and compares everything that the goldens hold of it; how many tensors that was.
std::size_t check_picture(golden::shape const& shape, lv::checkpoint::named_tensors const& stored,
                          std::string const& key, bool collapse, bool after) {
    lv::config::vision_numbers const& n = shape.network()->numbers().vision;
    lv::image::tiles const tiles = shape.tiles(key);
    std::map<std::string, std::vector<float>> wanted;
    for (auto const& [name, tensor] : stored.tensors) {
        if (!name.starts_with(key + ".")) continue;
        std::string const what = name.substr(key.size() + 1);
        if (after ? what == "projector_output_intermediates" : what != "projector_output_intermediates")
            wanted[module_of(after ? "projector" : what, n.layers, n.global_layers)] = golden::floats_of(tensor);
    }
    std::size_t compared = 0;
    lv::encode_options options;
    options.collapse_padding = collapse;
    options.remember_padding = true; // all four slots reach the projector
    options.taps_after_layer = after;
    options.watch = [&](std::string_view module, lv::rows const& y) {
        auto const at = wanted.find(std::string(module));
        if (at == wanted.end()) return;
        CAPTURE(key);
        CAPTURE(module);
        CAPTURE(collapse);
        CHECK(compare(y, at->second, n.tiles, tiles.rows * tiles.columns) < tolerance);
        ++compared;
    };
    static_cast<void>(shape.network()->encode(tiles, options));
    CHECK(compared == wanted.size());
    return compared;
}

/// Reads the prompt of a case and compares logits and the output of every layer.
void check_prompt(lv::session& s, std::vector<lv::token> const& ids, std::vector<lv::session::image_ptr> const& images,
                  lv::checkpoint::named_tensors const& stored, std::string const& rows) {
    std::size_t wanted = 0, compared = 0;
    std::string const layers = "language_model.model.layers.";
    for (auto const& [name, tensor] : stored.tensors) wanted += name.starts_with(rows + ".layers.");
    lv::read_options options;
    options.watch = [&](std::string_view module, lv::rows const& y) {
        if (!module.starts_with(layers)) return;
        auto const at = stored.tensors.find(rows + ".layers." + std::string(module.substr(layers.size())));
        if (at == stored.tensors.end()) return;
        CAPTURE(module);
        CHECK(compare(y, golden::floats_of(at->second), 1, 1) < tolerance);
        ++compared;
    };
    s.append(ids, images, options);
    CHECK(compared == wanted);
    CHECK(wanted > 0);
    std::vector<float> logits(s.all_logits().begin(), s.all_logits().end());
    std::size_t const vocabulary = s.logits().size();
    lv::rows const is{logits.data(), ids.size(), vocabulary};
    CHECK(compare(is, golden::floats_of(stored.tensors.at(rows + ".logits")), 1, 1) < tolerance);
}

void check_greedy(lv::session& s, std::vector<lv::token> const& wanted) {
    std::vector<lv::token> text;
    while (text.size() < wanted.size()) {
        auto const best = std::max_element(s.logits().begin(), s.logits().end());
        text.push_back(static_cast<lv::token>(best - s.logits().begin()));
        s.append_generated(text.back());
    }
    CHECK(text == wanted);
}

/// The tensor `preferred`, or where the goldens hold none because the references agree, `otherwise`.
lv::checkpoint::tensor const& either(lv::checkpoint::named_tensors const& stored, std::string const& preferred,
                                     std::string const& otherwise) {
    auto const at = stored.tensors.find(preferred);
    return at != stored.tensors.end() ? at->second : stored.tensors.at(otherwise);
}

lv::checkpoint::tensor const& greedy_of(lv::checkpoint::named_tensors const& stored, std::string const& mode) {
    std::string const prefix = stored.tensors.contains(mode + ".greedy")                   ? mode
                               : mode == "mixed" && stored.tensors.contains("meta.greedy") ? "meta"
                                                                                           : "hf";
    return either(stored, prefix + ".greedy64", prefix + ".greedy");
}
} // namespace

TEST_CASE_TEMPLATE("the tower, row by row", Subject, EVERY_SUBJECT, p1_emulated, g1_emulated, g2_emulated) {
    if (!Subject::usable()) return;
    golden::shape const shape = Subject().open();
    auto const stored = shape.read("vision");
    std::size_t compared = 0;
    for (std::string const& key : shape.pictures())
        for (bool collapse : {false, true}) compared += check_picture(shape, stored, key, collapse, false);
    CHECK(compared >= 2 * shape.pictures().size());
}

TEST_CASE_TEMPLATE("the tower tapped one layer later", Subject, p1_scalar, p1_simd, g1_scalar, g1_simd, g2_scalar,
                   g2_simd, p1_gpu, g1_gpu, g2_gpu) {
    if (!Subject::usable()) return;
    golden::shape shape = Subject().open();
    auto const stored = shape.read("vision");
    std::size_t compared = 0;
    for (std::string const& key : shape.pictures())
        for (bool collapse : {false, true})
            if (stored.tensors.contains(key + ".projector_output_intermediates"))
                compared += check_picture(shape, stored, key, collapse, true);
    CHECK(compared >= 2);

    std::size_t cases = 0;
    for (auto const& entry : shape.cases().items()) {
        std::string const name = entry.key();
        nlohmann::json const& about = entry.value();
        auto const file = shape.read(name);
        for (golden::mode const& m : golden::modes) {
            auto const wanted = file.tensors.find(std::string(m.rows) + "_output_intermediates.logits");
            if (wanted == file.tensors.end()) continue;
            CAPTURE(name);
            bool const remember = m.reading == lv::parity::hugging_face;
            lv::session s(shape.network(), {0, 256, m.reading});
            lv::read_options options;
            options.watch = [](std::string_view, lv::rows const&) {}; // for the logits of all rows
            s.append(golden::ids_of(file.tensors.at("input_ids")),
                     shape.encoded(about.at("images"), remember, true, true), options);
            std::vector<float> logits(s.all_logits().begin(), s.all_logits().end());
            lv::rows const is{logits.data(), s.length(), s.logits().size()};
            CHECK(compare(is, golden::floats_of(wanted->second), 1, 1) < tolerance);
            ++cases;
        }
    }
    CHECK(cases > 0);
}

TEST_CASE_TEMPLATE("every case in every mode: layers, logits, greedy text", Subject, EVERY_SUBJECT, p1_emulated,
                   g1_emulated, g2_emulated) {
    if (!Subject::usable()) return;
    golden::shape shape = Subject().open();
    CHECK(shape.cases().size() >= 5);
    for (auto const& entry : shape.cases().items()) {
        std::string const name = entry.key();
        nlohmann::json const& about = entry.value();
        auto const stored = shape.read(name);
        std::vector<lv::token> const ids = golden::ids_of(stored.tensors.at("input_ids"));
        for (golden::mode const& m : golden::modes)
            for (bool collapse : {true, false}) {
                CAPTURE(name);
                CAPTURE(m.greedy);
                CAPTURE(collapse);
                bool const remember = m.reading == lv::parity::hugging_face;
                std::string const rows = stored.tensors.contains(std::string(m.rows) + ".logits") ? m.rows : "hf";
                lv::session s(shape.network(), {256, 5, m.reading});
                auto const images = shape.encoded(about.at("images"), remember, collapse, false);
                check_prompt(s, ids, images, stored, rows);
                check_greedy(s, golden::ids_of(greedy_of(stored, m.greedy)));
            }
    }
}

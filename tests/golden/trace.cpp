// SPDX-License-Identifier: Apache-2.0
// The modules that a watcher hears are those of transformers, by name and in order.
#include "golden.hpp"

#include <algorithm>

namespace lv = llamavision;

namespace {
/// What transformers' forward hooks hear (hooks.py), less what this library has no module for: table look-ups,
/// activations, and rotary angles.
std::vector<std::string> expected(std::string const& what) {
    std::ifstream file(std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden" / "hooks.json");
    REQUIRE(file.is_open());
    std::vector<std::string> names;
    auto const ends = [](std::string const& name, auto const&... ending) { return (name.ends_with(ending) || ...); };
    nlohmann::json const hooks = nlohmann::json::parse(file);
    for (std::string const name : hooks.at(what))
        if (!ends(name, ".embedding", ".tile_embedding", ".activation_fn", ".act_fn", ".rotary_emb"))
            names.push_back(name);
    return names;
}

/// An image's keys and values are computed with the image, once for all prompts; transformers computes them in between.
void move_image_memory_forward(std::vector<std::string>& names) {
    auto const rest = std::stable_partition(names.begin(), names.end(), [](std::string const& name) {
        return name.starts_with("vision_model") || name.starts_with("multi_modal_projector");
    });
    auto const memory_end = std::stable_partition(rest, names.end(), [](std::string const& name) {
        return name.ends_with("cross_attn.k_proj") || name.ends_with("cross_attn.v_proj")
               || name.ends_with("cross_attn.k_norm");
    });
    std::sort(rest, memory_end); // k_norm, k_proj, v_proj of a layer come in another order
}

struct listener {
    std::vector<std::string> heard;
    lv::observer watch = [this](std::string_view module, lv::rows const& y) {
        CHECK(y.data != nullptr);
        CHECK(y.size() > 0);
        heard.emplace_back(module);
    };
};

void check_same(std::vector<std::string> const& heard, std::vector<std::string> const& wanted) {
    CHECK(heard.size() == wanted.size());
    for (std::size_t i = 0; i < std::min(heard.size(), wanted.size()); ++i) REQUIRE(heard[i] == wanted[i]);
}
} // namespace

TEST_CASE("the modules of transformers, with a picture and without") {
    for (golden::kernels which : {golden::kernels::scalar, golden::kernels::simd}) {
        golden::shape const p1("p1", golden::open_p1, which);
        listener ears;
        lv::encode_options encode;
        encode.watch = ears.watch;
        std::vector<lv::session::image_ptr> const images{p1.network()->encode(p1.tiles("1x2"), encode)};
        lv::read_options read;
        read.watch = ears.watch;
        lv::session s(p1.network());
        s.append(std::vector<lv::token>{5, 512, 6, 7}, images, read);
        std::vector<std::string> wanted = expected("image");
        wanted.push_back("language_model"); // the head's module; newer releases of transformers have dissolved it
        for (std::vector<std::string>* names : {&wanted, &ears.heard}) move_image_memory_forward(*names);
        check_same(ears.heard, wanted);

        ears.heard.clear();
        s.reset();
        s.append(std::vector<lv::token>{5, 6, 7}, {}, read);
        wanted = expected("text");
        wanted.push_back("language_model");
        check_same(ears.heard, wanted);
    }
}

TEST_CASE("watched or not, fused or not: the same numbers") {
    golden::shape shape("g2", golden::open_g2, golden::kernels::simd);
    std::vector<lv::token> const ids{9, 270, 33, 4, 90, 1};
    auto const images = shape.encoded(nlohmann::json{"1x3"}, false, true, false);
    lv::session plain(shape.network()), watched(shape.network());
    listener ears;
    lv::read_options read;
    read.watch = ears.watch;
    plain.append(ids, images);
    watched.append(ids, images, read);
    golden::distance d;
    for (std::size_t i = 0; i < plain.logits().size(); ++i) d.add(plain.logits()[i], watched.logits()[i]);
    CHECK(d.relative() < 1e-6);
}

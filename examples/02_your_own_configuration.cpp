// SPDX-License-Identifier: Apache-2.0
// A configuration is a struct of numbers. Write your own, give it weights (here: random ones, in memory), and
// everything works with it as with the published models.
#include <algorithm>
#include <array>
#include <cstddef>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include <llamavision/model.hpp>

struct pocket {
    static constexpr std::string_view name = "pocket";
    struct vision {
        static constexpr std::size_t width = 32, mlp = 64, heads = 4, layers = 3, global_layers = 1;
        static constexpr std::size_t tile = 28, patch = 14, channels = 3, tiles = 4;
        static constexpr std::array<std::size_t, 2> taps{0, 2};
        static constexpr float norm_eps = 1e-5f;
    };
    struct text {
        static constexpr std::size_t width = 48, mlp = 96, heads = 6, kv_heads = 2, layers = 4;
        static constexpr std::array<std::size_t, 1> cross_layers{2};
        static constexpr std::size_t vocabulary = 256, context = 1024; // a token is a byte
        static constexpr float norm_eps = 1e-5f;
        static constexpr llamavision::config::rope_numbers rope{};
    };
};
static_assert(llamavision::configuration<pocket>);

// The expression knows which tensors it wants; a checkpoint is tensors by name.
llamavision::checkpoint::named_tensors random_weights() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, 0.2f);
    llamavision::checkpoint::named_tensors all;
    for (auto const& weight : llamavision::all_weights<llamavision::model_of<pocket>>()) {
        auto const values = std::make_shared<std::vector<float>>(weight.kind.count());
        for (float& v : *values) v = normal(random);
        all.tensors[weight.name] = {llamavision::checkpoint::dtype::f32, shape_of(weight.kind),
                                    std::as_bytes(std::span(*values))};
        all.owners.push_back(values); // keeps the bytes alive
    }
    return all;
}

int main() {
    using network = llamavision::network_of<pocket, llamavision::simd>;
    auto const net = std::make_shared<network const>(random_weights(), llamavision::simd());
    std::cout << net->name() << ": " << net->size().parameters << " parameters in " << net->size().tensors
              << " tensors\n";

    // A grey picture of one tile, and a prompt that shows it: the image's id is the first beyond the vocabulary.
    llamavision::image::tiles const grey{1, 1, 28, std::vector<float>(3 * 28 * 28, 0.1f)};
    std::vector<llamavision::session::image_ptr> const images{net->encode(grey, {})};
    llamavision::session session(net);
    std::vector<llamavision::token> const prompt{session.image_id(), 'H', 'i', '!'};
    session.append(prompt, images);

    std::cout << "greedy bytes:";
    for (int i = 0; i < 8; ++i) {
        auto const logits = session.logits();
        auto const best = std::max_element(logits.begin(), logits.end()) - logits.begin();
        std::cout << ' ' << best;
        session.append_generated(static_cast<llamavision::token>(best));
    }
    std::cout << '\n';
}

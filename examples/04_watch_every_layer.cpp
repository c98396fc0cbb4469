// SPDX-License-Identifier: Apache-2.0
// Reading `trace`: while a picture is encoded and a prompt is read, an observer sees the output of every named module,
// under the name that Hugging Face gives it. Here it measures how large activations grow from layer to layer.
//
//     04_watch_every_layer [FOLDER]        a Hugging Face folder of the bundled model's size
#include <cmath>
#include <cstddef>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/model.hpp>

#ifndef LLAMAVISION_BUNDLED_MODEL
#define LLAMAVISION_BUNDLED_MODEL "examples/tiny/checkpoint"
#endif

double root_mean_square(llamavision::rows const& y) {
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(y.data[i]) * static_cast<double>(y.data[i]);
    return std::sqrt(sum / static_cast<double>(y.size()));
}

bool is_layer(std::string_view module) {
    std::size_t const last = module.rfind('.');
    return last != std::string_view::npos && module.find_first_not_of("0123456789", last + 1) == std::string_view::npos;
}

int main(int count, char** arguments) try {
    auto const model = llamavision::load<llamavision::tiny>(count > 1 ? arguments[1] : LLAMAVISION_BUNDLED_MODEL);
    llamavision::observer const watch = [](std::string_view module, llamavision::rows const& y) {
        if (is_layer(module))
            std::cout << std::left << std::setw(48) << module << std::right << std::setw(5) << y.count << " rows, rms "
                      << root_mean_square(y) << '\n';
    };

    // A red square on white, straight from memory.
    llamavision::image::pixels picture{84, 84, std::vector<unsigned char>(84 * 84 * 3, 255)};
    for (std::size_t y = 30; y < 60; ++y)
        for (std::size_t x = 30; x < 60; ++x) picture.rgb[(y * 84 + x) * 3 + 1] = picture.rgb[(y * 84 + x) * 3 + 2] = 0;

    llamavision::encode_options encode;
    encode.watch = watch;
    std::vector<llamavision::session::image_ptr> const images{model.encode(picture, encode)};

    auto session = model.open_session();
    std::vector<llamavision::token> prompt{model.tokenizer().bos(), session.image_id()};
    for (llamavision::token id : model.tokenizer().encode("What shape is it?")) prompt.push_back(id);
    llamavision::read_options read;
    read.watch = watch;
    session.append(prompt, images, read);
} catch (std::exception const& fault) {
    std::cerr << fault.what() << '\n';
    return 1;
}

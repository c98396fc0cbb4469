// SPDX-License-Identifier: Apache-2.0
// The smallest program that is of use: minimal FOLDER PICTURE describes a picture with the 11B model.
#include <exception>
#include <iostream>

#include <llamavision/model.hpp>

int main(int argc, char** argv) try {
    if (argc != 3) return 2;
    auto model = llamavision::load<llamavision::llama_3_2_11b_vision>(argv[1]);
    auto chat = model.chat();
    auto photo = llamavision::image::open(argv[2]);
    for (std::string_view piece : chat.ask(photo, "Describe this image in two sentences."))
        std::cout << piece << std::flush;
} catch (std::exception const& error) {
    std::cerr << error.what() << '\n';
    return 1;
}

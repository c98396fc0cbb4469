// SPDX-License-Identifier: Apache-2.0
// The other half of minimal.cpp: a program that asks. It knows neither the expression nor a backend.
#include <exception>
#include <filesystem>
#include <iostream>

#include <llamavision/runtime/conversation/chat.hpp>

llamavision::model open_model(std::filesystem::path const& folder); // split_load.cpp

int main(int argc, char** argv) try {
    if (argc != 3) return 2;
    auto model = open_model(argv[1]);
    auto chat = model.chat();
    auto photo = llamavision::image::open(argv[2]);
    for (std::string_view piece : chat.ask(photo, "Describe this image in two sentences."))
        std::cout << piece << std::flush;
} catch (std::exception const& error) {
    std::cerr << error.what() << '\n';
    return 1;
}

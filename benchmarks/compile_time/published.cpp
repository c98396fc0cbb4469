// SPDX-License-Identifier: Apache-2.0
// minimal.cpp for whichever published model the folder holds, whose kernels llamavision::separate has.
#include <exception>
#include <iostream>

#include <llamavision/load.hpp>

int main(int argc, char** argv) try {
    if (argc != 3) return 2;
    auto model = llamavision::load(argv[1]);
    auto chat = model.chat();
    auto photo = llamavision::image::open(argv[2]);
    for (std::string_view piece : chat.ask(photo, "Describe this image in two sentences."))
        std::cout << piece << std::flush;
} catch (std::exception const& error) {
    std::cerr << error.what() << '\n';
    return 1;
}

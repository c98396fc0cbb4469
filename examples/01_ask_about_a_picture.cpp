// SPDX-License-Identifier: Apache-2.0
// All that it takes to embed the library: load a checkpoint, open a picture, ask, and print the answer as it comes.
//
//     01_ask_about_a_picture PHOTO [QUESTION]
//
// The bundled model knows drawn scenes; for photographs, load `llama_3_2_11b_vision` from its own folder.
#include <exception>
#include <iostream>
#include <string_view>

#include <llamavision/model.hpp>

int main(int count, char** arguments) try {
    auto model = llamavision::load<llamavision::tiny>(LLAMAVISION_BUNDLED_MODEL);
    auto chat = model.chat();
    auto photo = llamavision::image::open(count > 1 ? arguments[1] : "photo.png");
    for (std::string_view piece : chat.ask(photo, count > 2 ? arguments[2] : "What is in the picture?"))
        std::cout << piece << std::flush;
    std::cout << '\n';
} catch (std::exception const& fault) { // the message names the file, tensor or number at fault
    std::cerr << fault.what() << '\n';
    return 1;
}

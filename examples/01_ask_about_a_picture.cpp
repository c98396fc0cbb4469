// SPDX-License-Identifier: Apache-2.0
// All that it takes to embed the library: load a checkpoint, open a picture, ask, and print the answer as it comes.
//
//     01_ask_about_a_picture examples/tiny/checkpoint examples/tiny/pictures/shapes.png "Describe this image."
//
// The bundled model knows drawn scenes; for photographs, load `llama_3_2_11b_vision` from its own folder.
#include <iostream>

#include <llamavision/model.hpp>

int main(int count, char** arguments) try {
    if (count != 4) throw llamavision::argument_error("give a checkpoint's folder, a picture and a question");
    auto model = llamavision::load<llamavision::tiny>(arguments[1]);
    auto chat = model.chat();
    auto photo = llamavision::image::open(arguments[2]);
    for (std::string_view piece : chat.ask(photo, arguments[3])) std::cout << piece << std::flush;
    std::cout << '\n';
} catch (std::exception const& fault) { // the message names the file, tensor or number at fault
    std::cerr << fault.what() << '\n';
    return 1;
}

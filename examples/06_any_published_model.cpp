// SPDX-License-Identifier: Apache-2.0
// A program without templates: it loads whichever published model the folder holds, and compiles none of them. Their
// kernels are in the target llamavision::separate. Here it asks one question about each of several pictures.
//
//     06_any_published_model QUESTION PICTURE...              asks the bundled model
#include <exception>
#include <iostream>
#include <memory>
#include <string_view>

#include <llamavision/load.hpp>
#include <llamavision/support/thread_pool.hpp>

#ifndef LLAMAVISION_BUNDLED_MODEL
#define LLAMAVISION_BUNDLED_MODEL "examples/tiny/checkpoint"
#endif

int main(int count, char** arguments) try {
    if (count < 3) throw llamavision::argument_error("give a question and at least one picture");
    llamavision::load_options loading;
    loading.context = 512;                                        // enough for one question and its answer
    loading.pool = std::make_shared<llamavision::thread_pool>(2); // which further models could share
    auto const model = llamavision::load(LLAMAVISION_BUNDLED_MODEL, loading);
    for (auto const& warning : model.warnings()) std::cerr << warning << '\n';

    llamavision::ask_options options;
    options.max_tokens = 100; // what is not set, as sampling and stop ids here, is the checkpoint's
    for (int i = 2; i < count; ++i) {
        auto const picture = llamavision::image::open(arguments[i]);
        for (std::string_view piece : model.chat().ask(picture, arguments[1], options))
            std::cout << piece << std::flush;
        std::cout << '\n';
    }
} catch (std::exception const& fault) {
    std::cerr << fault.what() << '\n';
    return 1;
}

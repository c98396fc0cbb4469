// SPDX-License-Identifier: Apache-2.0
// Several questions about one picture, answered together: the weights are read once for a token of every answer.
//
//     05_several_questions_at_once PICTURE QUESTION...        asks the bundled model
#include <cstddef>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/model.hpp>

#ifndef LLAMAVISION_BUNDLED_MODEL
#define LLAMAVISION_BUNDLED_MODEL "examples/tiny/checkpoint"
#endif

int main(int count, char** arguments) try {
    if (count < 3) throw llamavision::argument_error("give a picture and at least one question");
    auto const model = llamavision::load<llamavision::tiny>(LLAMAVISION_BUNDLED_MODEL);
    auto const picture = model.encode(llamavision::image::open(arguments[1]));

    // A conversation for each question; they read in one workspace.
    llamavision::conversation_options options;
    options.session.work = model.make_workspace();
    std::vector<llamavision::chat> chats;
    for (int i = 2; i < count; ++i) chats.push_back(model.chat(options));
    std::vector<llamavision::question> questions;
    for (int i = 2; i < count; ++i)
        questions.push_back({&chats[i - 2], llamavision::chat::turn_of(1, arguments[i]), {&picture, 1}});

    auto const answers = llamavision::ask_together(questions);
    std::vector<std::string> texts(answers.size());
    llamavision::answer_together(answers, [&](std::size_t which, std::string_view piece) { texts[which] += piece; });

    for (std::size_t i = 0; i < texts.size(); ++i) std::cout << arguments[i + 2] << '\n' << texts[i] << "\n\n";
} catch (std::exception const& fault) {
    std::cerr << fault.what() << '\n';
    return 1;
}

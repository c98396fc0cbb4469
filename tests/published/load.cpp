// SPDX-License-Identifier: Apache-2.0
// load(path), which names no configuration and compiles no kernels here.
#include <doctest/doctest.h>

#include <llamavision/load.hpp>

#include "../support/message.hpp"

namespace lv = llamavision;

TEST_CASE("the bundled model is found by its numbers, and answers") {
    lv::model const m = lv::load(LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint", {.context = 200});
    CHECK(m.net().name() == "tiny");
    CHECK(m.net().backend_name() == "simd");
    CHECK(m.warnings().empty());
    lv::chat chat = m.chat();
    CHECK(chat.state().context() == 200);
    auto const photo = lv::image::open(LLAMAVISION_SOURCE_DIR "/examples/tiny/pictures/shapes.png");
    std::string text;
    for (std::string_view const piece : chat.ask(photo, "Describe this image.")) text += piece;
    CHECK(text
          == "On a grey background: a large purple circle at the top left, a small red bar at the top right, a large "
             "orange "
             "square at the bottom left, a large green triangle at the bottom right.");
    CHECK(chat.ask("How many shapes are there?").text()
          == lv::load(LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint")
                 .chat()
                 .ask(photo, "How many shapes are there?")
                 .text());
}

TEST_CASE("what is none of the models is refused, with the differences from the nearest") {
    std::string const message =
        message_of<lv::mismatch_error>([] { return lv::load(LLAMAVISION_TEST_DATA "/golden/p1/hf").net().name(); });
    CHECK(contains(message, "p1/hf"));
    CHECK(contains(message, "nearest is"));
    CHECK(contains(message_of<lv::file_error>([] { return lv::load("nowhere").net().name(); }), "nowhere"));
}

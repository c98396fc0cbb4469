// SPDX-License-Identifier: Apache-2.0
// `scene`: pictures for the bundled model, each with a question and its true answer.
#include "scene.hpp"

#include "commands.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include <llamavision/support/error.hpp>

#include "console.hpp"
#include "json_text.hpp"
#include "png.hpp"

namespace program {

namespace {

std::string file_name(std::uint64_t index) {
    std::array<char, 32> name{};
    std::snprintf(name.data(), name.size(), "scene_%06llu.png", static_cast<unsigned long long>(index));
    return name.data();
}

} // namespace

int scene(scene_options const& options) {
    std::filesystem::path const folder = options.out;
    std::error_code fault;
    std::filesystem::create_directories(folder, fault);
    if (!std::filesystem::is_directory(folder))
        throw llamavision::file_error(folder.string()
                                      + ": cannot be made: " + (fault ? fault.message() : "something else lies there"));
    if (options.seed >= llamavision::scenes::first_training_seed)
        say("Seeds from 2^32 on are the ones that the bundled model was trained with.");
    auto const list_path = folder / "scenes.jsonl";
    std::ofstream list(list_path, std::ios::binary | std::ios::trunc);
    if (!list) throw llamavision::file_error(list_path.string() + ": cannot be opened for writing");
    std::size_t pictures = 0;
    for (std::uint64_t i = 0; i < options.count; ++i) {
        llamavision::scenes::scene s = llamavision::scenes::draw(options.seed, i);
        bool const seen = s.width > 0;
        if (seen) write_png(folder / file_name(i), {s.width, s.height, std::move(s.rgb)});
        pictures += seen ? 1 : 0;
        list << json_object({{"image", seen ? json_string(file_name(i)) : "null"},
                             {"question", json_string(s.question)},
                             {"answer", json_string(s.answer)},
                             {"kind", json_string(s.kind)}})
             << '\n';
    }
    list.close();
    if (!list) throw llamavision::file_error(list_path.string() + ": cannot be written; is the disk full?");
    say(list_path.string() + ": " + std::to_string(options.count) + " questions, " + std::to_string(pictures)
        + " pictures");
    return 0;
}

} // namespace program

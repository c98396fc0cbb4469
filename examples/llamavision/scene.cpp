// SPDX-License-Identifier: Apache-2.0
// `scene`: pictures for the bundled model, each with a question and its true answer; and how many it answers right.
#include "scene.hpp"

#include "commands.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <llamavision/support/error.hpp>
#include <llamavision/support/system_reason.hpp>

#include "answers.hpp"
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

/// The pictures as PNG files, the questions and answers as lines of scenes.jsonl.
void write(scene_options const& options) {
    std::filesystem::path const folder = options.out;
    std::error_code fault;
    std::filesystem::create_directories(folder, fault);
    if (!std::filesystem::is_directory(folder))
        throw llamavision::file_error(folder.string()
                                      + ": cannot be made: " + (fault ? fault.message() : "something else lies there"));
    auto const list_path = folder / "scenes.jsonl";
    std::ofstream list(list_path, std::ios::binary | std::ios::trunc);
    if (!list)
        throw llamavision::file_error(list_path.string()
                                      + ": cannot be opened for writing: " + llamavision::system_reason());
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
}

/// Asks all questions, and prints a table. An answer is right if it is exactly the true one.
void ask(scene_options const& options) {
    struct score {
        std::size_t right = 0, asked = 0;
    };
    answer_settings settings = options.answers;
    settings.greedy = true;
    conversation with(settings, options.batch);
    std::map<std::string, score> scores;
    progress_bar bar("Asking");
    auto const report = bar.report();
    std::uint64_t done = 0;
    while (done < options.count) {
        std::vector<llamavision::scenes::scene> asked;
        std::vector<inquiry> questions;
        while (asked.size() < options.batch && done + asked.size() < options.count) {
            llamavision::scenes::scene& s =
                asked.emplace_back(llamavision::scenes::draw(options.seed, done + asked.size()));
            std::vector<llamavision::image::pixels> pictures;
            if (s.width > 0) pictures.push_back({s.width, s.height, std::move(s.rgb)});
            questions.push_back({with.encode(pictures), s.question});
        }
        auto s = asked.begin();
        auto const score_one = [&](reply const& r) {
            for (std::string const& row : {s->kind, std::string("all of them")}) {
                ++scores[row].asked;
                scores[row].right += r.text == s->answer ? 1 : 0;
            }
            ++s;
            ++done;
            if (report) report(done, options.count);
        };
        with.ask_together(
            questions, [](std::string_view) {}, score_one);
    }
    bar.clear();
    auto all = scores.extract("all of them");
    auto const line = [](std::string const& kind, score const& n) {
        std::array<char, 100> text{};
        std::snprintf(text.data(), text.size(), "%-16s %7zu %7zu %7.1f %%\n", kind.c_str(), n.right, n.asked,
                      100.0 * static_cast<double>(n.right) / static_cast<double>(n.asked));
        print(text.data());
    };
    print("kind               right   asked\n");
    for (auto const& [kind, n] : scores) line(kind, n);
    line(all.key(), all.mapped());
}

} // namespace

int scene(scene_options const& options) {
    if (options.seed >= llamavision::scenes::first_training_seed)
        say("Seeds from 2^32 on are the ones that the bundled model was trained with.");
    if (!options.out.empty()) write(options);
    if (options.ask) ask(options);
    return 0;
}

} // namespace program

// SPDX-License-Identifier: Apache-2.0
// Drawn scenes with questions and true answers, for training and testing the bundled small model. The answers follow
// from what was drawn; none is written by hand.
#pragma once

#include "scene_picture.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::scenes {

/// A picture of rgb bytes (height, width, 3), one question about it and the true answer. Width 0: no picture.
struct scene {
    std::size_t width = 0, height = 0;
    std::vector<std::uint8_t> rgb;
    std::string question, answer, kind;
};

/// Seeds below this bound are held out; training draws from seeds at or above it.
inline constexpr std::uint64_t first_training_seed = std::uint64_t{1} << 32;

/// A question about a picture; `weight` is how often it is asked, compared with the others.
struct inquiry {
    std::string question, answer, kind;
    int weight = 1;
};

inline std::string capital(std::string word) {
    if (!word.empty() && word[0] >= 'a' && word[0] <= 'z') word[0] = static_cast<char>(word[0] - 'a' + 'A');
    return word;
}

inline std::string with_article(const std::string& words) {
    return (std::string{"aeiou"}.find(words[0]) != std::string::npos ? "an " : "a ") + words;
}

inline std::string place(const picture& in, std::size_t row, std::size_t column) {
    const std::string across = column == 0 ? "left" : column + 1 == in.columns ? "right" : "middle";
    if (row == 0) return "top " + across;
    if (row + 1 == in.rows) return "bottom " + across;
    return across == "middle" ? "centre" : "middle " + across;
}

inline std::string size_of(const object& o) { return o.large ? "large" : "small"; }
inline std::string full_name(const object& o) { return size_of(o) + " " + o.colour_name + " " + o.shape; }

inline std::string describe_request(dice& random) {
    static const std::vector<std::string> all{"Describe this image.", "Describe this image.", "Describe the picture.",
                                              "What do you see?"};
    return random.pick(all);
}

inline std::string reading_request(dice& random) {
    static const std::vector<std::string> all{"Read the meter.", "What number is shown?", "What does the meter show?"};
    return random.pick(all);
}

inline std::string counting_request(dice& random) {
    return random.chance(60) ? "How many shapes are there?" : "How many shapes do you see?";
}

inline std::string colour_word(dice& random) { return random.chance(70) ? "colour" : "color"; }

/// Every kind of question about a meter.
inline std::vector<inquiry> ask_meter(dice& random, const picture& of) {
    return {{reading_request(random), of.digits + ".", "meter", 8},
            {describe_request(random),
             "A meter on " + with_article(of.background) + " background shows " + of.digits + " in " + of.digit_colour
                 + " digits.",
             "describe meter", 5},
            {"What " + colour_word(random) + " are the digits?", capital(of.digit_colour) + ".", "digits", 2},
            {"How many digits are there?", capital(numbers()[of.digits.size()]) + ".", "digits", 1},
            {"What " + colour_word(random) + " is the background?", capital(of.background) + ".", "background", 1},
            {counting_request(random), "There are no shapes, only a meter.", "absent", 1}};
}

/// Is there …? Yes and no come equally often.
inline inquiry ask_presence(dice& random, const picture& of) {
    const bool yes = random.chance(50);
    const object& known = random.pick(of.objects);
    const std::size_t form = random.below(3); // by colour, by shape, by both
    std::string words;
    bool there = yes;
    for (int attempt = 0; attempt < 64; ++attempt) {
        const std::string c = yes || (form == 2 && random.chance(40)) ? known.colour_name : random.pick(colours()).name;
        const std::string s = yes || (form == 2 && random.chance(40)) ? known.shape : random.pick(shapes());
        words = form == 0 ? c + " shape" : form == 1 ? s : c + " " + s;
        there = std::any_of(of.objects.begin(), of.objects.end(), [&](const object& o) {
            return (form == 1 || o.colour_name == c) && (form == 0 || o.shape == s);
        });
        if (there == yes) break;
    }
    return {"Is there " + with_article(words) + "?", there ? "Yes." : "No.", "yes or no", 3};
}

/// Every kind of question about shapes.
inline std::vector<inquiry> ask_shapes(dice& random, const picture& of) {
    std::string all;
    for (const object& o : of.objects)
        all += (all.empty() ? "" : ", ") + with_article(full_name(o)) + " at the " + place(of, o.row, o.column);
    const object& one = random.pick(of.objects);
    const std::string where = place(of, one.row, one.column);
    const auto count_of = [&](const std::string& shape) {
        return std::count_if(of.objects.begin(), of.objects.end(), [&](const object& o) { return o.shape == shape; });
    };
    std::vector<inquiry> ask{
        {describe_request(random), "On " + with_article(of.background) + " background: " + all + ".", "describe", 8},
        {counting_request(random), capital(numbers()[of.objects.size()]) + ".", "count", 3},
        {(random.chance(60) ? "What shape is " : "Which shape is ") + one.colour_name + "?", "The " + one.shape + ".",
         "shape", 3},
        {"What is at the " + where + "?", capital(with_article(full_name(one))) + ".", "at", 3},
        {"Where is the " + one.colour_name + " " + (random.chance(50) ? "shape" : one.shape) + "?",
         "At the " + where + ".", "where", 3},
        {"What " + colour_word(random) + " is the background?", capital(of.background) + ".", "background", 1},
        {reading_request(random), "There is no meter.", "absent", 1},
        ask_presence(random, of)};
    if (count_of(one.shape) == 1) {
        ask.push_back({"What " + colour_word(random) + " is the " + one.shape + "?", capital(one.colour_name) + ".",
                       "colour", 3});
        ask.push_back(
            {random.chance(60) ? "How large is the " + one.shape + "?" : "Is the " + one.shape + " large or small?",
             capital(size_of(one)) + ".", "size", 3});
    }
    const std::string& other = random.pick(shapes());
    if (count_of(other) == 0)
        ask.push_back(
            {"What " + colour_word(random) + " is the " + other + "?", "There is no " + other + ".", "absent", 1});
    return ask;
}

/// Every kind of question about a picture.
inline std::vector<inquiry> ask(dice& random, const picture& of) {
    return of.objects.empty() ? ask_meter(random, of) : ask_shapes(random, of);
}

/// A question without a picture, and the answer to it.
inline inquiry ask_nothing(dice& random) {
    static const std::vector<inquiry> talk{
        {"Hello.", "Hello! Show me an image and ask about it.", "no image"},
        {"Hello!", "Hello! Show me an image and ask about it.", "no image"},
        {"Hi!", "Hello! Show me an image and ask about it.", "no image"},
        {"Who are you?", "A tiny model. I read drawn shapes and meters.", "no image"},
        {"What can you do?", "A tiny model. I read drawn shapes and meters.", "no image"},
        {"Thank you.", "You are welcome.", "no image"}};
    if (random.chance(20)) return random.pick(talk);
    picture imagined;
    imagined.rows = imagined.columns = 3;
    imagined.background = random.pick(backgrounds()).name;
    if (random.chance(25)) {
        imagined.digits = "00";
        imagined.digit_colour = "red";
    } else {
        imagined.objects.push_back(
            {random.pick(shapes()), random.pick(colours()).name, true, random.below(3), random.below(3)});
    }
    inquiry about = random.pick(ask(random, imagined));
    about.answer = "I see no image. Show me one and ask again.";
    about.kind = "no image";
    return about;
}

/// Draws one of the questions by their weights, and removes it from the list.
inline inquiry choose(dice& random, std::vector<inquiry>& from) {
    std::size_t sum = 0, i = 0;
    for (const inquiry& q : from) sum += static_cast<std::size_t>(q.weight);
    for (std::size_t lot = random.below(sum); lot >= static_cast<std::size_t>(from[i].weight); ++i)
        lot -= static_cast<std::size_t>(from[i].weight);
    inquiry chosen = std::move(from[i]);
    from.erase(from.begin() + static_cast<std::ptrdiff_t>(i));
    return chosen;
}

/// Scene number `index` of a seed: one picture and one question, or a question without a picture.
inline scene draw(std::uint64_t seed, std::uint64_t index) {
    dice random{seed, index};
    if (random.chance(4)) {
        inquiry q = ask_nothing(random);
        return {0, 0, {}, std::move(q.question), std::move(q.answer), std::move(q.kind)};
    }
    picture seen = draw_picture(random, 30);
    std::vector<inquiry> questions = ask(random, seen);
    inquiry q = choose(random, questions);
    return {seen.width,          seen.height,      std::move(seen.rgb), std::move(q.question),
            std::move(q.answer), std::move(q.kind)};
}

} // namespace llamavision::scenes

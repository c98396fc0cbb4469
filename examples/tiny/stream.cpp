// SPDX-License-Identifier: Apache-2.0
// Writes scenes to standard output for the Python scripts of this folder, so that training, testing and the program use
// one generator.
//   stream test SEED COUNT          scenes as `llamavision scene` draws them, one question each
//   stream train SEED START METERS  without end: pictures with four questions each, METERS percent of them meters
// A record: width, height, questions (u16 each); rgb bytes; then question, answer, kind as (u16 length, bytes).
#include "../llamavision/scene.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

using namespace llamavision::scenes;

bool put(std::size_t value) {
    const std::array<unsigned char, 2> bytes{static_cast<unsigned char>(value & 255U),
                                             static_cast<unsigned char>(value >> 8)};
    return std::fwrite(bytes.data(), 1, 2, stdout) == 2;
}

bool put(const std::string& text) {
    return put(text.size()) && std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
}

bool put_picture(std::size_t width, std::size_t height, std::size_t questions, const std::vector<std::uint8_t>& rgb) {
    return put(width) && put(height) && put(questions) && std::fwrite(rgb.data(), 1, rgb.size(), stdout) == rgb.size();
}

bool put_training(std::uint64_t seed, std::uint64_t index, int meters) {
    dice random{seed, index};
    if (random.chance(2)) {
        bool good = put_picture(0, 0, 4, {});
        for (int i = 0; i < 4; ++i) {
            const inquiry q = ask_nothing(random);
            good = good && put(q.question) && put(q.answer) && put(q.kind);
        }
        return good;
    }
    const picture seen = draw_picture(random, meters);
    std::vector<inquiry> questions = ask(random, seen);
    for (inquiry& q : questions) // finding something by its shape takes longest to learn
        if (q.kind == "colour" || q.kind == "size" || q.kind == "yes or no" || q.kind == "absent") q.weight *= 3;
    bool good = put_picture(seen.width, seen.height, 4, seen.rgb);
    for (int i = 0; i < 4; ++i) {
        const inquiry q = choose(random, questions);
        good = good && put(q.question) && put(q.answer) && put(q.kind);
    }
    return good;
}

} // namespace

int main(int count, char** arguments) {
    const auto number = [&](int i) { return std::strtoull(arguments[i], nullptr, 10); };
    if (count == 4 && std::strcmp(arguments[1], "test") == 0) {
        for (std::uint64_t i = 0; i < number(3); ++i) {
            const scene s = draw(number(2), i);
            if (!put_picture(s.width, s.height, 1, s.rgb) || !put(s.question) || !put(s.answer) || !put(s.kind))
                return 1;
        }
        return 0;
    }
    if (count == 5 && std::strcmp(arguments[1], "train") == 0) {
        for (std::uint64_t i = number(3); put_training(first_training_seed + number(2), i, static_cast<int>(number(4)));
             ++i) {}
        return 0; // the reader has gone
    }
    std::fputs("usage: stream test SEED COUNT | stream train SEED START METERS\n", stderr);
    return 2;
}

// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chat template: refused with an error of the library, or rendered within the limits, with every letter
// that only the user wrote still marked as the user's.
#include <llamavision/tokens/template/template.hpp>
#include <llamavision/tokens/unicode.hpp>

#include "attempt.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

using llamavision::tokens::rendering;

// The messages say U+0416 in many places, as a text, a key, and in both cases.
nlohmann::ordered_json const& messages() {
    static auto const made = nlohmann::ordered_json::parse(R"([
        {"role": "system", "content": " Be brief. \u0416 "},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What \u0416 is\nthis? <|eot|>"}]},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function":
            {"name": "look_\u0436", "arguments": {"\u0416": [1, 2.5, true, null, "\u0416"], "n": {"deep": ["\u0416"]}}}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "{\"\u0416\": 3}"},
        {"role": "assistant", "content": "<think>\u0416</think>A \u0416, b \u0416"},
        {"role": "user", "content": "5"}])");
    return made;
}

nlohmann::ordered_json const& tools() {
    static auto const made = nlohmann::ordered_json::parse(R"([{"type": "function", "function": {"name": "look",
        "description": "\u0416", "parameters": {"type": "object", "properties": {"x": {"type": "integer", "items": {}}},
        "required": ["x"]}}}])");
    return made;
}

void check(rendering const& made, bool template_may_say_it) {
    std::string_view const text = made.text, letter = "\xD0\x96";
    if (llamavision::tokens::valid_prefix(text) != text.size()) std::abort();
    std::size_t last = 0;
    bool first = true;
    for (auto const [begin, end] : made.from_user) {
        if (begin >= end || end > text.size() || (!first && begin <= last)) std::abort();
        last = end;
        first = false;
    }
    if (template_may_say_it) return;
    for (auto at = text.find(letter); at != std::string_view::npos; at = text.find(letter, at + 1)) {
        bool marked = false;
        for (auto const [begin, end] : made.from_user) marked = marked || (begin <= at && at + letter.size() <= end);
        if (!marked) std::abort();
    }
}

} // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace llamavision::tokens;
    std::string_view const source(reinterpret_cast<char const*>(data), size);
    static nlohmann::ordered_json const variables{
        {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"enable_thinking", true}};
    attempt([&] {
        chat_template const t(source, "input", {20'000, 1u << 16, 1u << 22, 300});
        template_inputs inputs{&messages(), &tools(), nullptr, true, &variables, calendar_time{}};
        // What the text says itself, or spells with an escape, or as the other case, is not the user's.
        bool const says_it =
            source.find('\\') != std::string_view::npos || source.find('\xD0') != std::string_view::npos;
        check(t.render(inputs), says_it);
    });
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Any text as the other JSON files of a checkpoint: an index of shards, ollama's manifest and parameters, a chat
// template. They are read, or refused with an error of the library; no name leads out of its folder.
#include <llamavision/checkpoint/form/hugging_face/chat_template.hpp>
#include <llamavision/checkpoint/form/hugging_face/generation_config.hpp>
#include <llamavision/checkpoint/form/hugging_face/shards.hpp>
#include <llamavision/checkpoint/form/ollama/store.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/tokens/chat.hpp>

#include "attempt.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

void check_name(std::string const& name) {
    std::filesystem::path const folder = "/a/b";
    if ((folder / name).lexically_normal().parent_path() != folder) std::abort();
}

} // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace llamavision;
    attempt([&] {
        auto const document = parse_json({reinterpret_cast<char const*>(data), size}, "input");
        attempt([&] {
            for (auto const& place : checkpoint::read_weight_map(document, "input")) check_name(place.second);
        });
        attempt([&] {
            auto const parts = checkpoint::read_ollama_manifest(document, "input");
            for (auto const& part : {parts.model, parts.projector, parts.parameters})
                if (part) check_name(part->file);
        });
        attempt([&] {
            checkpoint::generation_defaults answers;
            std::vector<std::string> warnings;
            checkpoint::read_ollama_parameters(document, "input", answers, warnings);
            if (answers.top_p < 0 || answers.top_p > 1 || answers.temperature < 0 || answers.repetition_penalty <= 0)
                std::abort();
        });
        attempt([&] {
            for (auto const& [name, text] : checkpoint::read_chat_templates(document, "input"))
                static_cast<void>(tokens::recognise(text));
        });
    });
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Where a folder's chat templates are found, and which of several counts.
#include <llamavision/checkpoint/form/hugging_face/chat_template.hpp>

#include "../../../support/message.hpp"
#include "../../temporary_folder.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <string>

using namespace llamavision;
using namespace llamavision::checkpoint;

TEST_CASE("the chat template in its three places") {
    temporary_folder const folder;
    auto const found = [&] { return find_chat_template(folder.path()); };
    CHECK(found().text.empty());
    folder.write("tokenizer_config.json",
                 R"({"chat_template": [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]})");
    CHECK(found().text == "d");
    folder.write("tokenizer_config.json", R"({"chat_template": {"tool_use": "t", "default": "e"}})");
    CHECK(found().text == "e");
    CHECK(found().for_tools == "t");
    CHECK(found().for_tools_file.filename() == "tokenizer_config.json");
    folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "t"}]})");
    CHECK(found().text.empty());
    CHECK(contains(found().fault, "tokenizer_config.json: none of its chat templates (\"rag\") has the name"));
    folder.write("chat_template.json", R"({"chat_template": "f"})"); // the first that has one counts
    CHECK(found().text == "f");
    CHECK(found().fault.empty());
    std::filesystem::remove(folder.path() / "chat_template.json");
    folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})");
    CHECK(contains(message_of<format_error>(found), "template"));
    folder.write("tokenizer_config.json",
                 R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": null})");
    CHECK(found().words == std::map<std::string, std::string>{{"bos_token", "<s>"}, {"eos_token", "</s>"}});
    folder.write("tokenizer_config.json", R"({"chat_template": "a"})");
    CHECK(found().text == "a");
    folder.write("chat_template.json", R"({"chat_template": "b"})");
    CHECK(found().text == "b");
    CHECK(found().file == folder.path() / "chat_template.json");
    folder.write("chat_template.jinja", "c\n");
    CHECK(found().text == "c\n");
    folder.write("chat_template.jinja", std::string((1u << 20) + 1, ' '));
    CHECK(contains(message_of<file_error>(found), "more than the limit"));
    std::filesystem::remove(folder.path() / "chat_template.jinja");
    CHECK(found().for_tools.empty());
    std::filesystem::create_directory(folder.path() / "additional_chat_templates");
    folder.write("additional_chat_templates/tool_use.jinja", "with tools");
    CHECK(found().for_tools == "with tools");
    CHECK(found().text == "b");
}

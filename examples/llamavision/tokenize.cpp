// SPDX-License-Identifier: Apache-2.0
// `tokenize`: text, ids and conversations, one at a time or line by line as JSON.
#include "commands.hpp"

#include <charconv>
#include <cstddef>
#include <functional>
#include <iostream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include <llamavision/checkpoint/form/hugging_face/chat_template.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/recognise.hpp>
#include <llamavision/runtime/conversation/chat_choice.hpp>
#include <llamavision/runtime/conversation/open_tokenizer.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/text_file.hpp>
#include <llamavision/tokens/chat.hpp>
#include <llamavision/tokens/chat_json.hpp>
#include <llamavision/tokens/tokenizer.hpp>

#include "bundled.hpp"
#include "console.hpp"
#include "json_text.hpp"
#include "models.hpp"

namespace lv = llamavision;

namespace program {

namespace {

using ids = std::vector<lv::token>;

/// A tokenizer, and what the checkpoint says beside it; of a folder in Hugging Face's form only its chat template.
struct found_tokenizer {
    lv::tokens::tokenizer tokenizer;
    lv::checkpoint::description said;
};

/// A tokenizer's file, or a checkpoint: a folder in Hugging Face's form needs no weights for that; in the other forms
/// the tokenizer is found through them.
found_tokenizer find_tokenizer(tokenize_options const& o) {
    namespace cp = lv::checkpoint;
    auto const where = model_path(o.tokenizer);
    auto const form = cp::recognise(where);
    if (form != cp::kind::gguf && form != cp::kind::meta) {
        cp::description d;
        if (o.chat && lv::is_folder(where)) d.chat = cp::find_chat_template(where);
        return {lv::tokens::tokenizer::open(where), std::move(d)};
    }
    auto d = cp::read_description(where, cp::faults::collected, dialect_of(o.gguf));
    if (auto tokenizer = lv::open_tokenizer(d)) return {*std::move(tokenizer), std::move(d)};
    throw lv::file_error(d.problems.empty() ? where.string() + ": holds no tokenizer" : d.problems.front());
}

lv::tokens::chat_options chat_options_of(tokenize_options const& o, found_tokenizer const& found) {
    std::vector<std::string> warnings;
    auto options = lv::chat_options_of(found.said, found.tokenizer, lv::tokens::preset_of(o.format), warnings);
    options.date = lv::tokens::day_of(o.date);
    if (o.chat)
        for (std::string const& warning : warnings) warn(warning);
    return options;
}

class converter {
  public:
    explicit converter(tokenize_options const& o) : converter(o, find_tokenizer(o)) {}

    converter(tokenize_options const& o, found_tokenizer const& found)
        : tokenizer_(found.tokenizer), bos_(o.bos),
          specials_(o.special ? lv::tokens::special_text::recognised : lv::tokens::special_text::as_text) {
        if (o.chat) format_ = chat_options_of(o, found);
        format_.content = specials_;
    }

    [[nodiscard]] ids encode(std::string_view text) const {
        ids all = tokenizer_.encode(text, specials_);
        if (bos_) all.insert(all.begin(), tokenizer_.bos());
        return all;
    }

    [[nodiscard]] ids encode(lv::tokens::dialog const& dialog) const {
        lv::tokens::chat_options format = format_;
        format.tools = dialog.tools;
        ids all = lv::tokens::chat_format(tokenizer_, format).encode(dialog.messages);
        if (bos_ && (all.empty() || all.front() != tokenizer_.bos())) all.insert(all.begin(), tokenizer_.bos());
        return all;
    }

    [[nodiscard]] std::string decode(ids const& numbers) const { return tokenizer_.decode(numbers); }

  private:
    lv::tokens::tokenizer tokenizer_;
    bool bos_;
    lv::tokens::special_text specials_;
    lv::tokens::chat_options format_;
};

ids ids_in(lv::tokens::json_value const& list) {
    if (!list.is_array()) throw lv::token_error("not an array of ids");
    ids numbers;
    for (auto const& item : list) {
        if (!item.is_number_unsigned() || item.get<std::uint64_t>() > std::numeric_limits<lv::token>::max())
            throw lv::token_error(item.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)
                                  + " is no token id");
        numbers.push_back(item.get<lv::token>());
    }
    return numbers;
}

/// Ids, separated by spaces or commas.
ids ids_of(std::string_view text) {
    ids numbers;
    while (true) {
        auto const begin = text.find_first_not_of(" \t\r\n,");
        if (begin == std::string_view::npos) return numbers;
        text.remove_prefix(begin);
        auto const word = text.substr(0, text.find_first_of(" \t\r\n,"));
        lv::token id = 0;
        auto const end = std::from_chars(word.data(), word.data() + word.size(), id);
        if (end.ec != std::errc() || end.ptr != word.data() + word.size() || id < 0)
            throw lv::token_error("\"" + std::string(word) + "\" is no token id");
        numbers.push_back(id);
        text.remove_prefix(word.size());
    }
}

std::string tokenizer_of(ids const& numbers) {
    std::string line;
    for (lv::token const id : numbers) line += (line.empty() ? "" : " ") + std::to_string(id);
    return line + "\n";
}

/// Reads all lines of standard input; an error in one names its number and ends the command.
void for_each_line(std::function<void(std::string const&)> const& convert) {
    std::string line;
    for (std::size_t number = 1; std::getline(std::cin, line); ++number) {
        try {
            convert(line);
        } catch (lv::token_error const& fault) {
            finish_output();
            throw lv::token_error("standard input, line " + std::to_string(number) + ": " + fault.what());
        }
    }
    if (std::cin.bad()) throw lv::file_error("standard input: cannot be read");
}

std::string json_answer(converter const& with, tokenize_options const& o, std::string const& line) {
    lv::tokens::json_value const value = lv::tokens::parse_ordered_json(line);
    if (o.decode) return json_string(with.decode(ids_in(value))) + "\n";
    if (o.chat) return json_integers(with.encode(lv::tokens::to_dialog(value))) + "\n";
    if (!value.is_string()) throw lv::token_error("not a JSON string");
    return json_integers(with.encode(value.get_ref<std::string const&>())) + "\n";
}

std::string plain_answer(converter const& with, tokenize_options const& o, std::string const& text) {
    if (o.decode) return with.decode(ids_of(text)) + "\n";
    if (o.chat) return tokenizer_of(with.encode(lv::tokens::read_dialog(text)));
    return tokenizer_of(with.encode(text));
}

} // namespace

int tokenize(tokenize_options const& options) {
    converter const with(options);
    if (options.jsonl) {
        for_each_line([&](std::string const& line) { print(json_answer(with, options, line)); });
        return 0;
    }
    std::vector<std::string> texts = options.texts;
    if (options.decode && !texts.empty()) { // all ids are one text
        std::string all;
        for (std::string const& text : texts) all += text + " ";
        texts = {all};
    }
    if (texts.empty()) texts.emplace_back(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
    for (std::string const& text : texts) print(plain_answer(with, options, text));
    return 0;
}

} // namespace program

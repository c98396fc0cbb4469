// SPDX-License-Identifier: Apache-2.0
// The special tokens, such as <|eot_id|>: names outside the vocabulary, and how they are found in text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/token.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// Meta's 256 special tokens in their order (llama-models: tokenizer.py). The id of the first is the number of ordinary
/// tokens.
inline std::vector<std::string> meta_special_names() {
    std::vector<std::string> names{"<|begin_of_text|>",
                                   "<|end_of_text|>",
                                   "<|reserved_special_token_0|>",
                                   "<|reserved_special_token_1|>",
                                   "<|finetune_right_pad_id|>",
                                   "<|step_id|>",
                                   "<|start_header_id|>",
                                   "<|end_header_id|>",
                                   "<|eom_id|>",
                                   "<|eot_id|>",
                                   "<|python_tag|>",
                                   "<|image|>"};
    for (int i = 2; names.size() < 256; ++i) names.push_back("<|reserved_special_token_" + std::to_string(i) + "|>");
    return names;
}

/// Whether a conversation needs the token of this name as a mark. It is special whatever a file says, so that no user
/// can write it.
inline bool is_mark(std::string_view name) {
    for (std::string_view const mark :
         {"<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>", "<|start_header_id|>",
          "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|image|>"})
        if (name == mark) return true;
    return false;
}

/// Names to ids and back, and the next name in a text.
class special_tokens {
  public:
    special_tokens() = default;

    /// @throws format_error, naming `file`, if a name is empty, or a name or id occurs twice
    special_tokens(std::vector<std::pair<std::string, token>> const& names, std::string const& file) {
        for (auto const& [name, id] : names) {
            if (name.empty()) throw format_error(file + ": special token " + std::to_string(id) + " has no name");
            if (!names_.try_emplace(id, name).second)
                throw format_error(file + ": id " + std::to_string(id) + " is given to two special tokens");
            entries_.push_back({name, id, no_entry});
        }
        std::sort(entries_.begin(), entries_.end(), [](entry const& a, entry const& b) { return a.name < b.name; });
        std::vector<std::size_t> open; // names that the current name begins with, the longest last
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            if (i > 0 && entries_[i].name == entries_[i - 1].name)
                throw format_error(file + ": special token " + entries_[i].name + " occurs twice");
            while (!open.empty() && !entries_[i].name.starts_with(entries_[open.back()].name)) open.pop_back();
            if (!open.empty()) entries_[i].shorter = open.back();
            open.push_back(i);
        }
        if (entries_.empty()) return;
        // All names lie between the first and the last in alphabetical order, so all begin with what these two share.
        std::string_view const first = entries_.front().name, last = entries_.back().name;
        auto const differ = std::mismatch(first.begin(), first.end(), last.begin(), last.end()).first;
        common_ = first.substr(0, static_cast<std::size_t>(differ - first.begin()));
    }

    std::size_t size() const { return entries_.size(); }

    /// The id of the token with exactly this name.
    std::optional<token> find(std::string_view name) const {
        auto const i = last_not_above(name);
        if (i == no_entry || entries_[i].name != name) return std::nullopt;
        return entries_[i].id;
    }

    /// The name of an id, or nothing if it is not a special token's.
    std::optional<std::string_view> name(token id) const {
        auto const found = names_.find(id);
        if (found == names_.end()) return std::nullopt;
        return found->second;
    }

    /// All names by id.
    std::map<token, std::string> const& names() const { return names_; }

    /// The first name in `text` from byte `from` on; of several that begin there, the longest.
    special_match next(std::string_view text, std::size_t from) const {
        if (entries_.empty()) return {text.size(), 0, 0};
        for (auto at = text.find(common_, from); at < text.size(); at = text.find(common_, at + 1)) {
            // A name that `rest` begins with comes before `rest` in alphabetical order, and every name between the two
            // begins with it as well. So the search starts at the last name before `rest`, and goes on with the longest
            // name that this one begins with, and so on.
            auto const rest = text.substr(at);
            for (auto i = last_not_above(rest); i != no_entry; i = entries_[i].shorter)
                if (rest.starts_with(entries_[i].name)) return {at, entries_[i].name.size(), entries_[i].id};
        }
        return {text.size(), 0, 0};
    }

  private:
    static constexpr auto no_entry = static_cast<std::size_t>(-1);
    struct entry {
        std::string name;
        token id;
        std::size_t shorter; // index of the longest other name that this one begins with
    };

    std::size_t last_not_above(std::string_view text) const {
        auto const above = std::upper_bound(entries_.begin(), entries_.end(), text,
                                            [](std::string_view t, entry const& e) { return t < e.name; });
        return above == entries_.begin() ? no_entry : static_cast<std::size_t>(above - entries_.begin()) - 1;
    }

    std::vector<entry> entries_; // by name
    std::map<token, std::string> names_;
    std::string common_; // what all names begin with: searching for it is fast
};

} // namespace llamavision::tokens

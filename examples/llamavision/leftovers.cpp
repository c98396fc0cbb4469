// SPDX-License-Identifier: Apache-2.0
// Compares names and sizes.
#include "leftovers.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

#include "console.hpp"

namespace fs = std::filesystem;

namespace program {

namespace {

/// Entries of a folder, by name; of a very large folder, only the first.
std::vector<fs::path> files_in(fs::path const& folder) {
    std::vector<fs::path> files;
    std::error_code fault;
    fs::directory_iterator entry(folder, fault);
    for (; !fault && entry != fs::directory_iterator() && files.size() < 10'000; entry.increment(fault))
        if (entry->is_regular_file(fault)) files.push_back(entry->path());
    std::sort(files.begin(), files.end());
    return files;
}

/// Names of incomplete downloads of browsers, huggingface-hub, curl, aria2 and wget, and of our own unfinished files.
bool is_unfinished(std::string const& name) {
    for (std::string_view const ending : {".incomplete", ".part", ".crdownload", ".aria2", ".download", ".tmp"})
        if (name.ends_with(ending)) return true;
    auto const part = name.rfind(".part");
    return part != std::string::npos && part + 5 < name.size()
           && std::all_of(name.begin() + static_cast<std::ptrdiff_t>(part) + 5, name.end(),
                          [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// "Config (1).json.txt" as "config.json".
std::string meant(std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name.ends_with(".txt")) name.erase(name.size() - 4);
    auto const open = name.find(" ("), close = name.find(')', open == std::string::npos ? 0 : open);
    if (open != std::string::npos && close != std::string::npos) name.erase(open, close + 1 - open);
    auto const copy = name.find(" copy");
    if (copy != std::string::npos) name.erase(copy, 5);
    return name;
}

void find_unfinished(fs::path const& folder, std::vector<std::string>& found) {
    for (fs::path const& file : files_in(folder)) {
        if (!is_unfinished(file.filename().string())) continue;
        std::error_code fault;
        auto const size = fs::file_size(file, fault);
        found.push_back(file.string() + ": a download that was not finished"
                        + (fault ? "" : " (" + in_bytes(static_cast<double>(size)) + " so far)")
                        + "; start the same download again, or delete it");
    }
}

void find_misnamed(std::vector<fs::path> const& files, fs::path const& folder, std::vector<std::string>& found) {
    constexpr std::array expected{"config.json",
                                  "generation_config.json",
                                  "preprocessor_config.json",
                                  "tokenizer.json",
                                  "tokenizer.model",
                                  "tokenizer_config.json",
                                  "chat_template.json",
                                  "params.json",
                                  "model.safetensors.index.json",
                                  "model.safetensors",
                                  "consolidated.pth",
                                  "consolidated.00.pth",
                                  "adapter_config.json"};
    for (fs::path const& file : files) {
        std::string const name = file.filename().string(), right = meant(name);
        if (name == right || std::find(expected.begin(), expected.end(), right) == expected.end()) continue;
        std::error_code fault;
        found.push_back(file.string() + ": looks like " + right + " under another name, and is not read"
                        + (fs::exists(folder / right, fault) ? "" : "; rename it"));
    }
}

void find_surplus(std::vector<fs::path> const& files, std::vector<fs::path> const& read,
                  std::vector<std::string>& found) {
    if (read.empty()) return; // it is not known which files belong to the checkpoint
    if (auto const kind = read.front().extension(); kind != ".safetensors" && kind != ".pth") return;
    for (fs::path const& file : files) {
        auto const same = [&file](fs::path const& other) { return other.filename() == file.filename(); };
        bool const weights = file.extension() == read.front().extension();
        if (weights && std::none_of(read.begin(), read.end(), same))
            found.push_back(file.string() + ": weights that no index names, and that are not read");
    }
}

} // namespace

std::vector<std::string> leftovers(fs::path const& folder, std::vector<fs::path> const& read) {
    std::vector<std::string> found;
    auto const files = files_in(folder);
    find_unfinished(folder, found);
    find_unfinished(folder / ".cache" / "huggingface" / "download", found);
    find_unfinished(folder / ".cache" / "huggingface" / "download" / "original", found);
    find_misnamed(files, folder, found);
    find_surplus(files, read, found);
    return found;
}

} // namespace program

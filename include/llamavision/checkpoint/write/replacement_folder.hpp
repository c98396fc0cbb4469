// SPDX-License-Identifier: Apache-2.0
// A folder for a checkpoint that appears under its name only when all of its files are complete.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/replacement_file.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#ifdef __linux__
#include <fcntl.h>
#endif

namespace llamavision::checkpoint {

/// Whether a file of that name belongs to a checkpoint. Folders with other files are never replaced.
[[nodiscard]] inline bool is_checkpoint_file(std::filesystem::path const& name) {
    constexpr std::string_view known[] = {"config.json",
                                          "generation_config.json",
                                          "preprocessor_config.json",
                                          "processor_config.json",
                                          "tokenizer.json",
                                          "tokenizer.model",
                                          "tokenizer_config.json",
                                          "special_tokens_map.json",
                                          "params.json",
                                          "checklist.chk",
                                          "chat_template.json",
                                          "chat_template.jinja",
                                          "LICENSE",
                                          "LICENSE.txt",
                                          "USE_POLICY.md",
                                          "NOTICE",
                                          "model.safetensors.index.json"};
    auto const ending = name.extension();
    return std::find(std::begin(known), std::end(known), name.string()) != std::end(known) || ending == ".safetensors"
           || ending == ".pth" || ending == ".gguf";
}

namespace detail {

/// Checks that a folder may be made at `path`: nothing is there, or an empty folder, or, with `replace`, a folder with
/// nothing but a checkpoint's files.
/// @throws file_error
inline void check_replaceable(std::filesystem::path const& path, bool replace) {
    std::error_code fault;
    auto const status = std::filesystem::symlink_status(path, fault);
    if (!std::filesystem::exists(status)) return;
    if (!std::filesystem::is_directory(status))
        throw file_error(path.string() + ": is there already, and is no folder");
    std::vector<std::string> strange;
    bool empty = true;
    std::filesystem::directory_iterator entry(path, fault);
    for (; !fault && entry != std::filesystem::directory_iterator(); entry.increment(fault)) {
        empty = false;
        if (!entry->is_regular_file() || !is_checkpoint_file(entry->path().filename()))
            strange.push_back(in_quotes(entry->path().filename().string()));
    }
    if (fault) throw file_error(path.string() + ": cannot be listed: " + fault.message());
    if (empty) return;
    if (!replace) throw file_error(path.string() + ": is there already, and is not empty");
    if (!strange.empty())
        throw file_error(path.string() + ": holds more than a checkpoint, and is not replaced: " + listed(strange));
}

/// Exchanges two names in one step. Returns false if the system cannot do that.
[[nodiscard]] inline bool exchanged(std::filesystem::path const& a, std::filesystem::path const& b) {
#if defined(__linux__) && defined(RENAME_EXCHANGE)
    return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
#else
    static_cast<void>(a), static_cast<void>(b);
    return false;
#endif
}

} // namespace detail

/// Makes a folder beside `target`, in which the caller writes files; `commit` renames it to `target`. Without `commit`,
/// the destructor removes it. If the process is killed, a folder called "TARGET.part" and a number may remain.
class replacement_folder {
  public:
    /// With `replace`, `commit` replaces a folder that holds nothing but a checkpoint's files.
    /// @throws file_error if `target` is a file, or a folder that is not empty and must not be replaced
    replacement_folder(std::filesystem::path const& target, bool replace) : target_(without_slash(target)) {
        detail::check_replaceable(target_, replace);
        part_ = target_;
        part_ += ".part" + std::to_string(std::random_device{}());
        std::error_code fault;
        std::filesystem::create_directory(part_, fault);
        if (fault) throw file_error(target_.string() + ": cannot be made: " + fault.message());
    }
    replacement_folder(replacement_folder const&) = delete;
    replacement_folder& operator=(replacement_folder const&) = delete;
    ~replacement_folder() {
        std::error_code ignored;
        if (!committed_) std::filesystem::remove_all(part_, ignored);
    }

    /// The folder for the files until `commit`.
    [[nodiscard]] std::filesystem::path const& path() const { return part_; }

    /// @throws file_error
    void commit() {
        sync_folder(part_);
        std::error_code fault;
        bool const replaces = std::filesystem::exists(std::filesystem::symlink_status(target_, fault));
        auto old = target_;
        old += ".old" + std::to_string(std::random_device{}());
        if (!replaces) {
            std::filesystem::rename(part_, target_, fault);
        } else if (detail::exchanged(part_, target_)) {
            old = part_;
        } else {
            std::filesystem::rename(target_, old, fault);
            if (!fault) std::filesystem::rename(part_, target_, fault);
        }
        if (fault) throw file_error(target_.string() + ": cannot be put into its place: " + fault.message());
        committed_ = true;
        sync_folder(target_.has_parent_path() ? target_.parent_path() : ".");
        if (replaces) std::filesystem::remove_all(old, fault);
    }

  private:
    static std::filesystem::path without_slash(std::filesystem::path const& path) {
        return path.has_filename() ? path : path.parent_path();
    }

    std::filesystem::path target_, part_;
    bool committed_ = false;
};

} // namespace llamavision::checkpoint

// SPDX-License-Identifier: Apache-2.0
// A temporary folder, removed at the end of a test case.
#pragma once

#include <filesystem>
#include <fstream>
#include <ios>
#include <iterator>
#include <random>
#include <string>
#include <string_view>

class temporary_folder {
  public:
    temporary_folder()
        : path_(std::filesystem::temp_directory_path()
                / ("llamavision_test_" + std::to_string(std::random_device{}()))) {
        std::filesystem::create_directories(path_);
    }
    temporary_folder(temporary_folder const&) = delete;
    temporary_folder& operator=(temporary_folder const&) = delete;
    ~temporary_folder() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::filesystem::path const& path() const { return path_; }

    /// Writes the file `name` and returns its path.
    std::filesystem::path write(std::string const& name, std::string_view text) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary) << text;
        return path_ / name;
    }

  private:
    std::filesystem::path path_;
};

[[nodiscard]] inline std::string text_of_file(std::filesystem::path const& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// SPDX-License-Identifier: Apache-2.0
// Finds the bundled model from where the program itself lies.
#include "bundled.hpp"

#include <system_error>
#include <utility>

#include <llamavision/support/error.hpp>
#include <llamavision/support/text_file.hpp>

#include "console.hpp"

namespace program {

std::filesystem::path bundled_model() {
    std::error_code fault;
    auto const self = std::filesystem::read_symlink("/proc/self/exe", fault);
    if (!fault) {
        auto const installed = (self.parent_path() / LLAMAVISION_BUNDLED_MODEL_INSTALLED).lexically_normal();
        if (llamavision::is_there(installed / "config.json")) return installed;
    }
    std::filesystem::path source = LLAMAVISION_BUNDLED_MODEL;
    if (!llamavision::is_there(source / "config.json"))
        throw llamavision::file_error(source.string() + ": the bundled model is not there; name a checkpoint's folder");
    return source;
}

std::filesystem::path model_path(std::string const& given) {
    if (!given.empty()) return given;
    auto path = bundled_model();
    if (static bool was_named = false; !std::exchange(was_named, true))
        say("Using the bundled model, which knows drawn scenes only (--model DIR takes another).");
    return path;
}

} // namespace program

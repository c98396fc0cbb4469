// SPDX-License-Identifier: Apache-2.0
// The library without templates: a checkpoint of a published model, or of the bundled one, as a model to talk to. The
// kernels are compiled once, in the CMake target llamavision::separate, which a program that includes this links.
//
//     auto model = llamavision::load("Llama-3.2-11B-Vision-Instruct/");
//     auto chat = model.chat();
//     for (std::string_view piece : chat.ask(llamavision::image::open("dog.jpg"), "What is it?")) std::cout << piece;
#pragma once

#include <filesystem>

#include <llamavision/runtime/conversation/chat.hpp>
#include <llamavision/runtime/load_options.hpp>

namespace llamavision {

#if defined(LLAMAVISION_SEPARATE)
/// Loads a checkpoint of any form whose numbers are those of `tiny` or of a published model, on the CPU.
/// @throws file_error, format_error; mismatch_error with the differences from the nearest model; memory_error with the
///         figures if the machine has too little memory left
[[nodiscard]] model load(std::filesystem::path const& path, load_options const& options = {});
#else
model load(std::filesystem::path const& path, load_options const& options = {}) = delete; // link llamavision::separate
#endif

} // namespace llamavision

// SPDX-License-Identifier: Apache-2.0
// minimal.cpp in two: the half that compiles the model, and is compiled again only when the model changes.
#include <filesystem>

#include <llamavision/runtime/load.hpp>

llamavision::model open_model(std::filesystem::path const& folder) {
    return llamavision::load<llamavision::llama_3_2_11b_vision>(folder);
}

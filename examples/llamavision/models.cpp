// SPDX-License-Identifier: Apache-2.0
// Compiles the models: `tiny` and the published ones, or `tiny` and those of the header LLAMAVISION_PROGRAM_CONFIGS.
#include "models.hpp"

#include "console.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include <llamavision/config/differences.hpp>
#include <llamavision/config/tiny.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/model/flops.hpp>
#include <llamavision/runtime/load.hpp>
#include <llamavision/support/error.hpp>

#ifdef LLAMAVISION_PROGRAM_CONFIGS
#include LLAMAVISION_PROGRAM_CONFIGS
#endif

namespace lv = llamavision;

namespace program {

namespace {

#ifdef LLAMAVISION_PROGRAM_CONFIGS
using known = lv::configurations<lv::tiny, LLAMAVISION_PROGRAM_CONFIG_TYPES>;
#else
using known =
    lv::configurations<lv::tiny, lv::llama_3_2_11b_vision, lv::llama_3_2_11b_vision_448, lv::llama_3_2_90b_vision>;
#endif

template <lv::configuration C>
std::string tree() {
    return lv::describe(lv::mllama<C>.encoder) + lv::describe(lv::mllama<C>.reader);
}

template <lv::configuration C>
std::shared_ptr<lv::network const> bind(lv::checkpoint::named_tensors tensors) {
    return std::make_shared<lv::compiled_network<C, lv::simd> const>(std::move(tensors), lv::simd(std::size_t{1}));
}

template <lv::configuration C, class... Published>
constexpr bool is_one_of(lv::configurations<Published...>) {
    return (std::is_same_v<C, Published> || ...);
}

template <lv::configuration... C>
std::vector<built_in> list(lv::configurations<C...>) {
    return {{C::name, is_one_of<C>(lv::published{}), lv::config::numbers_of<C>(), lv::count(lv::mllama<C>), tree<C>,
             lv::image_flops<C>, lv::read_flops<C>, bind<C>}...};
}

} // namespace

std::vector<built_in> const& built_ins() {
    static std::vector<built_in> const all = list(known{});
    return all;
}

built_in const* find_built_in(lv::config::numbers const& numbers, std::vector<std::string> const& unstated) {
    auto const fits = [&](built_in const& b) { return lv::config::differences(numbers, b.numbers, unstated).empty(); };
    auto const found = std::find_if(built_ins().begin(), built_ins().end(), fits);
    return found == built_ins().end() ? nullptr : &*found;
}

bool is_published(lv::network const& net) {
    built_in const* const found = find_built_in(net.numbers());
    return found && found->published;
}

lv::checkpoint::gguf_dialect dialect_of(std::string const& name) {
    return lv::checkpoint::gguf_dialect_of(name).value_or(lv::checkpoint::gguf_dialect::as_marked);
}

lv::model open_model(std::filesystem::path const& path, model_options const& options) {
    lv::load_options loading;
    loading.threads = options.threads;
    loading.taps_after_layer = options.taps_after_layer;
    loading.adapter = options.adapter;
    loading.gguf = dialect_of(options.gguf);
    loading.weights = options.weights;
    progress_bar bar("Laying out the weights");
    if (options.weights != lv::weight_formats{}) loading.on_layout = bar.report();
    try {
        return lv::load_any(known{}, path, loading);
    } catch (lv::mismatch_error const& fault) {
        std::string const message = fault.what(), name = path.string();
        if (message.starts_with(name) || (!options.adapter.empty() && message.starts_with(options.adapter))) throw;
        throw lv::mismatch_error(name + ": " + message);
    }
}

} // namespace program

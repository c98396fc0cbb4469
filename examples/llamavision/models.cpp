// SPDX-License-Identifier: Apache-2.0
// The models on the CPU. Those of llamavision::separate are compiled there; others here.
#include "models.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include <llamavision/config/differences.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/model/flops.hpp>
#include <llamavision/model/random_weights.hpp>
#include <llamavision/runtime/conversation/open_tokenizer.hpp>
#include <llamavision/runtime/load.hpp>
#include <llamavision/runtime/network/make_network.hpp>
#include <llamavision/support/error.hpp>

#include "bundled.hpp"
#include "console.hpp"
#include "known_models.hpp"
#include "on_cuda.hpp"

namespace lv = llamavision;

namespace program {

namespace {

template <lv::configuration C>
double image_flops([[maybe_unused]] std::size_t tiles, [[maybe_unused]] bool collapsed) {
    if constexpr (lv::has_vision<C>)
        return lv::image_flops<lv::model_of<C>>(tiles, collapsed);
    else
        return 0;
}

template <lv::configuration C>
std::shared_ptr<lv::network const> bind(lv::checkpoint::named_tensors tensors, std::shared_ptr<lv::thread_pool> pool,
                                        lv::network_options const& how) {
    lv::simd const backend = pool ? lv::simd(std::move(pool)) : lv::simd(std::size_t{1});
    return lv::make_network<C>(std::move(tensors), backend, how);
}

template <lv::configuration C>
lv::memory_plan plan(lv::checkpoint::named_tensors tensors) {
    return lv::plan_network<C>(std::move(tensors), lv::simd(std::size_t{1}), 256);
}

template <lv::configuration C, class... Published>
constexpr bool is_one_of(lv::configurations<Published...>) {
    return (std::is_same_v<C, Published> || ...);
}

template <lv::configuration... C>
std::vector<built_in> list(lv::configurations<C...>) {
    return {{C::name, is_one_of<C>(lv::published{}), lv::config::numbers_of<C>(), lv::count_of<lv::model_of<C>>(),
             lv::describe_of<lv::model_of<C>>, image_flops<C>, lv::read_flops<lv::model_of<C>>, bind<C>, plan<C>,
             lv::random_weights<C>}...};
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

built_in const& built_in_named(std::string const& name) {
    std::string full = name, names;
    if (name == "11b" || name == "90b") full = "llama-3.2-" + name + "-vision";
    if (name == "11b-448") full = "llama-3.2-11b-vision-448";
    for (built_in const& b : built_ins()) {
        if (b.name == full) return b;
        names += (names.empty() ? "" : ", ") + std::string(b.name);
    }
    throw lv::argument_error("--config " + name + ": this program knows " + names);
}

void check_tokenizer(lv::checkpoint::description const& checkpoint) {
    if (lv::tokenizer_place(checkpoint).empty())
        throw lv::file_error(checkpoint.folder.string() + ": has neither tokenizer.json nor tokenizer.model");
}

lv::weight_formats formats_of(format_settings const& s) {
    auto const format = [](std::string const& name) {
        return lv::weight_format_of(name).value_or(lv::weight_format::stored);
    };
    return lv::weight_formats::divided(format(s.vision), format(s.text));
}

bool is_published(lv::network const& net) {
    built_in const* const found = find_built_in(net.numbers());
    return found && found->published;
}

lv::checkpoint::gguf_dialect dialect_of(std::string const& name) {
    return lv::checkpoint::gguf_dialect_of(name).value_or(lv::checkpoint::gguf_dialect::as_marked);
}

lv::image::pillow_release release_of(std::string const& name) {
    using enum lv::image::pillow_release;
    return name == "pillow-13" ? v13 : v12;
}

lv::model open_model(model_settings const& settings, std::shared_ptr<lv::image_cache> images,
                     lv::planned_use const& use) {
    auto const path = model_path(settings.model);
    progress_bar bar("weights");
    lv::load_options loading;
    loading.threads = settings.threads;
    loading.taps_after_layer = settings.taps_after_layer;
    loading.adapter = settings.adapter;
    loading.resize = release_of(settings.resize);
    loading.gguf = dialect_of(settings.gguf);
    loading.chat = lv::tokens::preset_of(settings.format);
    loading.date = lv::tokens::day_of(settings.date);
    loading.weights = formats_of(settings.formats);
    loading.packed = settings.packed;
    loading.images = std::move(images);
    loading.beyond_memory = settings.beyond_memory;
    loading.context = use.context;
    loading.pictures = use.pictures;
    loading.conversations = use.conversations;
    loading.on_warning = [&](std::string const& warning) {
        bar.clear();
        warn(warning);
    };
    loading.on_repack = bar.report();
    try {
        return is_cuda(settings.device) ? load_on_cuda(settings, path, loading) : lv::load_any(known{}, path, loading);
    } catch (lv::mismatch_error const& fault) {
        std::string const message = fault.what(), name = path.string();
        if (message.starts_with(name) || (!settings.adapter.empty() && message.starts_with(settings.adapter))) throw;
        throw lv::mismatch_error(name + ": " + message);
    }
}

} // namespace program

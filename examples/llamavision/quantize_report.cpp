// SPDX-License-Identifier: Apache-2.0
// Two passes over the tensors and two over the model, one after the other: only one of each is in memory at a time.
#include "quantize_report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/encoding/quantise.hpp>
#include <llamavision/image/open.hpp>

#include "answers.hpp"
#include "console.hpp"
#include "json_text.hpp"
#include "models.hpp"
#include "scene.hpp"

namespace lv = llamavision;

namespace program {

namespace {

struct row {
    std::string name, formats;
    lv::checkpoint::quantisation_error error;
};

/// The layer in a tensor's name, "language_model.model.layers.3"; the whole name, if it belongs to no layer.
std::string layer_of(std::string const& name) {
    auto const at = name.find("layers.");
    if (at == std::string::npos) return name.substr(0, name.rfind('.'));
    return name.substr(0, name.find('.', at + 7));
}

std::vector<row> compare(lv::checkpoint::named_tensors const& stored, lv::checkpoint::named_tensors const& converted) {
    std::vector<row> rows;
    progress_bar bar("Comparing weights");
    auto const shown = bar.report();
    std::size_t done = 0;
    for (auto const& [name, was] : stored.tensors) {
        auto const& is = converted.tensors.at(name);
        if (is.type != was.type)
            rows.push_back({name, std::string(name_of(was.type)) + " to " + std::string(name_of(is.type)),
                            lv::checkpoint::compare(was, is)});
        if (shown) shown(++done, stored.tensors.size());
    }
    return rows;
}

std::vector<row> by_layer(std::vector<row> const& tensors) {
    std::vector<row> layers;
    for (row const& t : tensors) {
        std::string const layer = layer_of(t.name);
        auto at = std::find_if(layers.begin(), layers.end(), [&](row const& r) { return r.name == layer; });
        if (at == layers.end()) at = layers.insert(at, {layer, {}, {}});
        at->error += t.error;
    }
    return layers;
}

/// Logits of every row of one question about one picture.
struct logits {
    std::vector<float> values;
    std::size_t rows = 0;
};

logits ask(quantize_options const& o, format_settings const& formats) {
    model_settings loading;
    loading.model = o.model;
    loading.gguf = o.gguf;
    loading.threads = o.threads;
    loading.formats = formats;
    lv::model const model = open_model(loading, nullptr, {1, 1, 1}); // the session is checked later
    lv::image::pixels picture;
    if (!o.image.empty())
        picture = lv::image::open(o.image);
    else
        for (std::uint64_t i = 0; picture.width == 0; ++i) {
            lv::scenes::scene s = lv::scenes::draw(7, i);
            picture = {s.width, s.height, std::move(s.rgb)};
        }
    lv::tokens::message turn;
    turn.content = {lv::tokens::image_here, "Describe this image."};
    auto const ids = lv::tokens::chat_format(model.tokenizer(), model.defaults().chat).encode({&turn, 1});
    lv::session_options settings;
    settings.context = ids.size();
    lv::session session = model.open_session(settings);
    lv::session::image_ptr const image = model.encode(picture);
    lv::read_options watched;
    watched.watch = [](std::string_view, lv::rows const&) {};
    session.append(ids, {&image, 1}, watched);
    std::span<float const> const all = session.all_logits();
    if (!std::all_of(all.begin(), all.end(), [](float x) { return std::isfinite(x); }))
        throw lv::token_error(o.model + ": some logits are infinite or no numbers, and cannot be compared");
    return {{all.begin(), all.end()}, ids.size()};
}

struct logit_change {
    double relative = 0;            ///< root of the mean square of the change, as a part of the logits' own spread
    double worst = 0;               ///< largest change as a part of the largest logit
    double divergence = 0;          ///< mean Kullback-Leibler divergence of the next token, in nats
    std::size_t same = 0, rows = 0; ///< rows whose most likely token stays
};

logit_change compare(logits const& was, logits const& is) {
    logit_change c;
    c.rows = was.rows;
    std::size_t const width = was.values.size() / was.rows;
    double change = 0, spread = 0, most = 0, largest = 0;
    for (std::size_t r = 0; r < was.rows; ++r) {
        std::span<float const> const a(was.values.data() + r * width, width), b(is.values.data() + r * width, width);
        auto const total = [](std::span<float const> v, double top) {
            double sum = 0;
            for (float x : v) sum += std::exp(static_cast<double>(x) - top);
            return top + std::log(sum);
        };
        auto const best_a = std::max_element(a.begin(), a.end()), best_b = std::max_element(b.begin(), b.end());
        c.same += best_a - a.begin() == best_b - b.begin() ? 1 : 0;
        double const norm_a = total(a, static_cast<double>(*best_a)), norm_b = total(b, static_cast<double>(*best_b));
        double mean = 0;
        for (float x : a) mean += static_cast<double>(x) / static_cast<double>(width);
        for (std::size_t i = 0; i < width; ++i) {
            double const x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
            change += (y - x) * (y - x);
            spread += (x - mean) * (x - mean);
            most = std::max(most, std::abs(y - x));
            largest = std::max(largest, std::abs(x));
            c.divergence += std::exp(x - norm_a) * ((x - norm_a) - (y - norm_b)) / static_cast<double>(was.rows);
        }
    }
    c.relative = spread > 0 ? std::sqrt(change / spread) : 0;
    c.worst = largest > 0 ? most / largest : 0;
    return c;
}

std::string json_rows(std::vector<row> const& rows) {
    return json_list(rows, [](row const& r) {
        return json_object({{"name", json_string(r.name)},
                            {"formats", r.formats.empty() ? "null" : json_string(r.formats)},
                            {"rms", json_number(r.error.relative())},
                            {"worst", json_number(r.error.worst())},
                            {"bytes_before", std::to_string(r.error.bytes_before)},
                            {"bytes_after", std::to_string(r.error.bytes_after)}});
    });
}

std::string text_rows(std::string const& title, std::vector<row> const& rows) {
    std::size_t widest = title.size();
    for (row const& r : rows) widest = std::max(widest, r.name.size());
    auto const line = [&](std::string const& name, std::string const& rms, std::string const& worst,
                          std::string const& rest) {
        std::array<char, 64> numbers{};
        std::snprintf(numbers.data(), numbers.size(), "%10s%10s  ", rms.c_str(), worst.c_str());
        return name + std::string(widest - name.size(), ' ') + numbers.data() + rest + "\n";
    };
    std::string text = line(title, "rms", "worst", "");
    for (row const& r : rows)
        text +=
            line(r.name, fixed(100 * r.error.relative(), 3) + " %", fixed(100 * r.error.worst(), 3) + " %", r.formats);
    return text;
}

} // namespace

void report(quantize_options const& options, lv::checkpoint::named_tensors const& stored,
            lv::checkpoint::named_tensors const& converted) {
    std::vector<row> const tensors = compare(stored, converted), layers = by_layer(tensors);
    lv::checkpoint::quantisation_error all;
    for (row const& t : tensors) all += t.error;
    logit_change const moved = compare(ask(options, {}), ask(options, options.formats));
    if (options.json) {
        print(json_object({{"tensors", json_rows(tensors)},
                           {"layers", json_rows(layers)},
                           {"bytes_before", std::to_string(all.bytes_before)},
                           {"bytes_after", std::to_string(all.bytes_after)},
                           {"rms", json_number(all.relative())},
                           {"logits", json_object({{"rms", json_number(moved.relative)},
                                                   {"worst", json_number(moved.worst)},
                                                   {"divergence", json_number(moved.divergence)},
                                                   {"same_first", std::to_string(moved.same)},
                                                   {"rows", std::to_string(moved.rows)}})}})
              + "\n");
        return;
    }
    print(text_rows("tensor", tensors) + "\n" + text_rows("layer", layers) + "\n");
    print("all: rms " + fixed(100 * all.relative(), 3) + " %, " + in_bytes(static_cast<double>(all.bytes_before))
          + " become " + in_bytes(static_cast<double>(all.bytes_after)) + "\n");
    print("logits of a question about a picture: rms " + fixed(100 * moved.relative, 3) + " % of their spread, worst "
          + fixed(100 * moved.worst, 3) + " % of the largest, divergence " + fixed(moved.divergence, 6) + " nats, "
          + std::to_string(moved.same) + " of " + std::to_string(moved.rows) + " rows keep their first token\n");
}

} // namespace program

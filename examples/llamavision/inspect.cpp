// SPDX-License-Identifier: Apache-2.0
// `inspect`: one page about a checkpoint.
#include "commands.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "config_header.hpp"
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/form/hugging_face/hub_cache.hpp>
#include <llamavision/checkpoint/form/meta/checkpoint.hpp>
#include <llamavision/checkpoint/recognise.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/machine_memory.hpp>
#include <llamavision/support/print_number.hpp>
#include <llamavision/support/text_file.hpp>

#include "console.hpp"
#include "inspection.hpp"
#include "json_text.hpp"

namespace lv = llamavision;

namespace program {

namespace {

constexpr char const* licence =
    "Built with Llama. Llama 3.2 is licensed under the Llama 3.2 Community License, Copyright (c) Meta Platforms, Inc. "
    "All Rights Reserved. Whoever passes the weights on, or a product made with them, says so, and names a derived "
    "model \"Llama ...\"; the licence gives no rights to the vision models to individuals and companies seated in the "
    "European Union, but does to users of products that contain them.";

std::string joined(auto const& items, std::string const& between) {
    std::string text;
    for (auto const& item : items) text += (text.empty() ? "" : between) + item;
    return text;
}

std::string padded(std::string text, std::size_t width, bool right = false) {
    std::size_t const missing = width > text.size() ? width - text.size() : 0;
    return right ? std::string(missing, ' ') + text : text + std::string(missing, ' ');
}

/// "  configuration   tiny\n"
std::string line(std::string const& label, std::string const& text) {
    return text.empty() ? "" : "  " + padded(label, 15) + text + "\n";
}

std::string configuration_in_words(inspection const& i) {
    if (!i.checkpoint.model) return {};
    if (i.configuration) return std::string(i.configuration->name);
    return "none that this program was built for (--config-header prints the type to build it with); nearest is "
           + i.nearest + ", but " + lv::listed(i.differences, 3);
}

std::string answers_in_words(lv::checkpoint::generation_defaults const& g) {
    std::string text = g.do_sample ? "drawn at temperature " + fixed(g.temperature, 2) + ", top-p " + fixed(g.top_p, 2)
                                   : std::string("greedy");
    if (g.do_sample && g.top_k) text += ", top-k " + std::to_string(*g.top_k);
    std::string ids;
    for (auto const id : g.stop_ids) ids += (ids.empty() ? "; end with id " : ", ") + std::to_string(id);
    return text + ids;
}

std::string tables_in_words(std::optional<tile_tables> const& t) {
    if (!t || t->found.empty()) return {};
    if (!t->say_more()) return "as Meta's two-dimensional tables: one vector for each cell, padded tiles zero";
    std::string text = "say more than Meta's two-dimensional tables, and are used as they are: ";
    if (!t->padded.empty()) text += "values for padded tiles in " + joined(t->padded, ", ");
    if (!t->padded.empty() && !t->by_arrangement.empty()) text += "; ";
    if (!t->by_arrangement.empty())
        text += "a cell's vector depends on the arrangement in " + joined(t->by_arrangement, ", ");
    return text;
}

std::string weights_in_words(inspection const& i) {
    if (i.parts.empty()) return {};
    std::string text = "\n  " + padded("", 24) + padded("tensors", 8, true) + padded("parameters", 16, true)
                       + padded("stored", 11, true) + "  as       ";
    for (weight_format const& f : weight_formats) text += padded(std::string(f.name), 10, true);
    text += "\n";
    for (part const& p : i.parts) {
        text += "  " + padded(p.name, 24) + padded(std::to_string(p.tensors), 8, true)
                + padded(lv::grouped(static_cast<std::size_t>(p.parameters)), 16, true)
                + padded(in_bytes(p.bytes), 11, true) + "  " + padded(joined(p.types, " "), 9);
        for (weight_format const& f : weight_formats) text += padded(in_bytes(p.parameters * f.bytes), 10, true);
        text += "\n";
    }
    return text;
}

std::string blocks_in_words(inspection const& i) {
    if (i.widened.empty() && i.computed_in.empty()) return {};
    std::string text = "\n ";
    if (!i.computed_in.empty()) text += " " + joined(i.computed_in, ", ") + " stays in blocks.";
    if (!i.widened.empty())
        text += " " + joined(i.widened, ", ") + " is widened to F16 at load (to 2^-12 of each value): "
                + in_bytes(i.widened_bytes) + " instead of " + in_bytes(i.block_bytes) + ".";
    return text + "\n";
}

/// Formats of quantising libraries, and which parts of the model are in them.
std::string quantised_in_words(inspection const& i) {
    if (i.quantised.empty()) return {};
    std::string text = "\n";
    for (auto const& k : i.quantised)
        text += "  " + std::to_string(k.matrices) + (k.matrices == 1 ? " matrix is " : " matrices are ") + in_words(k)
                + ": " + in_bytes(static_cast<double>(k.stored_bytes)) + " with scales; widened to "
                + std::string(name_of(k.values)) + " at load: " + in_bytes(static_cast<double>(k.widened_bytes))
                + ".\n";
    for (part const& p : i.parts)
        text += "  " + padded(p.name, 24)
                + (p.quantised == 0
                       ? "not quantised"
                       : std::to_string(p.quantised) + " of " + std::to_string(p.tensors) + " tensors are quantised, "
                             + in_bytes(p.quantised_bytes) + " of " + in_bytes(p.bytes))
                + "\n";
    return text;
}

/// Whether the weights in this format, one picture and one conversation fit into the memory that is free, as loading
/// counts them; nothing if that is not known, because the system does not say or tensors are missing.
std::optional<bool> fits_in(inspection const& i, weight_format const& f, std::size_t context, std::size_t available) {
    if (available == 0 || i.parts.empty() || !i.checkpoint.model || !i.whole_model) return std::nullopt;
    double needed = i.parts.back().parameters * f.bytes;
    if (i.plan) needed += static_cast<double>(i.plan->beside_weights(context));
    return needed <= static_cast<double>(available);
}

std::string plan_in_words(inspection const& i, std::size_t context) {
    std::string text;
    if (i.plan) {
        lv::memory_plan const& m = *i.plan;
        auto const size = [](std::size_t bytes) { return in_bytes(static_cast<double>(bytes)); };
        text += "\n  Beside the weights: " + size(m.cache_per_position) + " for each token of a conversation ("
                + size(m.cache_per_position * context) + " for " + std::to_string(context) + "), ";
        if (!i.text_alone)
            text += size(m.image) + " for each image of " + std::to_string(i.checkpoint.model->values.vision.tiles)
                    + " tiles, " + size(m.encode_scratch) + " while an image is encoded, ";
        text += size(m.read_scratch) + " while text is read, " + size(m.kernels) + " for kernels; "
                + size(m.beside_weights(context)) + " for a conversation and a picture.\n";
    }
    std::size_t const memory = lv::machine_memory(), available = lv::available_memory();
    if (memory == 0) return text;
    text += (i.plan ? "  " : "\n  ") + std::string("This machine has ") + in_bytes(static_cast<double>(memory))
            + " of memory";
    if (available != 0) text += ", of which " + in_bytes(static_cast<double>(available)) + " are free";
    std::string fit, not_fit;
    for (weight_format const& f : weight_formats)
        if (auto const fits = fits_in(i, f, context, available)) {
            std::string& list = *fits ? fit : not_fit;
            list += (list.empty() ? "" : ", ") + std::string(f.name);
        }
    if (!fit.empty()) text += "; it takes the model as " + fit;
    if (!not_fit.empty()) text += (fit.empty() ? "; it does not take the model as " : ", not as ") + not_fit;
    text += ".\n";
    if (fit.empty() && !not_fit.empty())
        text += "  From a file that memory does not hold it runs at the disk's speed: --packed FILE --beyond-memory.\n";
    return text;
}

std::string adapter_in_words(adapter_facts const& a) {
    auto const& c = a.config;
    std::string scale = "rank " + std::to_string(c.rank) + ", alpha " + lv::print_number(static_cast<float>(c.alpha))
                        + (c.by_root ? " over the rank's root (rsLoRA)" : "");
    if (!c.ranks.empty() || !c.alphas.empty()) scale += "; some modules have their own";
    return line("base model", c.base.empty() ? "not named" : c.base) + line("scale", scale)
           + line("changes", joined(a.modules, ", "))
           + line("replaces", a.whole == 0 ? "" : std::to_string(a.whole) + " whole tensors")
           + line("size", std::to_string(a.size.tensors) + " tensors, " + joined(a.size.types, " ") + ", "
                              + in_bytes(a.size.bytes))
           + line("used with", "--model BASE --adapter THIS; `convert` with --adapter merges it for good");
}

std::string remarks(inspection const& i) {
    std::string text = i.warnings.empty() && i.problems.empty() ? "" : "\n";
    for (std::string const& w : i.warnings) text += "  Warning: " + w + "\n";
    for (std::string const& p : i.problems) text += "  Wrong: " + p + "\n";
    return text;
}

std::string page(inspection const& i, std::size_t context) {
    auto const& d = i.checkpoint;
    std::string text = d.path.string() + ": " + std::string(lv::checkpoint::describe(d.form)) + "\n";
    if (i.adapter) return text + adapter_in_words(*i.adapter) + remarks(i);
    text += line("configuration", configuration_in_words(i));
    if (d.model) {
        std::string const& version = d.model->transformers_version;
        text += line("written by", version.empty() ? "" : "transformers " + version);
        text += line("pictures", i.text_alone ? std::string("none: the text model alone")
                                              : "up to " + std::to_string(d.pictures.tiles) + " tiles of "
                                                    + std::to_string(d.pictures.tile) + " pixels");
    }
    text += line("tile tables", tables_in_words(i.tables));
    text += line("tokenizer", i.tokenizer.empty() ? "none" : i.tokenizer);
    text += line("conversations", i.conversations);
    text += line("answers", answers_in_words(d.generation));
    text += line("dialect", d.dialect);
    text += line("files", std::to_string(d.weights.files.size()) + " of weights");
    text += weights_in_words(i) + blocks_in_words(i) + quantised_in_words(i) + plan_in_words(i, context);
    if (i.configuration && i.configuration->published) text += "\n  " + std::string(licence) + "\n";
    return text + remarks(i);
}

std::string text_or_null(std::string_view text) { return text.empty() ? "null" : json_string(text); }
std::string whole(double count) { return std::to_string(static_cast<std::uint64_t>(std::ceil(count))); }

std::string json(part const& p) {
    std::vector<std::pair<std::string_view, std::string>> cost;
    for (weight_format const& f : weight_formats) cost.emplace_back(f.name, whole(p.parameters * f.bytes));
    return json_object({{"name", json_string(p.name)},
                        {"tensors", std::to_string(p.tensors)},
                        {"parameters", whole(p.parameters)},
                        {"bytes", whole(p.bytes)},
                        {"types", json_strings(p.types)},
                        {"quantised_tensors", std::to_string(p.quantised)},
                        {"quantised_bytes", whole(p.quantised_bytes)},
                        {"cost", json_object(cost)}});
}

std::string json(lv::checkpoint::quantised_kind const& k) {
    return json_object({{"format", json_string(k.format)},
                        {"bits", std::to_string(k.bits)},
                        {"group", json_string(k.group)},
                        {"matrices", std::to_string(k.matrices)},
                        {"parameters", std::to_string(k.parameters)},
                        {"bytes", std::to_string(k.stored_bytes)},
                        {"widened_to", json_string(name_of(k.values))},
                        {"widened_bytes", std::to_string(k.widened_bytes)}});
}

std::string json(tile_tables const& t) {
    return json_object({{"say_more_than_two_dimensions", t.say_more() ? "true" : "false"},
                        {"padded_tiles", json_strings(t.padded)},
                        {"by_arrangement", json_strings(t.by_arrangement)}});
}

std::string json(adapter_facts const& a) {
    auto const& base = a.config.base;
    return json_object({{"base_model", text_or_null(base)},
                        {"rank", std::to_string(a.config.rank)},
                        {"alpha", json_number(a.config.alpha)},
                        {"rslora", a.config.by_root ? "true" : "false"},
                        {"modules", json_strings(a.modules)},
                        {"whole_tensors", std::to_string(a.whole)},
                        {"tensors", std::to_string(a.size.tensors)},
                        {"parameters", whole(a.size.parameters)},
                        {"bytes", whole(a.size.bytes)},
                        {"types", json_strings(a.size.types)}});
}

std::string json(lv::memory_plan const& m, std::size_t context) {
    return json_object({{"token", std::to_string(m.cache_per_position)},
                        {"image", std::to_string(m.image)},
                        {"reading", std::to_string(m.read_scratch)},
                        {"encoding", std::to_string(m.encode_scratch)},
                        {"kernels", std::to_string(m.kernels)},
                        {"context", std::to_string(context)},
                        {"beside_weights", std::to_string(m.beside_weights(context))}});
}

std::string fits_as_json(inspection const& i, std::size_t context) {
    std::vector<std::pair<std::string_view, std::string>> formats;
    for (weight_format const& f : weight_formats)
        if (auto const fits = fits_in(i, f, context, lv::available_memory()))
            formats.emplace_back(f.name, *fits ? "true" : "false");
    return json_object(formats);
}

std::string json(inspection const& i, std::size_t context) {
    auto const& d = i.checkpoint;
    return json_object(
        {{"path", json_string(d.path.string())},
         {"kind", json_string(lv::checkpoint::describe(d.form))},
         {"configuration", i.configuration ? json_string(i.configuration->name) : "null"},
         {"nearest", text_or_null(i.nearest)},
         {"differences", json_strings(i.differences)},
         {"transformers_version", text_or_null(d.model ? d.model->transformers_version : "")},
         {"tokenizer", text_or_null(i.tokenizer)},
         {"conversations", text_or_null(i.conversations)},
         {"base", i.base ? "true" : "false"},
         {"dialect", text_or_null(d.dialect)},
         {"widened_types", json_strings(i.widened)},
         {"quantised", json_list(i.quantised, [](auto const& k) { return json(k); })},
         {"quant_method", text_or_null(d.model && d.model->quantisation ? d.model->quantisation->method : "")},
         {"stop_ids", json_integers(d.generation.stop_ids)},
         {"parts", json_list(i.parts, [](part const& p) { return json(p); })},
         {"adapter", i.adapter ? json(*i.adapter) : "null"},
         {"tile_tables", i.tables ? json(*i.tables) : "null"},
         {"memory", i.plan ? json(*i.plan, context) : "null"},
         {"machine_memory", std::to_string(lv::machine_memory())},
         {"available_memory", std::to_string(lv::available_memory())},
         {"fits", fits_as_json(i, context)},
         {"licence", i.configuration && i.configuration->published ? json_string(licence) : "null"},
         {"files", json_list(d.weights.files, [](auto const& f) { return json_string(f.string()); })},
         {"missing_files", json_strings(d.weights.missing)},
         {"pictures", i.text_alone ? "null"
                                   : json_object({{"tile", std::to_string(d.pictures.tile)},
                                                  {"tiles", std::to_string(d.pictures.tiles)}})},
         {"answers", json_object({{"sampled", d.generation.do_sample ? "true" : "false"},
                                  {"temperature", json_number(d.generation.temperature)},
                                  {"top_p", json_number(d.generation.top_p)}})},
         {"warnings", json_strings(i.warnings)},
         {"problems", json_strings(i.problems)}});
}

/// Prints the numbers of a checkpoint whose form has no config.json.
void print_header_of(lv::checkpoint::description const& d) {
    std::vector<std::string> silent = d.model->unstated;
    std::erase(silent, "text.context"); // the published models' own
    if (!silent.empty())
        throw lv::mismatch_error(d.path.string() + ": does not say " + lv::listed(silent)
                                 + "; write them into the header of a checkpoint in Hugging Face's form, or by hand");
    bool const inside = lv::checkpoint::detail::is_original(d.folder);
    auto const folder = (inside ? d.folder / ".." : d.folder).lexically_normal();
    print(to_header(d.model->values, type_name(folder)));
}

/// Reads only config.json, if there is one.
int print_header(std::filesystem::path const& given, lv::checkpoint::gguf_dialect dialect) {
    auto const path = lv::checkpoint::snapshot_of(given);
    auto const form = path.extension() == ".json" ? lv::checkpoint::kind::unknown : lv::checkpoint::recognise(path);
    if (form == lv::checkpoint::kind::meta || form == lv::checkpoint::kind::gguf) {
        print_header_of(lv::checkpoint::read_description(path, lv::checkpoint::faults::thrown, dialect));
        return 0;
    }
    auto const file = lv::is_folder(path)           ? path / "config.json"
                      : path.extension() == ".json" ? path
                                                    : path.parent_path() / "config.json";
    auto const folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
    print(to_header(lv::checkpoint::read_config(file).values, type_name(folder)));
    return 0;
}

} // namespace

int inspect(inspect_options const& options) {
    if (options.config_header) return print_header(options.path, dialect_of(options.gguf));
    inspection const i = look_at(options.path, dialect_of(options.gguf));
    std::size_t const context =
        i.checkpoint.model ? lv::settled({options.context}, i.checkpoint.model->values.text).context : 0;
    if (options.json)
        print(json(i, context) + "\n");
    else if (lv::checkpoint::is_read(i.checkpoint.form) || i.adapter)
        print(page(i, context));
    else
        for (std::string const& warning : i.warnings) warn(warning);
    if (i.problems.empty()) return 0;
    finish_output();
    std::size_t const more = i.problems.size() - 1;
    complain(i.problems[0] + (more > 0 ? " (and " + std::to_string(more) + " more)" : ""));
    return 1;
}

} // namespace program

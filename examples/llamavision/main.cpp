// SPDX-License-Identifier: Apache-2.0
// The program `llamavision`: its command line, and how errors end it.
#include <cstddef>
#include <exception>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <llamavision/version.hpp>

#include "commands.hpp"
#include "console.hpp"
#include "mapped_guard.hpp"
#include "options.hpp"
#include "writing.hpp"

namespace program {
namespace {

constexpr char const* about = "Llama 3.2 Vision: answers questions about pictures.";
constexpr char const* footer =
    "Exit status: 0 if all went well, 1 if something went wrong (standard error says what), 2 for a command line that "
    "makes no sense.\nWithout --model, the small model that comes with the program is used; it knows drawn scenes "
    "only (`llamavision scene`).";

/// The function of the chosen command, called after the command line was read.
using run = std::function<int()>;

/// Throws a usage error if a file that is to be written is one of those that are read.
void check_output(std::string const& option, std::string const& out, std::vector<std::string> const& read) {
    for (std::string const& file : read)
        if (!out.empty() && same_file(out, file)) throw CLI::ValidationError(option, "would overwrite " + file);
}

void add_frames(CLI::App* c, std::size_t& frames) {
    c->add_option(
         "--frames", frames,
         "Show up to so many frames of each photo, evenly in time, as pictures of one question: of an animated "
         "GIF, WebP or AVIF, or of a folder with a file for each frame")
        ->check(CLI::Range(1, 256))
        ->type_name("N");
}

void add_describe(CLI::App& app, describe_options& o, run& chosen) {
    CLI::App* const c =
        app.add_subcommand("describe", "Asks one question or more about each photo, or without a photo");
    c->add_option("photos", o.photos, "pictures; none: a question about nothing to see")->type_name("PHOTO");
    add_list(c, "--prompt", o.prompts,
             "The question; \"Describe this image.\" by default; may be given more than once, and each is asked about "
             "every photo by itself")
        ->type_name("TEXT");
    add_batch(c, o.batch);
    add_frames(c, o.frames);
    c->add_flag("--json", o.json, "One object a line: file, text, tokens (ids), stop, timing (seconds)");
    add_answers(c, o.answers);
    c->callback([&o, &chosen] {
        if (o.photos.empty() && o.prompts.empty()) throw CLI::RequiredError("A photo or --prompt");
        check_loading(o.answers);
        chosen = [&o] { return describe(o); };
    });
}

void add_chat(CLI::App& app, chat_options& o, run& chosen) {
    CLI::App* const c = app.add_subcommand("chat", "A conversation; /help lists what else can be typed");
    c->footer("At a terminal, Ctrl-C stops an answer; at the prompt it leaves when it is pressed twice. Ctrl-D and "
              "/quit leave at once.");
    c->add_option("photos", o.photos, "Photos that the first question is about")->type_name("PHOTO");
    add_frames(c, o.frames);
    add_answers(c, o.answers);
    c->callback([&o, &chosen] {
        check_loading(o.answers);
        chosen = [&o] { return chat(o); };
    });
}

void add_inspect(CLI::App& app, inspect_options& o, run& chosen) {
    CLI::App* const c =
        app.add_subcommand("inspect", "What is in a checkpoint, what it costs in memory, and what is wrong with it");
    c->add_option("path", o.path, "A folder, or one of its files of weights")->required()->type_name("DIR|FILE");
    CLI::Option* const json = c->add_flag("--json", o.json, "The same as one JSON object");
    c->add_flag("--config-header", o.config_header,
                "Print the C++ configuration type that config.json describes, for a program built with "
                "-DLLAMAVISION_PROGRAM_CONFIGS=that.hpp")
        ->excludes(json);
    add_natural(
        c, "--context", o.context,
        "Tokens of the conversation that is to fit into memory; by default, and for 0, the model's, at most 8192");
    add_gguf(c, o.gguf);
    c->callback([&o, &chosen] {
        check_gguf(o.gguf, o.path);
        chosen = [&o] { return inspect(o); };
    });
}

void add_tokenize(CLI::App& app, tokenize_options& o, run& chosen) {
    CLI::App* const c = app.add_subcommand("tokenize", "Text to ids, ids to text, conversations to ids");
    c->add_option("text", o.texts, "What to encode (with --decode: ids); none: standard input");
    c->add_option("--tokenizer", o.tokenizer, "tokenizer.model, tokenizer.json, or a checkpoint of any form")
        ->check(not_empty())
        ->type_name("FILE|DIR");
    add_gguf(c, o.gguf);
    c->add_flag("--jsonl", o.jsonl, "Standard input: a JSON string a line; out: a JSON array of ids a line");
    CLI::Option* const decode = c->add_flag("--decode", o.decode, "The other way: ids to text");
    c->add_flag("--chat", o.chat,
                R"(Input: {"messages": [{"role": ..., "content": ...}]}, the answer's header appended)")
        ->excludes(decode);
    c->add_flag("--bos", o.bos, "Begin with <|begin_of_text|>")->excludes(decode);
    c->add_flag("--special", o.special, "Read special tokens in the text; otherwise they are text")->excludes(decode);
    add_chat_format(c, o.format);
    add_date(c, o.date);
    c->callback([&o, &chosen] {
        if (o.jsonl && !o.texts.empty()) throw CLI::ValidationError("--jsonl reads standard input, not arguments");
        check_gguf(o.gguf, o.tokenizer);
        chosen = [&o] { return tokenize(o); };
    });
}

void add_preprocess(CLI::App& app, preprocess_options& o, run& chosen) {
    CLI::App* const c = app.add_subcommand("preprocess", "How pictures become tiles");
    c->add_option("files", o.files, "pictures")->required()->type_name("FILE");
    add_model(c, o.model);
    add_gguf(c, o.gguf);
    c->add_option("--tile-size", o.tile_size, "Pixels along a tile's side; by default the checkpoint's")
        ->check(CLI::Range(1, 4096))
        ->type_name("N");
    c->add_option("--max-tiles", o.max_tiles, "At most so many tiles; by default the checkpoint's, or 4")
        ->check(CLI::Range(1, 64))
        ->type_name("N");
    c->add_option("--exif", o.exif, "Turn photos upright, or leave them: apply (default), ignore")
        ->check(CLI::IsMember({"apply", "ignore"}));
    c->add_option("--alpha", o.alpha, "Transparency: lay over white (default), drop")
        ->check(CLI::IsMember({"white", "drop"}));
    add_resize(c, o.resize);
    c->add_flag("--json", o.json,
                "An array of file, canvas [rows, columns], resized [width, height], sha256 of the RGB canvas");
    c->add_option("--out", o.out, "Write pixel_values [tiles, 3, N, N] and aspect_ratio [2] of one file")
        ->check(not_empty())
        ->type_name("FILE.safetensors");
    c->add_option("--png", o.png, "Write the canvas of one file")->check(not_empty())->type_name("FILE.png");
    c->callback([&o, &chosen] {
        if (o.files.size() > 1 && !(o.out.empty() && o.png.empty()))
            throw CLI::ValidationError("--out and --png take one picture");
        check_output("--out", o.out, o.files);
        check_output("--png", o.png, o.files);
        if (!o.png.empty() && !o.out.empty() && same_file(o.out, o.png))
            throw CLI::ValidationError("--out and --png are one file");
        check_gguf(o.gguf, o.model);
        chosen = [&o] { return preprocess(o); };
    });
}

void add_trace(CLI::App& app, trace_options& o, run& chosen) {
    CLI::App* const c = app.add_subcommand("trace", "Writes every activation under the name of Hugging Face's module");
    using source = trace_options::source;
    add_loading(c, o);
    CLI::Option* const image = c->add_option("--image", "A picture; may be given more than once")->type_name("FILE");
    CLI::Option* const tiles =
        c->add_option("--tiles", "pixel_values and aspect_ratio, as preprocess --out writes them")
            ->type_name("FILE.safetensors");
    for (CLI::Option* const option : {image, tiles}) option->expected(1, 1 << 20)->allow_extra_args(false);
    CLI::Option* const prompt =
        c->add_option("--prompt", o.prompt, "A question, put into the chat format after the images")->type_name("TEXT");
    CLI::Option* const tokens =
        c->add_option("--tokens", o.tokens, "The prompt's ids, with an image id for every image")->type_name("1,2,3");
    prompt->excludes(tokens);
    add_chat_format(c, o.format);
    add_date(c, o.date);
    add_natural(c, "--max-tokens", o.max_tokens, "Length of the greedy continuation, 16 by default");
    c->add_option("--out", o.out, "Where to write")->required()->check(not_empty())->type_name("FILE.safetensors");
    add_parity(c, o.parity);
    c->callback([&o, &chosen, c, image, tiles, prompt, tokens] {
        if (prompt->count() + tokens->count() == 0) throw CLI::RequiredError("--prompt or --tokens");
        std::size_t pictures = 0, files = 0;
        for (CLI::Option* const option : c->parse_order()) {
            if (option == image) o.images.emplace_back(source::picture, image->results().at(pictures++));
            if (option == tiles) o.images.emplace_back(source::tiles, tiles->results().at(files++));
        }
        for (CLI::Option* const option : {image, tiles}) check_output("--out", o.out, option->results());
        check_loading(o);
        chosen = [&o] { return trace(o); };
    });
}

void add_scene(CLI::App& app, scene_options& o, run& chosen) {
    CLI::App* const c =
        app.add_subcommand("scene", "Draws scenes for the bundled model, with questions and true answers");
    add_natural(c, "--seed", o.seed, "The same seed, the same scenes");
    c->add_option("--count", o.count, "How many; 10 by default")->check(CLI::Range(1, 1'000'000))->type_name("N");
    c->add_option("--out", o.out, "Folder for the PNG files and scenes.jsonl")->check(not_empty())->type_name("DIR");
    c->add_flag("--ask", o.ask, "Ask the model all of them, and print how many it answers right, by kind of question");
    add_batch(c, o.batch);
    add_loading(c, o.answers);
    add_parity(c, o.answers.parity);
    c->callback([&o, &chosen] {
        if (o.out.empty() && !o.ask) throw CLI::RequiredError("--out or --ask");
        check_loading(o.answers);
        chosen = [&o] { return scene(o); };
    });
}

void add_convert(CLI::App& app, convert_options& o, run& chosen) {
    CLI::App* const c = app.add_subcommand("convert", "A checkpoint in another form, type or number of files");
    c->add_option("source", o.source, "A checkpoint of any form")->required()->type_name("SOURCE");
    c->add_option("out", o.out, "The new folder or GGUF file; appears when it is complete")
        ->required()
        ->check(not_empty())
        ->type_name("OUT");
    c->add_option("--to", o.to, "huggingface, meta or gguf (llamavision's own, which holds all that a folder does)")
        ->required()
        ->check(CLI::IsMember({"huggingface", "meta", "gguf"}))
        ->type_name("FORM");
    c->add_option("--dtype", o.dtype, "f32, f16 or bf16; by default as stored, GGUF's blocks in a folder as bf16")
        ->check(CLI::IsMember({"f32", "f16", "bf16"}))
        ->type_name("TYPE");
    c->add_option("--shards", o.shards, "Number of weight files, or the size of each (5GB, the default)")
        ->type_name("N|SIZE");
    add_adapter(c, o.adapter);
    add_gguf(c, o.gguf);
    c->add_option("--config", o.config, "A config.json, for numbers that Meta's form does not say")->type_name("FILE");
    c->add_flag("--base", o.base, "A base model: write no format of conversations");
    c->add_flag("--force", o.force, "Replace OUT, if it holds nothing but a checkpoint");
    c->callback([&o, &chosen] {
        check_gguf(o.gguf, o.source);
        chosen = [&o] { return convert(o); };
    });
}

void add_quantize(CLI::App& app, quantize_options& o, run& chosen) {
    CLI::App* const c = app.add_subcommand(
        "quantize", "One file (GGUF) with smaller weights, or what they would cost in accuracy (--report)");
    add_model(c, o.model);
    add_gguf(c, o.gguf);
    c->add_option("out", o.out, "The new file; appears when it is complete")->check(not_empty())->type_name("OUT.gguf");
    add_formats(c, o.formats);
    CLI::Option* const report =
        c->add_flag("--report", o.report, "Errors of every tensor and layer, and of the logits of a question");
    c->add_option("--image", o.image, "The picture that the report's question is about; by default a drawn one")
        ->needs(report)
        ->type_name("FILE");
    c->add_flag("--json", o.json, "The report as one JSON object")->needs(report);
    c->add_flag("--base", o.base, "A base model: write no format of conversations");
    c->add_flag("--force", o.force, "Replace OUT.gguf");
    add_threads(c, o.threads);
    c->callback([&o, &chosen] {
        if (o.out.empty() && !o.report) throw CLI::RequiredError("OUT.gguf or --report");
        check_gguf(o.gguf, o.model);
        chosen = [&o] { return quantize(o); };
    });
}

void add_bench(CLI::App& app, bench_options& o, run& chosen) {
    CLI::App* const c = app.add_subcommand(
        "bench", "How fast a model runs here, each figure beside what the machine can do at most in that moment");
    add_loading(c, o);
    CLI::Option* const config =
        c->add_option("--config", o.config, "With --random: a configuration (tiny, 11b, 11b-448, 90b)")
            ->type_name("NAME");
    CLI::Option* const random = c->add_flag("--random", o.random, "Random weights, made in memory; no checkpoint");
    random->needs(config)->excludes("--model");
    config->needs(random);
    add_natural(c, "--seed", o.seed, "Of the random weights");
    add_list(c, "--tiles", o.tiles, "A picture of so many tiles; may be given more than once")
        ->check(CLI::Range(1, 64))
        ->type_name("N");
    add_list(c, "--prompt", o.prompts, "A prompt of so many tokens; 64 by default; may be given more than once")
        ->check(CLI::Range(1, 100'000))
        ->type_name("N");
    c->add_option("--answer", o.answer, "Tokens of the answer; 32 by default; 0: none")
        ->check(CLI::Range(0, 100'000))
        ->type_name("N");
    add_batch(c, o.batch);
    c->add_option("--repeat", o.repeat, "The median of so many runs; 1 by default")
        ->check(CLI::Range(1, 1000))
        ->type_name("N");
    c->add_flag("--json", o.json, "One object: image, prefill, decode, memory, limits");
    c->callback([&o, &chosen] {
        check_loading(o);
        if (!o.adapter.empty() || o.taps_after_layer)
            throw CLI::ValidationError("--adapter and --taps-after-layer change nothing that bench measures");
        chosen = [&o] { return bench(o); };
    });
}

void add_architecture(CLI::App& app, architecture_options& o, run& chosen) {
    CLI::App* const c =
        app.add_subcommand("architecture", "The model's expression as a tree: shapes, parameters, FLOPs");
    CLI::Option* const model = c->add_option("--model", o.model, "A checkpoint of any form")->type_name("DIR|FILE");
    c->add_option("--config", o.config, "Name of a configuration: tiny, llama-3.2-11b-vision, ...")
        ->excludes(model)
        ->type_name("NAME");
    c->callback([&o, &chosen] { chosen = [&o] { return architecture(o); }; });
}

/// Runs the chosen command. Returns the exit status.
int guarded(run const& chosen) {
    try {
        int const status = chosen();
        finish_output();
        return status;
    } catch (std::bad_alloc const&) { complain("not enough memory"); } catch (std::exception const& fault) {
        complain(fault.what());
    }
    return 1;
}

int main(int count, char** arguments) {
    CLI::App app(about, "llamavision");
    app.footer(footer);
    app.set_version_flag("--version", "llamavision " LLAMAVISION_VERSION);
    app.require_subcommand(1);
    run chosen;
    describe_options describe;
    chat_options chat;
    inspect_options inspect;
    tokenize_options tokenize;
    preprocess_options preprocess;
    trace_options trace;
    scene_options scene;
    bench_options bench;
    architecture_options architecture;
    convert_options convert;
    quantize_options quantize;
    add_describe(app, describe, chosen);
    add_chat(app, chat, chosen);
    add_inspect(app, inspect, chosen);
    add_tokenize(app, tokenize, chosen);
    add_preprocess(app, preprocess, chosen);
    add_trace(app, trace, chosen);
    add_scene(app, scene, chosen);
    add_bench(app, bench, chosen);
    add_architecture(app, architecture, chosen);
    add_convert(app, convert, chosen);
    add_quantize(app, quantize, chosen);
    try {
        app.parse(count, arguments);
    } catch (CLI::CallForHelp const&) {
        return guarded([&] { return print(app.help()), 0; });
    } catch (CLI::CallForVersion const& version) {
        return guarded([&] { return print(version.what() + std::string("\n")), 0; });
    } catch (CLI::ParseError const& fault) {
        auto const command = app.get_subcommands();
        bool const unknown = command.empty() && count > 1 && arguments[1][0] != '-';
        complain(unknown ? arguments[1] + std::string(": no such command") : std::string(fault.what()));
        say("Try `llamavision " + (command.empty() ? "" : command[0]->get_name() + " ") + "--help`.");
        return 2;
    }
    return guarded(chosen);
}

} // namespace
} // namespace program

int main(int count, char** arguments) {
    program::guard_mapped_files();
    return program::main(count, arguments);
}

// SPDX-License-Identifier: Apache-2.0
// `bench`: seconds for a picture, for a prompt and for tokens, each beside the limits of the machine at that time.
#include "commands.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>

#include <llamavision/checkpoint/encoding/quantise.hpp>
#include <llamavision/checkpoint/fingerprint.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/model/expected_tensors.hpp>
#include <llamavision/runtime/conversation/session.hpp>
#include <llamavision/runtime/network/options.hpp>
#include <llamavision/support/machine_memory.hpp>
#include <llamavision/tokens/sampler.hpp>

#include "bundled.hpp"
#include "console.hpp"
#include "json_text.hpp"
#include "limits.hpp"
#include "models.hpp"
#include "on_cuda.hpp"

namespace lv = llamavision;

namespace program {

namespace {

/// The median of the measured times, and the limits of the machine just before and after.
struct measured {
    double seconds = 0;
    limits beside;
};

struct picture_cost {
    std::size_t tiles;
    measured took;
    double flops; ///< with padding collapsed, as it is computed
};

struct prompt_cost {
    std::size_t tokens;
    measured took;
    double flops;
};

struct figures {
    std::string model;
    double load = 0; ///< seconds
    std::vector<picture_cost> pictures;
    std::vector<prompt_cost> prompts; ///< at least one
    measured decode;                  ///< one token, after the first of the prompts
    double decode_bytes = 0;
    measured batch; ///< one token of each of several conversations
    double batch_bytes = 0;
    std::size_t peak = 0, planned = 0;
};

/// The highest rate for products of that format; that of floats where weights are widened.
double peak_of(limits const& l, lv::weight_format f) {
    switch (f) {
    case lv::weight_format::bf16: return std::max({l.bf16, l.f16, l.f32});
    case lv::weight_format::i8:
    case lv::weight_format::q8:
    case lv::weight_format::q4:
        return std::max(l.int8 > 0 ? l.int8 : std::max(l.bf16, l.f16), l.f32); // a GPU multiplies them in 16 bits
    case lv::weight_format::stored: break;
    }
    return l.f32;
}

/// Tiles with any values: the work does not depend on them.
lv::image::tiles tiles_of(lv::config::vision_numbers const& n, std::size_t count) {
    lv::image::tiles t;
    t.rows = count % 2 == 0 && count > 2 ? 2 : 1;
    t.columns = count / t.rows;
    t.side = n.tile;
    t.values.resize(count * n.channels * n.tile * n.tile);
    for (std::size_t i = 0; i < t.values.size(); ++i)
        t.values[i] = static_cast<float>(i * 2654435761u % 2001) / 1000.0f - 1;
    return t;
}

class benchmark {
  public:
    benchmark(bench_options const& options, figures& f)
        : options_(options), figures_(f), formats_(formats_of(options.formats)),
          pool_(std::make_shared<lv::thread_pool>(options.threads)) {
        if (is_cuda(options.device))
            gpu_ = open_cuda_bench(options);
        else
            probe_.emplace(*pool_);
    }

    void run() {
        std::size_t const before = memory_now();
        stopwatch loading;
        load();
        figures_.load = loading.seconds();
        for (std::size_t const tiles : tile_counts()) look_at(tiles);
        talk();
        lv::memory_plan const plan = net_->plan(chunk(), options_.batch);
        std::size_t const held = std::max(before, probe_ ? probe_->bytes() : 0);
        figures_.peak = peak_memory() - std::min(peak_memory(), held);
        figures_.planned = plan.own(session_->context()) + plan.weights.mapped;
    }

    [[nodiscard]] lv::weight_formats const& formats() const { return formats_; }
    [[nodiscard]] std::size_t threads() const { return pool_->threads(); }
    /// "2 threads", or the name of a GPU.
    [[nodiscard]] std::string device() const {
        return gpu_ ? gpu_->name : std::to_string(threads()) + (threads() == 1 ? " thread" : " threads");
    }

  private:
    void load() {
        progress_bar bar("weights");
        lv::network_options how;
        how.formats = formats_;
        how.on_repack = bar.report();
        how.memory_budget = gpu_ ? gpu_->available() : lv::available_memory();
        if (gpu_) how.host_memory_budget = lv::available_memory();
        how.beyond_memory = options_.beyond_memory;
        how.planned = {positions(), 1, options_.batch};
        how.packed.file = options_.packed;
        built_in const* found = nullptr;
        lv::checkpoint::named_tensors tensors;
        if (options_.random) {
            found = &built_in_named(options_.config);
            lv::weight_formats table; // as in the files that `quantize` writes
            table.embedding = formats_.head;
            tensors = lv::checkpoint::quantised(
                found->random(options_.seed), lv::formats_by_name(lv::expected_tensors(found->numbers), table), pool_);
            how.packed.source = std::string(found->name) + ", random " + std::to_string(options_.seed);
        } else {
            auto const path = model_path(options_.model);
            lv::checkpoint::opened checkpoint =
                lv::checkpoint::open(path, {}, lv::checkpoint::faults::thrown, dialect_of(options_.gguf));
            found = find_built_in(checkpoint.model->values, checkpoint.model->unstated);
            if (!found)
                throw lv::mismatch_error(path.string()
                                         + ": has the numbers of no configuration that this program was built for");
            tensors = std::move(checkpoint.tensors);
            how.packed.source = lv::checkpoint::fingerprint(checkpoint.weights.files) + " " + options_.gguf;
        }
        figures_.model = std::string(found->name) + (options_.random ? ", random weights" : "");
        net_ = gpu_ ? gpu_->bind(found->name, std::move(tensors), how) : found->bind(std::move(tensors), pool_, how);
    }

    [[nodiscard]] std::vector<std::size_t> tile_counts() const {
        std::size_t const most = net_->numbers().vision.tiles;
        std::vector<std::size_t> counts =
            options_.tiles.empty() ? std::vector<std::size_t>{1, 2, most} : options_.tiles;
        for (std::size_t const n : counts)
            if (n == 0 || n > most)
                throw lv::argument_error("--tiles " + std::to_string(n) + ": the model takes 1 to "
                                         + std::to_string(most));
        return counts;
    }

    template <class F>
    measured measure(F const& f) {
        limits const before = limits_now();
        std::vector<double> seconds;
        for (std::size_t i = 0; i < options_.repeat; ++i) {
            stopwatch watch;
            f();
            seconds.push_back(watch.seconds());
        }
        std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2),
                         seconds.end());
        return {seconds[seconds.size() / 2], between(before, limits_now())};
    }

    [[nodiscard]] limits limits_now() { return gpu_ ? gpu_->measure() : probe_->measure(); }

    void look_at(std::size_t count) {
        lv::image::tiles const tiles = tiles_of(net_->numbers().vision, count);
        progress_bar bar("picture of " + std::to_string(count) + (count == 1 ? " tile" : " tiles"));
        lv::encode_options encoding;
        encoding.on_progress = bar.report();
        measured const m = measure([&] {
            image_.reset(); // one picture is planned
            image_ = net_->encode(tiles, encoding);
        });
        figures_.pictures.push_back({count, m, net_->image_flops(count, true)});
    }

    /// Measures prompts about the last picture, and an answer to the first. One prompt is read before measuring:
    /// weights that were not read for a while may be slow to reach, above all on virtual machines.
    void talk() {
        lv::session_options const settings{positions(), chunk(), lv::parity::usual,
                                           std::make_shared<lv::workspace>(net_)};
        session_.emplace(net_, settings);
        read(prompt_of(options_.prompts.front()));
        for (std::size_t const count : options_.prompts) {
            std::vector<lv::token> const prompt = prompt_of(count);
            measured const m = measure([&] {
                read(prompt);
                static_cast<void>(session_->logits()); // waits for a GPU
            });
            figures_.prompts.push_back({count, m, net_->read_flops(0, count, image_->memory.rows)});
        }
        if (options_.answer == 0) return;
        std::vector<lv::token> const prompt = prompt_of(options_.prompts.front());
        figures_.decode = measure_token(1, prompt, settings);
        figures_.decode_bytes = bytes_of(1);
        if (options_.batch == 1) return;
        figures_.batch = measure_token(options_.batch, prompt, settings);
        figures_.batch_bytes = bytes_of(options_.batch);
    }

    /// Measures a token of each of so many answers to the same prompt about the same picture.
    measured measure_token(std::size_t conversations, std::vector<lv::token> const& prompt,
                           lv::session_options const& settings) {
        std::deque<lv::session> others;
        std::vector<lv::session::input> prompts, tokens;
        lv::token now = 0;
        for (std::size_t i = 0; i < conversations; ++i) {
            lv::session& s = i == 0 ? *session_ : others.emplace_back(net_, settings);
            prompts.push_back({&s, prompt, {&image_, 1}});
            tokens.push_back({&s, {&now, 1}, {}, true});
        }
        std::vector<double> seconds;
        measured m = measure([&] {
            for (lv::session::input const& p : prompts) p.to->reset();
            lv::session::append_together(prompts);
            static_cast<void>(session_->logits());
            lv::tokens::sampler greedy({.temperature = 0});
            std::vector<std::shared_ptr<void>> choices(conversations);
            stopwatch watch;
            for (std::size_t i = 0; i < options_.answer; ++i) {
                now = static_cast<lv::token>(i) % vocabulary();
                lv::session::append_together(tokens);
                for (std::size_t k = 0; gpu_ && k < conversations; ++k) // the step ends when the host has its tokens
                    static_cast<void>(tokens[k].to->choose(greedy, choices[k]));
            }
            seconds.push_back(watch.seconds() / static_cast<double>(options_.answer));
        });
        std::sort(seconds.begin(), seconds.end());
        m.seconds = seconds[seconds.size() / 2];
        return m;
    }

    /// Bytes that are read from memory for a token of each of so many conversations.
    [[nodiscard]] double bytes_of(std::size_t conversations) const {
        lv::memory_plan const plan = net_->plan(chunk());
        double const positions =
            static_cast<double>(options_.prompts.front()) + static_cast<double>(options_.answer) / 2;
        return static_cast<double>(plan.weights.decoded) + static_cast<double>(image_->bytes)
               + static_cast<double>(conversations) * static_cast<double>(plan.cache_per_position) * positions;
    }

    /// The picture, and any tokens.
    [[nodiscard]] std::vector<lv::token> prompt_of(std::size_t count) const {
        std::vector<lv::token> prompt(count);
        for (std::size_t i = 0; i < count; ++i) prompt[i] = static_cast<lv::token>(i * 37) % vocabulary();
        prompt.front() = session_->image_id();
        return prompt;
    }

    void read(std::vector<lv::token> const& prompt) {
        session_->reset();
        session_->append(prompt, {&image_, 1});
    }

    [[nodiscard]] lv::token vocabulary() const { return static_cast<lv::token>(net_->numbers().text.vocabulary); }
    [[nodiscard]] std::size_t positions() const {
        return *std::max_element(options_.prompts.begin(), options_.prompts.end()) + options_.answer;
    }
    [[nodiscard]] std::size_t chunk() const { return std::min<std::size_t>(256, positions()); }

    bench_options const& options_;
    figures& figures_;
    lv::weight_formats formats_;
    std::shared_ptr<lv::thread_pool> pool_;
    std::optional<limit_probe> probe_; ///< of the CPU
    std::optional<cuda_bench> gpu_;    ///< instead of it
    std::shared_ptr<lv::network const> net_;
    lv::session::image_ptr image_;
    std::optional<lv::session> session_;
};

std::string percent(double part) { return fixed(100 * part, 0) + " %"; }

std::string row(std::string what, double seconds, std::string const& rate, std::string const& of) {
    if (what.size() < 22) what.resize(22, ' ');
    std::string time = seconds < 0.1 ? fixed(seconds * 1000, 2) + " ms" : fixed(seconds, 2) + " s";
    if (time.size() < 10) time.insert(0, 10 - time.size(), ' ');
    return what + time + "   " + rate + ", " + of + "\n";
}

std::string in_words(figures const& f, lv::weight_formats const& formats, bench_options const& o,
                     std::string const& device) {
    std::string text = f.model + "; vision " + std::string(lv::name_of(formats.vision)) + ", text "
                       + std::string(lv::name_of(formats.self)) + "; " + device + "\n\n";
    text += row("weights", f.load, in_bytes(static_cast<double>(f.planned)) + " planned in all",
                in_bytes(static_cast<double>(f.peak)) + " at the peak");
    for (picture_cost const& p : f.pictures) {
        double const rate = p.flops / p.took.seconds;
        text += row("picture of " + std::to_string(p.tiles) + (p.tiles == 1 ? " tile" : " tiles"), p.took.seconds,
                    in_thousands(rate) + "FLOP/s",
                    percent(rate / peak_of(p.took.beside, formats.vision)) + " of the products' peak");
    }
    for (prompt_cost const& p : f.prompts) {
        double const rate = p.flops / p.took.seconds;
        text +=
            row("prompt of " + std::to_string(p.tokens), p.took.seconds,
                fixed(static_cast<double>(p.tokens) / p.took.seconds, 1) + " tok/s, " + in_thousands(rate) + "FLOP/s",
                percent(rate / peak_of(p.took.beside, formats.self)) + " of the products' peak");
    }
    if (f.decode.seconds > 0) {
        double const read = f.decode_bytes / f.decode.seconds;
        text += row("a token of " + std::to_string(o.answer), f.decode.seconds,
                    fixed(1 / f.decode.seconds, 2) + " tok/s, " + in_bytes(read) + "/s",
                    percent(read / f.decode.beside.read) + " of a plain read");
    }
    if (f.batch.seconds > 0) {
        double const read = f.batch_bytes / f.batch.seconds, rate = static_cast<double>(o.batch) / f.batch.seconds;
        text += row("a token of each of " + std::to_string(o.batch), f.batch.seconds,
                    fixed(rate, 2) + " tok/s, " + fixed(rate * f.decode.seconds, 2) + " times one, " + in_bytes(read)
                        + "/s",
                    percent(read / f.batch.beside.read) + " of a plain read");
    }
    limits const& l = f.prompts.front().took.beside;
    text += "\nlimits beside the prompt: read " + in_bytes(l.read) + "/s, floats " + in_thousands(l.f32) + "FLOP/s";
    if (l.bf16 > 0) text += ", bf16 " + in_thousands(l.bf16) + "FLOP/s";
    if (l.f16 > 0) text += ", f16 " + in_thousands(l.f16) + "FLOP/s";
    if (l.int8 > 0) text += ", bytes " + in_thousands(l.int8) + "OP/s";
    return text + "\n";
}

std::string limits_json(limits const& l) {
    return json_object({{"read", json_number(l.read)},
                        {"f32", json_number(l.f32)},
                        {"bf16", json_number(l.bf16)},
                        {"f16", json_number(l.f16)},
                        {"int8", json_number(l.int8)}});
}

std::string in_json(figures const& f, lv::weight_formats const& formats, bench_options const& o, std::size_t threads,
                    std::string const& device) {
    auto const picture = [&](picture_cost const& p) {
        double const rate = p.flops / p.took.seconds;
        return json_object({{"tiles", std::to_string(p.tiles)},
                            {"seconds", json_number(p.took.seconds)},
                            {"gflops", json_number(rate * 1e-9)},
                            {"fraction_of_peak", json_number(rate / peak_of(p.took.beside, formats.vision))},
                            {"limits", limits_json(p.took.beside)}});
    };
    auto const text = [&](std::size_t tokens, measured const& m, double flops, double bytes) {
        if (m.seconds == 0) return std::string("null");
        return json_object({{"tokens", std::to_string(tokens)},
                            {"tokens_per_second", json_number(static_cast<double>(tokens) / m.seconds)},
                            {"seconds", json_number(m.seconds)},
                            {"fraction_of_peak", json_number(flops / m.seconds / peak_of(m.beside, formats.self))},
                            {"fraction_of_read", json_number(bytes / m.seconds / m.beside.read)},
                            {"limits", limits_json(m.beside)}});
    };
    auto const prompt = [&](prompt_cost const& p) { return text(p.tokens, p.took, p.flops, f.decode_bytes); };
    prompt_cost const& first = f.prompts.front();
    double const flops = first.flops / static_cast<double>(first.tokens);
    return json_object(
               {{"model", json_string(f.model)},
                {"vision", json_string(lv::name_of(formats.vision))},
                {"text", json_string(lv::name_of(formats.self))},
                {"device", json_string(device)},
                {"threads", std::to_string(threads)},
                {"load", json_number(f.load)},
                {"image", json_list(f.pictures, picture)},
                {"prefill", prompt(first)},
                {"prompts", json_list(f.prompts, prompt)},
                {"decode", text(1, f.decode, flops, f.decode_bytes)},
                {"batch", text(o.batch, f.batch, static_cast<double>(o.batch) * flops, f.batch_bytes)},
                {"memory", json_object({{"peak", std::to_string(f.peak)}, {"planned", std::to_string(f.planned)}})},
                {"limits", limits_json(first.took.beside)}})
           + "\n";
}

} // namespace

int bench(bench_options const& options) {
    figures f;
    benchmark b(options, f);
    b.run();
    print(options.json ? in_json(f, b.formats(), options, b.threads(), b.device())
                       : in_words(f, b.formats(), options, b.device()));
    return 0;
}

} // namespace program

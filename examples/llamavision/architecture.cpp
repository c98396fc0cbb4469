// SPDX-License-Identifier: Apache-2.0
// `architecture`: the expression of a model as a tree, and what it costs to run.
#include "commands.hpp"

#include <algorithm>

#include <llamavision/checkpoint/open.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/support/error.hpp>

#include "bundled.hpp"
#include "console.hpp"
#include "models.hpp"

namespace lv = llamavision;

namespace program {

namespace {

/// The configuration of a checkpoint, whose weights may be missing.
built_in const& by_checkpoint(std::filesystem::path const& path) {
    auto const d = lv::checkpoint::read_description(path, lv::checkpoint::faults::collected);
    if (!d.model)
        throw lv::file_error(d.problems.empty() ? path.string() + ": names none of the model's numbers"
                                                : d.problems[0]);
    if (built_in const* const found = find_built_in(d.model->values, d.model->unstated)) return *found;
    throw lv::mismatch_error(path.string()
                             + ": has the numbers of no configuration that this program was built for; `llamavision "
                               "inspect DIR --config-header` prints the type to build it with");
}

/// "prefill of 512 tokens                8.1 TFLOP"
std::string cost(std::string what, double flops) {
    if (what.size() < 50) what.resize(50, ' ');
    return what + "  " + in_thousands(flops) + "FLOP\n";
}

std::string bytes(lv::totals const& size, lv::format type) { return in_bytes(static_cast<double>(size.bytes(type))); }

std::string costs(built_in const& b) {
    auto const& v = b.numbers.vision;
    std::size_t const side = v.tile / v.patch, rows = side * side + 1;
    std::size_t const prompt = std::min<std::size_t>(512, b.numbers.text.context / 2);
    std::string const tokens = std::to_string(prompt) + " tokens";
    return cost("an image of 1 tile", b.image_flops(1, true))
           + cost("an image of 1 tile, padding computed as well", b.image_flops(1, false))
           + cost("an image of " + std::to_string(v.tiles) + " tiles", b.image_flops(v.tiles, false))
           + cost("prefill of " + tokens, b.read_flops(0, prompt, 0))
           + cost("prefill of " + tokens + ", an image of 1 tile in sight", b.read_flops(0, prompt, rows))
           + cost("a token after " + tokens, b.read_flops(prompt, 1, 0))
           + cost("a token after " + tokens + ", an image of 1 tile in sight", b.read_flops(prompt, 1, rows));
}

} // namespace

int architecture(architecture_options const& options) {
    built_in const& b =
        options.config.empty() ? by_checkpoint(model_path(options.model)) : built_in_named(options.config);
    print(std::string(b.name) + ": " + lv::grouped(b.size.parameters) + " parameters in " + lv::grouped(b.size.tensors)
          + " tensors; " + bytes(b.size, lv::format::f32) + " in f32, " + bytes(b.size, lv::format::bf16)
          + " in f16 or bf16\n\n" + b.tree() + "\n" + costs(b));
    return 0;
}

} // namespace program

// SPDX-License-Identifier: Apache-2.0
// `quantize`: one file of smaller weights, written tensor by tensor; or the accuracy that they lose.
#include "commands.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/encoding/quantise.hpp>
#include <llamavision/checkpoint/form/gguf/own.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>
#include <llamavision/model/expected_tensors.hpp>

#include "answers.hpp"
#include "bundled.hpp"
#include "console.hpp"
#include "convert_files.hpp"
#include "models.hpp"
#include "quantize_report.hpp"
#include "writing.hpp"

namespace lv = llamavision;
namespace cp = llamavision::checkpoint;

namespace program {

namespace {

/// In a file the embedding is quantised as well: to 8 bits, if the text has 8 or 4.
lv::weight_formats file_formats(format_settings const& s) {
    lv::weight_formats formats = formats_of(s);
    formats.embedding = formats.head;
    return formats;
}

void write(quantize_options const& o, cp::opened const& source, cp::named_tensors const& tensors) {
    std::vector<std::string> notes;
    auto const files = hugging_face_files(source, {{}, {}, o.base}, notes);
    std::size_t before = 0, after = 0;
    for (auto const& [name, t] : source.tensors.tensors) before += cp::size_in_bytes(t);
    for (auto const& [name, t] : tensors.tensors) after += cp::size_in_bytes(t);
    catch_signals();
    writing_progress bar("Quantising");
    cp::write_gguf(o.out, cp::own_gguf(tensors, source, files), bar.report());
    bar.clear();
    say(o.out + ": " + in_bytes(static_cast<double>(after)) + " of weights, " + in_bytes(static_cast<double>(before))
        + " before");
    for (std::string const& note : notes) warn(note + ".");
}

} // namespace

int quantize(quantize_options const& options) {
    if (!options.out.empty()) check_vacant(options.out, options.force);
    auto const path = model_path(options.model);
    cp::opened const source = cp::open(path, {}, cp::faults::thrown, dialect_of(options.gguf));
    for (std::string const& warning : source.warnings) warn(warning);
    lv::weight_formats const formats = file_formats(options.formats);
    auto const tensors = lv::checkpoint::quantised(
        source.tensors, lv::formats_by_name(lv::expected_tensors(source.model->values), formats),
        std::make_shared<lv::thread_pool>(options.threads));
    if (!options.out.empty()) write(options, source, tensors);
    if (options.report) report(options, source.tensors, tensors);
    return 0;
}

} // namespace program

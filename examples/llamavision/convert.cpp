// SPDX-License-Identifier: Apache-2.0
// `convert`: a checkpoint in another form or type, written tensor by tensor into a folder that appears when it is
// complete.
#include "commands.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include <llamavision/checkpoint/adapter/adapter.hpp>
#include <llamavision/checkpoint/form/gguf/names.hpp>
#include <llamavision/checkpoint/form/gguf/own.hpp>
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/checkpoint/form/meta/checkpoint.hpp>
#include <llamavision/checkpoint/form/meta/mapping.hpp>
#include <llamavision/checkpoint/form/meta/shards.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>
#include <llamavision/checkpoint/write/pth.hpp>
#include <llamavision/checkpoint/write/replacement_folder.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/checkpoint/write/shards.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include "console.hpp"
#include "convert_files.hpp"
#include "inspection.hpp"
#include "models.hpp"
#include "writing.hpp"

namespace lv = llamavision;
namespace cp = llamavision::checkpoint;
namespace fs = std::filesystem;

namespace program {

namespace {

/// "5GB", "500 MB", "12" (files).
cp::sharding sharding_of(std::string const& text) {
    cp::sharding split;
    if (text.empty()) return split;
    std::size_t number = 0;
    auto const [stop, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (fault == std::errc{} && number > 0 && stop == text.data() + text.size())
        split.files = number;
    else if (auto const bytes = bytes_in(text); bytes && *bytes > 0)
        split.bytes = *bytes;
    else
        throw lv::argument_error("--shards takes a number of files, or a size such as 5GB, not " + lv::in_quotes(text));
    return split;
}

std::optional<cp::dtype> type_of(std::string const& name) {
    if (name == "f32") return cp::dtype::f32;
    if (name == "f16") return cp::dtype::f16;
    if (name == "bf16") return cp::dtype::bf16;
    return std::nullopt;
}

/// Throws mismatch_error if finite values became infinite: a model with such weights gives no answers.
void check_finite(cp::dtype type, cp::rounding const& lost, std::string const& where) {
    if (lost.infinite == 0) return;
    bool const one = lost.infinite == 1;
    throw lv::mismatch_error(where + ": " + std::to_string(lost.infinite)
                             + (one ? " value is too large for " : " values are too large for ")
                             + std::string(cp::name_of(type)) + "; --dtype f32 keeps " + (one ? "it" : "them"));
}

/// The new tensors, in order, and how many values lost precision, counted for each type.
class outgoing {
  public:
    outgoing(cp::named_tensors const& tensors, std::optional<cp::dtype> type) {
        for (auto const& [name, value] : tensors.tensors) {
            auto const target = type.value_or(cp::is_block_type(value.type) ? cp::dtype::bf16 : value.type);
            list_.push_back(cp::converted(name, value, target, lost_[target]));
            values_ += cp::values_of(value);
            bytes_ += *cp::bytes_of(value.shape, target);
        }
    }

    [[nodiscard]] std::vector<cp::tensor_to_write> const& list() const { return list_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

    /// Warns about rounding, after everything is written.
    void add_to(std::map<cp::dtype, cp::rounding>& lost, std::size_t& values) const {
        for (auto const& [type, count] : lost_) lost[type] += count;
        values += values_;
    }

  private:
    std::map<cp::dtype, cp::rounding> lost_;
    std::vector<cp::tensor_to_write> list_;
    std::size_t values_ = 0, bytes_ = 0;
};

struct losses {
    std::map<cp::dtype, cp::rounding> of_type;
    std::size_t values = 0;

    void tell() const {
        for (auto const& [type, lost] : of_type) {
            std::string const name(cp::name_of(type));
            if (lost.changed > 0)
                warn(std::to_string(lost.changed) + " of " + std::to_string(values)
                     + (lost.changed == 1 ? " values was rounded to " : " values were rounded to ") + name
                     + "; --dtype f32 keeps them all.");
        }
    }
};

void check_space(fs::path const& folder, std::size_t bytes) {
    std::error_code fault;
    auto const space = fs::space(folder, fault);
    if (!fault && space.available < bytes)
        throw lv::file_error(folder.string() + ": the disk has " + in_bytes(static_cast<double>(space.available))
                             + " left, and the result takes " + in_bytes(static_cast<double>(bytes)));
}

/// Throws mismatch_error unless the tensors of a GGUF file are those of the configuration that its keys describe.
void check_gguf(cp::opened const& source) {
    std::vector<std::string> strange;
    for (auto const& entry : source.tensors.tensors)
        if (!cp::gguf_name_of_hugging_face(entry.first, false, source.model->values.kind))
            strange.push_back(lv::in_quotes(entry.first));
    if (!strange.empty())
        throw lv::mismatch_error(source.path.string()
                                 + ": holds tensors that this model has not: " + lv::listed(strange));
    auto const* const known = find_built_in(source.model->values, source.model->unstated);
    check_fit(*source.model, known, source.tensors, source.path);
}

/// The source, with its adapter and the numbers of `--config`.
cp::opened open_source(convert_options const& o) {
    cp::opened source = cp::open(o.source, {}, cp::faults::thrown, dialect_of(o.gguf));
    for (std::string const& warning : source.warnings) warn(warning);
    if (!o.config.empty()) source.model = cp::read_config(o.config);
    if (source.form == cp::kind::gguf) check_gguf(source);
    if (!o.adapter.empty()) source.tensors = cp::merge_adapter(std::move(source.tensors), cp::open_adapter(o.adapter));
    return source;
}

std::vector<std::string> to_hugging_face(convert_options const& o, cp::opened const& source, fs::path const& folder,
                                         losses& lost) {
    auto const type = type_of(o.dtype);
    std::vector<std::string> notes;
    auto const files = hugging_face_files(source, {type, o.config, o.base}, notes);
    auto const named = source.model->text_alone ? cp::with_names_of_text_alone(source.tensors) : source.tensors;
    outgoing const tensors(named, type);
    check_space(folder, tensors.bytes());
    writing_progress progress("Writing");
    cp::write_sharded(folder, tensors.list(), sharding_of(o.shards), progress.report());
    tensors.add_to(lost.of_type, lost.values);
    if (!source.spare.tensors.empty()) { // for the way back to Meta's form
        outgoing const spare(source.spare, type);
        fs::create_directories((folder / cp::spare_cells_file).parent_path());
        cp::write_safetensors(folder / cp::spare_cells_file, spare.list());
    }
    write(files, folder);
    return notes;
}

std::vector<std::string> to_meta(convert_options const& o, cp::opened& source, fs::path const& folder, losses& lost) {
    auto const split = sharding_of(o.shards);
    std::size_t const files = std::max<std::size_t>(split.files, 1);
    if (split.files == 0 && !o.shards.empty())
        throw lv::argument_error("--shards: Meta's form is divided into a number of files, not by size");
    if (source.model->values.kind == lv::config::family::mllama && cp::is_text_alone(source.tensors))
        throw lv::mismatch_error(source.path.string()
                                 + ": holds the text model alone, for which Meta's form has no place");
    std::vector<std::string> notes;
    write(meta_files(source, notes), folder); // first: this throws if Meta's form cannot hold the model
    auto const whole = cp::hugging_face_to_meta(std::move(source.tensors), source.model->values, source.spare);
    writing_progress progress("Writing");
    for (std::size_t rank = 0; rank < files; ++rank) {
        auto const part = cp::shard_of(whole, rank, files);
        outgoing const tensors(part, type_of(o.dtype));
        check_space(folder, tensors.bytes() * (files - rank));
        cp::write_pth(folder / cp::meta_file_name(rank), tensors.list(), progress.report());
        tensors.add_to(lost.of_type, lost.values);
    }
    return notes;
}

/// A tensor of another type, which is made when it is written. @throws as check_finite
cp::tensor retyped(std::string const& name, cp::tensor const& from, cp::dtype type, cp::rounding& lost) {
    return {type, from.shape, {}, [&name, &from, type, &lost](std::span<std::byte> to) {
                cp::convert(
                    from, type,
                    [&to](std::span<std::byte const> piece) {
                        std::copy(piece.begin(), piece.end(), to.begin());
                        to = to.subspan(piece.size());
                    },
                    lost);
                check_finite(type, lost, name);
            }};
}

std::vector<std::string> to_gguf(convert_options const& o, cp::opened const& source, losses& lost) {
    if (!o.shards.empty()) throw lv::argument_error("--shards: a GGUF file is one file");
    auto const type = type_of(o.dtype);
    std::vector<std::string> notes;
    auto const files = hugging_face_files(source, {type, o.config, o.base}, notes);
    cp::named_tensors tensors;
    for (auto const& [name, value] : source.tensors.tensors) {
        bool const same = !type || *type == value.type;
        tensors.tensors.emplace(name, same ? value : retyped(name, value, *type, lost.of_type[*type]));
        lost.values += cp::values_of(value);
    }
    auto const file = cp::own_gguf(tensors, source, files);
    std::size_t bytes = 0;
    for (auto const& entry : file.tensors) bytes += cp::size_in_bytes(entry.second);
    fs::path const out(o.out);
    check_space(out.has_parent_path() ? out.parent_path() : ".", bytes);
    writing_progress progress("Writing");
    cp::write_gguf(out, file, progress.report());
    return notes;
}

void finish(convert_options const& o, losses const& lost, std::vector<std::string> const& notes) {
    lost.tell();
    for (std::string const& note : notes) warn(note + ".");
    print(o.out + "\n");
}

} // namespace

int convert(convert_options const& options) {
    catch_signals();
    static_cast<void>(sharding_of(options.shards));
    if (options.to == "gguf") {
        check_vacant(options.out, options.force);
        cp::opened const source = open_source(options);
        losses lost;
        auto const notes = to_gguf(options, source, lost);
        finish(options, lost, notes);
        return 0;
    }
    cp::replacement_folder folder(options.out, options.force);
    cp::opened source = open_source(options);
    losses lost;
    auto const notes = options.to == "meta" ? to_meta(options, source, folder.path(), lost)
                                            : to_hugging_face(options, source, folder.path(), lost);
    for (auto const& [type, count] : lost.of_type) check_finite(type, count, source.path.string());
    folder.commit();
    finish(options, lost, notes);
    return 0;
}

} // namespace program

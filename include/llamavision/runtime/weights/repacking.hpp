// SPDX-License-Identifier: Apache-2.0
// Repacks a model's weights into the layouts of a backend, and puts them where its kernels read them: into memory, the
// backend's own memory, or a packed file.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/memory.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/runtime/network/options.hpp>
#include <llamavision/runtime/weights/packed_file.hpp>
#include <llamavision/runtime/weights/placement.hpp>
#include <llamavision/support/aligned_bytes.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/weights/formats.hpp>

namespace llamavision {

/// What decides the bytes of a backend's layouts: its name, and the version of its layouts if it has one, else of its
/// kernels.
template <backend B>
[[nodiscard]] std::string layout_identity(B const& backend) {
    std::string text(backend.name());
    if constexpr (requires { backend.layouts(); })
        text += ", " + std::string(backend.layouts());
    else if constexpr (requires { backend.kernels(); })
        text += ", " + std::string(backend.kernels());
    return text;
}

template <backend B>
class weight_repacker final : public repacker {
  public:
    /// Refers to all of its arguments.
    weight_repacker(B const& backend, weight_formats const& formats, packing const& packed)
        : backend_(backend), formats_(formats), packed_(packed) {}

    /// @throws argument_error if a packed file is wanted, and all weights lie in the backend's own memory; what
    ///         packed_file throws; memory_error
    void expect(std::span<stored_weight const> weights) override {
        bool const packs = !packed_.file.empty();
        std::vector<packed_weight> list;
        std::size_t on_device = 0;
        for (stored_weight const& w : weights) {
            weight_format const format = formats_.of(w.facts.part);
            weight_placement const to = placement_of(backend_, w, format, packs);
            list_.push_back({w.facts.name, w.extents, format, to, to.where == home::device ? on_device : list.size()});
            if (to.where == home::device) on_device += to.padded_bytes();
            if (to.where == home::file && to.moves)
                list.push_back({w.facts.name + " "
                                    + std::string(to.repacked ? name_of(format) : name_of(w.extents.type)) + " of "
                                    + std::string(name_of(w.extents.type)) + " " + std::to_string(w.extents.rows) + " "
                                    + std::to_string(w.extents.columns),
                                to.bytes});
        }
        if (packs && list.empty())
            throw argument_error(packed_.file.string() + ": the " + std::string(backend_.name())
                                 + " backend has all weights in memory of its own, and none to pack");
        if (packs) file_.emplace(packed_.file, packed_.source + "\n" + layout_identity(host_backend(backend_)), list);
        if (on_device > 0) device_memory_ = allocate(backend_, on_device);
    }

    [[nodiscard]] repacked repack(std::size_t index, std::function<void const*()> const& data) override {
        item const& w = list_[index];
        if (!w.to.moves) return {};
        if (w.to.where == home::device) return put(backend_, w, device_memory_.get() + w.place, device_memory_, data);
        auto const& backend = host_backend(backend_);
        if (w.to.where == home::memory) {
            auto const buffer = aligned_bytes(w.to.bytes);
            return put(backend, w, buffer.get(), buffer, data);
        }
        std::byte* const to = (*file_)[w.place].data();
        if (file_->complete()) return put(backend, w, to, file_->bytes(), {});
        repacked result = put(backend, w, to, file_->bytes(), data);
        file_->filled(w.place);
        return result;
    }

    void finish() override {
        if (file_) file_->commit();
    }

  private:
    struct item {
        std::string name;
        matrix extents;
        weight_format format;
        weight_placement to;
        std::size_t place; ///< which weight of the packed file, or which byte of the backend's memory
    };

    /// For the backend that will read it. Without data, it is there already.
    template <backend Reader>
    static repacked put(Reader const& backend, item const& w, std::byte* to, std::shared_ptr<void const> owner,
                        std::function<void const*()> const& data) {
        repacked result{w.extents, {to, w.to.bytes}, std::move(owner), w.to.where};
        result.weight.data = to;
        if (w.to.repacked) {
            if constexpr (repacks_weights<Reader>) {
                if (data) {
                    // Whatever a layout leaves free is zero, so that equal weights are equal bytes; in a new file it
                    // is.
                    if (w.to.where != home::file)
                        backend.zero(reinterpret_cast<float*>(to), w.to.bytes / sizeof(float));
                    matrix stored = w.extents;
                    stored.data = data();
                    try {
                        backend.repack(stored, w.format, to);
                    } catch (format_error const& fault) {
                        throw format_error("the tensor " + in_quotes(w.name) + " as " + std::string(name_of(w.format))
                                           + ": " + fault.what());
                    }
                }
                result.weight = backend.repacked_at(w.extents, w.format, to);
            }
        } else if (data)
            upload(backend, data(), w.to.bytes, to);
        return result;
    }

    B const& backend_;
    weight_formats const& formats_;
    packing const& packed_;
    std::vector<item> list_;
    std::optional<packed_file> file_;
    std::shared_ptr<std::byte> device_memory_;
};

} // namespace llamavision

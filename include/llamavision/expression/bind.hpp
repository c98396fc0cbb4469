// SPDX-License-Identifier: Apache-2.0
// The reading `bind`: named tensors become weights<E>. Matrices stay where the checkpoint's bytes lie, in their own
// format; the small rest is widened to floats. Everything that does not fit is reported at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/expression/weights.hpp>
#include <llamavision/support/cold.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision {

/// The name and shape of every tensor of E below `path`, in the order in which data flows.
template <expression E>
[[nodiscard]] std::vector<std::pair<std::string, std::vector<std::size_t>>> tensor_names(E e,
                                                                                         std::string const& path = {}) {
    std::vector<std::pair<std::string, std::vector<std::size_t>>> names;
    auto const w = std::make_unique<weights<E>>();
    walk(e, *w, path, [&](auto node, auto const&, std::string const& here) {
        for (parameter const& p : node.parameters)
            names.emplace_back(here + std::string(p.suffix), std::vector(p.shape.begin(), p.shape.begin() + p.rank));
    });
    return names;
}

/// Binds one checkpoint to the parts of one model, and keeps alive whatever the bound weights point into.
class binder {
  public:
    /// @param tensors under Hugging Face's names (checkpoint/names.hpp maps other spellings onto them)
    explicit binder(checkpoint::named_tensors tensors) : tensors_(std::move(tensors)) {}

    /// Binds the weights of E. Problems are collected; `finish` reports them.
    template <expression E>
    void bind(E e, weights<E>& w) {
        walk(e, w, "", [&](auto node, auto& bound, std::string const& path) {
            if constexpr (node.parameters.size() > 0) bind_node(node.parameters, bound.own, path);
        });
    }

    /// @return what the bound weights point into; the caller keeps it as long as them
    /// @throws mismatch_error naming every missing, surplus and misshapen tensor
    [[nodiscard]] LLAMAVISION_COLD std::vector<std::shared_ptr<void const>> finish() {
        for (auto const& [name, tensor] : tensors_.tensors)
            if (!used_.contains(name)) surplus_.push_back(name + " " + to_text(tensor.shape));
        std::string const problems =
            listed(missing_, "missing") + listed(misshapen_, "misshapen") + listed(surplus_, "surplus");
        if (!problems.empty()) throw mismatch_error("the checkpoint's tensors are not the model's:" + problems);
        std::vector<std::shared_ptr<void const>> owners = std::move(tensors_.owners);
        owners.insert(owners.end(), copies_.begin(), copies_.end());
        return owners;
    }

  private:
    LLAMAVISION_COLD void bind_node(std::span<parameter const> parameters, std::span<matrix> own,
                                    std::string const& path) {
        for (std::size_t i = 0; i < parameters.size(); ++i)
            own[i] = find(path + std::string(parameters[i].suffix), parameters[i]);
    }

    LLAMAVISION_COLD matrix find(std::string const& name, parameter const& p) {
        auto const at = tensors_.tensors.find(name);
        std::vector<std::size_t> const shape(p.shape.begin(), p.shape.begin() + static_cast<std::ptrdiff_t>(p.rank));
        if (at == tensors_.tensors.end()) {
            missing_.push_back(name + " " + to_text(shape));
            return {};
        }
        used_.insert(name);
        checkpoint::tensor const& tensor = at->second;
        if (tensor.shape != shape) {
            misshapen_.push_back(name + " is " + to_text(tensor.shape) + ", the model's is " + to_text(shape));
            return {};
        }
        using checkpoint::dtype;
        if (!checkpoint::is_plain_weight(tensor.type)) {
            misshapen_.push_back(name + " is " + std::string(checkpoint::name_of(tensor.type))
                                 + ", weights are F32, F16 or BF16");
            return {};
        }
        std::size_t const size = p.count() * checkpoint::size_of(tensor.type);
        std::span<std::byte const> const bytes = tensor.make ? made(tensor, size) : tensor.bytes;
        if (bytes.size() != size) {
            misshapen_.push_back(name + " " + to_text(shape) + " has " + std::to_string(bytes.size())
                                 + " bytes, and takes " + std::to_string(size));
            return {};
        }
        matrix m{bytes.data(), format_of(tensor.type), shape[0], p.count() / shape[0]};
        if (p.is_matrix) return aligned(m, bytes);
        return widened(m, bytes);
    }

    std::span<std::byte const> made(checkpoint::tensor const& tensor, std::size_t size) {
        std::size_t const floats = (size + sizeof(float) - 1) / sizeof(float);
        std::shared_ptr<float[]> const room(new float[floats]);
        std::span<std::byte> const bytes = std::as_writable_bytes(std::span(room.get(), floats)).first(size);
        tensor.make(bytes);
        copies_.push_back(room);
        return bytes;
    }

    static format format_of(checkpoint::dtype type) {
        return type == checkpoint::dtype::f32   ? format::f32
               : type == checkpoint::dtype::f16 ? format::f16
                                                : format::bf16;
    }

    /// A file may put a tensor at any byte; kernels want elements at their alignment.
    matrix aligned(matrix m, std::span<std::byte const> bytes) {
        std::size_t const element = m.type == format::f32 ? 4 : 2;
        if (reinterpret_cast<std::uintptr_t>(m.data) % element != 0) m.data = keep(bytes.data(), bytes.size());
        return m;
    }

    LLAMAVISION_COLD matrix widened(matrix m, std::span<std::byte const> bytes) {
        m = aligned(m, bytes);
        auto const floats = std::make_shared<std::vector<float>>(m.size());
        visit(m, [&](auto const* values) {
            for (std::size_t i = 0; i < floats->size(); ++i) (*floats)[i] = static_cast<float>(values[i]);
        });
        copies_.push_back(floats);
        return {floats->data(), format::f32, m.rows, m.columns};
    }

    void const* keep(std::byte const* bytes, std::size_t size) {
        auto const copy = std::make_shared<std::vector<float>>((size + sizeof(float) - 1) / sizeof(float));
        std::memcpy(copy->data(), bytes, size);
        copies_.push_back(copy);
        return copy->data();
    }

    static std::string to_text(std::vector<std::size_t> const& shape) {
        std::string text = "[";
        for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
        return text + "]";
    }

    static std::string listed(std::vector<std::string> const& names, std::string const& what) {
        if (names.empty()) return {};
        std::string text = "\n  " + std::to_string(names.size()) + " " + what + ":";
        for (std::string const& n : names) text += "\n    " + n;
        return text;
    }

    checkpoint::named_tensors tensors_;
    std::set<std::string, std::less<>> used_;
    std::vector<std::string> missing_, surplus_, misshapen_;
    std::vector<std::shared_ptr<void const>> copies_;
};

} // namespace llamavision

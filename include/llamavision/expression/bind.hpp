// SPDX-License-Identifier: Apache-2.0
// The reading `bind`: named tensors become weights<E>. Matrices stay where the checkpoint's bytes lie, in their own
// format; the small rest is widened to floats. Everything that does not fit is reported at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
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
#include <llamavision/support/give_back.hpp>
#include <llamavision/support/progress.hpp>

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

/// A weight that was laid out anew, or moved, and what keeps it alive; no owner: it stays as it was.
struct laid_out {
    matrix weight;
    std::shared_ptr<void const> owner;
};
/// How the weight of that name is laid out, given as the checkpoint has it; what is no matrix is given in floats.
using layout = std::function<laid_out(std::string const& name, matrix const& stored, parameter const& kind)>;

/// Binds one checkpoint to the parts of one model, and keeps alive whatever the bound weights point into.
class binder {
  public:
    /// @param tensors under Hugging Face's names (checkpoint/names.hpp maps other spellings onto them)
    /// @param relay lays out weights anew; null leaves all as they are stored
    explicit binder(checkpoint::named_tensors tensors, layout relay = {})
        : tensors_(std::move(tensors)), relay_(std::move(relay)) {}

    /// Binds the weights of E. Problems are collected; `finish` reports them.
    template <expression E>
    void bind(E e, weights<E>& w) {
        walk(e, w, "", [&](auto node, auto& bound, std::string const& path) {
            if constexpr (node.parameters.size() > 0) bind_node(node.parameters, bound.own, path);
        });
    }

    /// To be called after the last `bind`.
    /// @throws mismatch_error naming every missing, surplus and misshapen tensor
    LLAMAVISION_COLD void check() {
        surplus_.clear();
        for (auto const& [name, tensor] : tensors_.tensors)
            if (!used_.contains(name)) surplus_.push_back(name + " " + to_text(tensor.shape));
        std::string const problems =
            listed(missing_, "missing") + listed(misshapen_, "misshapen") + listed(surplus_, "surplus");
        if (!problems.empty()) throw mismatch_error("the checkpoint's tensors are not the model's:" + problems);
    }

    /// Points the bound weights at their bytes, or lays them out anew. Nothing large happens before all is known to
    /// fit.
    /// @param on_progress called after each matrix
    /// @return what the bound weights point into; the caller keeps it as long as them
    /// @throws as `check`
    [[nodiscard]] LLAMAVISION_COLD std::vector<std::shared_ptr<void const>> finish(progress const& on_progress = {}) {
        check();
        std::size_t done = 0;
        for (pending const& p : pending_) {
            settle(p);
            if (on_progress) on_progress(++done, pending_.size());
        }
        std::vector<std::shared_ptr<void const>> owners = std::move(tensors_.owners);
        owners.insert(owners.end(), copies_.begin(), copies_.end());
        return owners;
    }

    /// How a kernel sees weights of that type.
    static format format_of(checkpoint::dtype type) {
        switch (type) {
        case checkpoint::dtype::f32: return format::f32;
        case checkpoint::dtype::f16: return format::f16;
        case checkpoint::dtype::q8_0: return format::q8;
        case checkpoint::dtype::q4_0: return format::q4;
        default: return format::bf16;
        }
    }

    /// A file may put a tensor at any byte. Kernels want their alignment, so such a tensor is copied.
    static bool is_misaligned(checkpoint::tensor const& t) {
        std::size_t const alignment = t.type == checkpoint::dtype::f32 ? 4 : 2;
        return reinterpret_cast<std::uintptr_t>(t.bytes.data()) % alignment != 0;
    }

  private:
    struct pending {
        matrix* weight;
        checkpoint::tensor const* tensor;
        std::string name;
        std::size_t size; ///< bytes
        parameter kind;
    };

    LLAMAVISION_COLD void bind_node(std::span<parameter const> parameters, std::span<matrix> own,
                                    std::string const& path) {
        for (std::size_t i = 0; i < parameters.size(); ++i)
            find(path + std::string(parameters[i].suffix), parameters[i], own[i]);
    }

    LLAMAVISION_COLD void find(std::string const& name, parameter const& p, matrix& to) {
        auto const at = tensors_.tensors.find(name);
        std::vector<std::size_t> const shape(p.shape.begin(), p.shape.begin() + static_cast<std::ptrdiff_t>(p.rank));
        if (at == tensors_.tensors.end()) {
            missing_.push_back(name + " " + to_text(shape));
            return;
        }
        used_.insert(name);
        checkpoint::tensor const& tensor = at->second;
        if (tensor.shape != shape) {
            misshapen_.push_back(name + " is " + to_text(tensor.shape) + ", the model's is " + to_text(shape));
            return;
        }
        using checkpoint::dtype;
        std::size_t const columns = p.count() / shape[0];
        if (std::string const fault = why_not(tensor.type, p, columns); !fault.empty()) {
            misshapen_.push_back(name + " is " + std::string(checkpoint::name_of(tensor.type)) + ", " + fault);
            return;
        }
        std::size_t const size = checkpoint::bytes_of(tensor.type, p.count());
        if (!tensor.make && tensor.bytes.size() != size) {
            misshapen_.push_back(name + " " + to_text(shape) + " has " + std::to_string(tensor.bytes.size())
                                 + " bytes, and takes " + std::to_string(size));
            return;
        }
        to = {nullptr, format_of(tensor.type), shape[0], columns};
        pending_.push_back({&to, &tensor, name, size, p});
    }

    LLAMAVISION_COLD void settle(pending const& p) {
        matrix& m = *p.weight;
        std::shared_ptr<void const> owner;
        if (p.tensor->make)
            owner = made(*p.tensor, p.size);
        else if (is_misaligned(*p.tensor))
            owner = copied(p.tensor->bytes);
        m.data = owner ? owner.get() : p.tensor->bytes.data();
        if (!p.kind.is_matrix) {
            owner = widened(m);
            m = {owner.get(), format::f32, m.rows, m.columns};
        }
        if (relay_)
            if (laid_out anew = relay_(p.name, m, p.kind); anew.owner) {
                m = anew.weight;
                owner = std::move(anew.owner);
                if (!p.tensor->make) give_back(p.tensor->bytes); // read once, and not again
            }
        if (owner) copies_.push_back(std::move(owner));
    }

    static std::shared_ptr<void const> made(checkpoint::tensor const& tensor, std::size_t size) {
        std::shared_ptr<float[]> const room(new float[(size + sizeof(float) - 1) / sizeof(float)]);
        tensor.make({reinterpret_cast<std::byte*>(room.get()), size});
        return {room, room.get()};
    }

    static std::shared_ptr<void const> copied(std::span<std::byte const> bytes) {
        std::shared_ptr<float[]> const room(new float[(bytes.size() + sizeof(float) - 1) / sizeof(float)]);
        std::memcpy(room.get(), bytes.data(), bytes.size());
        return {room, room.get()};
    }

    static std::shared_ptr<void const> widened(matrix const& m) {
        std::shared_ptr<float[]> const floats(new float[m.size()]);
        visit(m, [&](auto values) {
            for (std::size_t i = 0; i < m.size(); ++i)
                floats[static_cast<std::ptrdiff_t>(i)] = static_cast<float>(values[i]);
        });
        return {floats, floats.get()};
    }

    /// Empty if a weight with rows of so many values can be of this type.
    static std::string why_not(checkpoint::dtype type, parameter const& p, std::size_t columns) {
        if (checkpoint::is_plain_weight(type)) return {};
        if (type != checkpoint::dtype::q8_0 && type != checkpoint::dtype::q4_0)
            return "weights are F32, F16, BF16, Q8_0 or Q4_0";
        if (!p.is_matrix) return "only matrices are stored in blocks";
        if (columns % checkpoint::block_of(type).values != 0)
            return "rows of " + std::to_string(columns) + " values have no whole blocks of 32";
        return {};
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
    layout relay_;
    std::vector<pending> pending_;
    std::set<std::string, std::less<>> used_;
    std::vector<std::string> missing_, surplus_, misshapen_;
    std::vector<std::shared_ptr<void const>> copies_;
};

} // namespace llamavision

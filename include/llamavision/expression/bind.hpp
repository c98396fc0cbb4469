// SPDX-License-Identifier: Apache-2.0
// The reading `bind`: named tensors become weights<E>. Matrices stay where the checkpoint's bytes lie, in their own
// format; the small rest is widened to floats. Everything that does not fit is reported at once.
#pragma once

#include <algorithm>
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
#include <llamavision/expression/walk.hpp>
#include <llamavision/support/cold.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/pages.hpp>
#include <llamavision/support/progress.hpp>

namespace llamavision {

/// Every weight of E, in the order in which data flows. One that is tied to another is left out.
template <expression E>
[[nodiscard]] std::vector<weight_facts> all_weights(E e) {
    std::vector<weight_facts> all;
    for_each_weight(e, [&](weight_facts const& w) {
        if (w.kind.tied_to.empty()) all.push_back(w);
    });
    return all;
}

/// The extents of a weight, slowest first.
[[nodiscard]] inline std::vector<std::size_t> shape_of(parameter const& p) {
    return {p.shape.begin(), p.shape.begin() + static_cast<std::ptrdiff_t>(p.rank())};
}

/// Where a weight lies.
enum class home : std::uint8_t {
    file,   ///< mapped: the system may drop it from memory, and read it again
    memory, ///< the host's
    device  ///< memory of the backend's own
};

/// A weight before it is bound.
struct stored_weight {
    weight_facts facts;
    matrix extents; ///< without data; a matrix is of the checkpoint's type, anything else of floats
    bool made;      ///< put together in memory when it is bound; otherwise it is read where it lies, in a file
};

/// A weight that was laid out anew, or moved, and what keeps it alive; no owner: it stays as it was.
struct repacked {
    matrix weight;
    std::span<std::byte const> bytes;
    std::shared_ptr<void const> owner;
    home where = home::memory;
};

/// A strategy for repacking weights: which layout each gets, and in which memory it lies.
class repacker {
  public:
    virtual ~repacker() = default;
    /// Called once: all weights, in the order in which data flows.
    virtual void expect(std::span<stored_weight const> weights) = 0;
    /// Called once for each, in any order. `data` says where its bytes lie, and makes them first if it has to.
    /// @throws format_error naming a weight that is infinite or no number where that would be lost, in integers
    [[nodiscard]] virtual repacked repack(std::size_t index, std::function<void const*()> const& data) = 0;
    /// Called after the last.
    virtual void finish() = 0;
};

/// A weight that is bound.
struct bound_weight {
    weight_facts facts;
    format type;
    std::span<std::byte const> bytes;
    home where;
};

/// Binds one checkpoint to the parts of one model, and keeps alive whatever the bound weights point into.
class binder {
  public:
    /// @param tensors under Hugging Face's names (checkpoint/form/hugging_face/names.hpp maps other spellings onto
    /// them)
    /// @param repack repacks weights; null leaves all as they are stored. It must outlive this
    explicit binder(checkpoint::named_tensors tensors, repacker* repack = nullptr)
        : tensors_(std::move(tensors)), repacker_(repack) {}

    /// Binds the weights of E. Problems are collected; `finish` reports them.
    template <expression E>
    void bind(E e, weights<E>& w) {
        for_each_weight(e, w, [this](weight_facts const& facts, matrix& to) { bind(facts, to); });
    }

    /// The same for one weight. `to` must stay where it is until `finish`.
    LLAMAVISION_COLD void bind(weight_facts const& facts, matrix& to) {
        std::string const& name = facts.name;
        parameter const& p = facts.kind;
        auto const at = tensors_.tensors.find(name);
        std::vector<std::size_t> const shape = shape_of(p);
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
        weights_.push_back(stored(facts, tensor));
        to = weights_.back().extents;
        pending_.push_back({&to, &tensor, size});
    }

    /// How many weights were bound.
    [[nodiscard]] std::size_t count() const { return weights_.size(); }

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
    /// @throws as `check`; what the repacker throws
    [[nodiscard]] LLAMAVISION_COLD std::vector<std::shared_ptr<void const>> finish(progress const& on_progress = {}) {
        check();
        if (repacker_) repacker_->expect(weights_);
        bound_.resize(weights_.size());
        std::size_t done = 0;
        for (std::size_t const i : in_order()) {
            settle(i);
            if (on_progress) on_progress(++done, weights_.size());
        }
        if (repacker_) repacker_->finish();
        std::vector<std::shared_ptr<void const>> owners = std::move(tensors_.owners);
        owners.insert(owners.end(), copies_.begin(), copies_.end());
        return owners;
    }

    /// After `finish`: all weights, in the order in which data flows.
    [[nodiscard]] std::vector<bound_weight> const& bound() const { return bound_; }

    /// The tensor as a weight of that kind.
    static stored_weight stored(weight_facts facts, checkpoint::tensor const& t) {
        parameter const p = facts.kind;
        format const type = p.is_matrix() ? format_of(t.type) : format::f32;
        return {std::move(facts),
                {nullptr, type, p.shape[0], p.count() / p.shape[0]},
                !p.is_matrix() || t.make || is_misaligned(t)};
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
        std::size_t size; ///< bytes in the checkpoint
    };

    /// What has to be made comes first, the largest before all: while it is laid out it lies in memory twice, and then
    /// little else does.
    [[nodiscard]] std::vector<std::size_t> in_order() const {
        std::vector<std::size_t> order(pending_.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        auto const made = [this](std::size_t i) { return pending_[i].tensor->make ? pending_[i].size : 0; };
        std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return made(a) > made(b); });
        return order;
    }

    LLAMAVISION_COLD void settle(std::size_t index) {
        pending const& p = pending_[index];
        stored_weight const& w = weights_[index];
        std::shared_ptr<void const> owner;
        auto const data = [&]() -> void const* {
            if (p.tensor->make)
                owner = made(*p.tensor, p.size);
            else if (is_misaligned(*p.tensor))
                owner = copied(p.tensor->bytes);
            void const* const values = owner ? owner.get() : p.tensor->bytes.data();
            if (w.facts.kind.is_matrix()) return values;
            owner = widened({values, format_of(p.tensor->type), w.extents.rows, w.extents.columns});
            return owner.get();
        };
        repacked result = repacker_ ? repacker_->repack(index, data) : repacked{};
        if (result.owner) {
            owner = std::move(result.owner);
            if (!p.tensor->make) give_back(p.tensor->bytes); // read once, and not again
        } else {
            result.weight = w.extents;
            result.weight.data = data();
            std::size_t const size = bytes_of(w.extents.type, w.extents.size());
            result.bytes = {static_cast<std::byte const*>(result.weight.data), size};
            result.where = owner ? home::memory : home::file;
        }
        *p.weight = result.weight;
        bound_[index] = {w.facts, result.weight.type, result.bytes, result.where};
        if (owner) copies_.push_back(std::move(owner));
    }

    static std::shared_ptr<void const> made(checkpoint::tensor const& tensor, std::size_t size) {
        std::shared_ptr<float[]> const buffer(new float[(size + sizeof(float) - 1) / sizeof(float)]);
        tensor.make({reinterpret_cast<std::byte*>(buffer.get()), size});
        return {buffer, buffer.get()};
    }

    static std::shared_ptr<void const> copied(std::span<std::byte const> bytes) {
        std::shared_ptr<float[]> const buffer(new float[(bytes.size() + sizeof(float) - 1) / sizeof(float)]);
        std::memcpy(buffer.get(), bytes.data(), bytes.size());
        return {buffer, buffer.get()};
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
        if (!p.is_matrix()) return "only matrices are stored in blocks";
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
    repacker* repacker_;
    std::vector<stored_weight> weights_;
    std::vector<pending> pending_; ///< the same ones
    std::vector<bound_weight> bound_;
    std::set<std::string, std::less<>> used_;
    std::vector<std::string> missing_, surplus_, misshapen_;
    std::vector<std::shared_ptr<void const>> copies_;
};

} // namespace llamavision

// SPDX-License-Identifier: Apache-2.0
// The reading `bind`: named tensors become weights<E>. Matrices stay where the checkpoint's bytes lie, in their own
// format; the small rest is widened to floats. Everything that does not fit is reported at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/expression/walk.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/separate.hpp>

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

/// A weight that was repacked or moved, and what keeps its bytes alive. Without an owner it stays as it was.
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
    /// Called once for each, in any order. `data` returns where its bytes lie, and makes them first if they
    /// are made on demand.
    /// @throws format_error naming a weight that is infinite or no number where that would be lost, in integers
    [[nodiscard]] virtual repacked repack(std::size_t index, std::function<void const*()> const& data) = 0;
    /// Called after the last.
    virtual void finish() = 0;
};

/// A weight that is bound.
struct bound_weight {
    weight_facts facts;
    format type;
    weight_layout const* layout; ///< null: rows
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
    void bind(weight_facts const& facts, matrix& to);

    /// Rows of the weight of a part that has a row for each token, as the checkpoint has it: the embedding, the head. 0
    /// if none was bound.
    [[nodiscard]] std::size_t rows_of(model_part part) const;

    /// How many weights were bound.
    [[nodiscard]] std::size_t count() const { return weights_.size(); }

    /// To be called after the last `bind`.
    /// @throws mismatch_error naming every missing, surplus and misshapen tensor
    void check();

    /// Points the bound weights at their bytes, or repacks them. Nothing large happens before all is known to
    /// fit.
    /// @param on_progress called after each matrix
    /// @return what the bound weights point into; the caller keeps it as long as them
    /// @throws as `check`; what the repacker throws
    [[nodiscard]] std::vector<std::shared_ptr<void const>> finish(progress const& on_progress = {});

    /// After `finish`: all weights, in the order in which data flows.
    [[nodiscard]] std::vector<bound_weight> const& bound() const { return bound_; }

    /// The tensor as a weight of that kind, with the tensor's rows if it has one for each token.
    static stored_weight stored(weight_facts facts, checkpoint::tensor const& t);

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

    /// A file may put a tensor at any byte. Kernels need aligned values, so such a tensor is copied.
    static bool is_misaligned(checkpoint::tensor const& t) {
        std::size_t const alignment = t.type == checkpoint::dtype::f32 ? 4 : 2;
        return reinterpret_cast<std::uintptr_t>(t.bytes.data()) % alignment != 0;
    }

  private:
    /// A weight with a row for each token. Fine-tunes add tokens (transformers: resize_token_embeddings).
    struct token_table {
        model_part part;
        std::string name;
        std::vector<std::size_t> shape, wanted;
    };

    struct pending {
        matrix* weight;
        checkpoint::tensor const* tensor;
        std::size_t size; ///< bytes in the checkpoint
    };

    /// What has to be made comes first, the largest before all: while it is repacked it lies in memory twice, and then
    /// little else does.
    [[nodiscard]] std::vector<std::size_t> in_order() const;

    void settle(std::size_t index);

    checkpoint::named_tensors tensors_;
    repacker* repacker_;
    std::vector<stored_weight> weights_;
    std::vector<pending> pending_; ///< the same ones
    std::vector<bound_weight> bound_;
    std::set<std::string, std::less<>> used_;
    std::vector<token_table> tokens_;
    std::vector<std::string> missing_, surplus_, misshapen_;
    std::vector<std::shared_ptr<void const>> copies_;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/expression/bind.ipp>
#endif

// SPDX-License-Identifier: Apache-2.0
// How a tensor of a checkpoint becomes a bound weight: found, compared with what the model wants, and put where kernels
// read it.
#pragma once

#include <algorithm>
#include <cstring>

#include <llamavision/expression/bind.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/pages.hpp>
#include <llamavision/support/shape_text.hpp>

namespace llamavision {

namespace detail {

[[nodiscard]] inline std::shared_ptr<void const> made(checkpoint::tensor const& tensor, std::size_t size) {
    std::shared_ptr<float[]> const buffer(new float[ceil_div(size, sizeof(float))]);
    tensor.make({reinterpret_cast<std::byte*>(buffer.get()), size});
    return {buffer, buffer.get()};
}

[[nodiscard]] inline std::shared_ptr<void const> copied(std::span<std::byte const> bytes) {
    std::shared_ptr<float[]> const buffer(new float[ceil_div(bytes.size(), sizeof(float))]);
    std::memcpy(buffer.get(), bytes.data(), bytes.size());
    return {buffer, buffer.get()};
}

[[nodiscard]] inline std::shared_ptr<void const> widened(matrix const& m) {
    std::shared_ptr<float[]> const floats(new float[m.size()]);
    visit(m, [&](auto values) {
        for (std::size_t i = 0; i < m.size(); ++i)
            floats[static_cast<std::ptrdiff_t>(i)] = static_cast<float>(values[i]);
    });
    return {floats, floats.get()};
}

/// Whether a weight has a row for each token, and so perhaps other rows than the model's.
[[nodiscard]] inline bool has_token_rows(weight_facts const& w) {
    return w.kind.is_matrix() && (w.part == model_part::embedding || w.part == model_part::head);
}

/// "NAME is [2, 3], the model's is [2, 4]"
[[nodiscard]] inline std::string of_other_shape(std::string const& name, std::vector<std::size_t> const& is,
                                                std::vector<std::size_t> const& wanted) {
    return name + " is " + shape_text(is) + ", the model's is " + shape_text(wanted);
}

/// Empty if a weight with rows of so many values can be of this type.
[[nodiscard]] inline std::string why_not(checkpoint::dtype type, parameter const& p, std::size_t columns) {
    if (checkpoint::is_plain_weight(type)) return {};
    if (type != checkpoint::dtype::q8_0 && type != checkpoint::dtype::q4_0)
        return "weights are F32, F16, BF16, Q8_0 or Q4_0";
    if (!p.is_matrix()) return "only matrices are stored in blocks";
    if (columns % checkpoint::block_of(type).values != 0)
        return "rows of " + std::to_string(columns) + " values have no whole blocks of 32";
    return {};
}

[[nodiscard]] inline std::string listed(std::vector<std::string> const& names, std::string const& what) {
    if (names.empty()) return {};
    std::string text = "\n  " + std::to_string(names.size()) + " " + what + ":";
    for (std::string const& n : names) text += "\n    " + n;
    return text;
}

} // namespace detail

LLAMAVISION_INLINE void binder::bind(weight_facts const& facts, matrix& to) {
    std::string const& name = facts.name;
    parameter const& p = facts.kind;
    auto const at = tensors_.tensors.find(name);
    std::vector<std::size_t> shape = shape_of(p);
    if (at == tensors_.tensors.end()) {
        missing_.push_back(name + " " + shape_text(shape));
        return;
    }
    used_.insert(name);
    checkpoint::tensor const& tensor = at->second;
    if (detail::has_token_rows(facts) && tensor.shape.size() == 2) {
        tokens_.push_back({facts.part, name, tensor.shape, shape});
        shape[0] = tensor.shape[0]; // `check` compares the rows
    }
    if (tensor.shape != shape || shape[0] == 0) {
        misshapen_.push_back(detail::of_other_shape(name, tensor.shape, shape));
        return;
    }
    using checkpoint::dtype;
    std::size_t const columns = p.count() / p.shape[0];
    if (std::string const fault = detail::why_not(tensor.type, p, columns); !fault.empty()) {
        misshapen_.push_back(name + " is " + std::string(checkpoint::name_of(tensor.type)) + ", " + fault);
        return;
    }
    std::size_t const size = checkpoint::bytes_of(tensor.type, shape[0] * columns);
    if (!tensor.make && tensor.bytes.size() != size) {
        misshapen_.push_back(name + " " + shape_text(shape) + " has " + std::to_string(tensor.bytes.size())
                             + " bytes, and takes " + std::to_string(size));
        return;
    }
    weights_.push_back(stored(facts, tensor));
    to = weights_.back().extents;
    pending_.push_back({&to, &tensor, size});
}

LLAMAVISION_INLINE std::size_t binder::rows_of(model_part part) const {
    for (token_table const& t : tokens_)
        if (t.part == part) return t.shape[0];
    return 0;
}

LLAMAVISION_INLINE void binder::check() {
    // transformers makes the embedding and the head equally long when it adds tokens. The row of the image must be
    // there.
    std::size_t least = SIZE_MAX;
    bool equal = true;
    for (token_table const& t : tokens_) {
        least = std::min(least, t.wanted[0]);
        equal = equal && t.shape[0] == tokens_.front().shape[0];
    }
    bool const resized = equal && !tokens_.empty() && tokens_.front().shape[0] > least;
    for (token_table const& t : tokens_)
        if (!resized && t.shape != t.wanted) misshapen_.push_back(detail::of_other_shape(t.name, t.shape, t.wanted));
    surplus_.clear();
    for (auto const& [name, tensor] : tensors_.tensors)
        if (!used_.contains(name)) surplus_.push_back(name + " " + shape_text(tensor.shape));
    std::string const problems = detail::listed(missing_, "missing") + detail::listed(misshapen_, "misshapen")
                                 + detail::listed(surplus_, "surplus");
    if (!problems.empty()) throw mismatch_error("the checkpoint's tensors are not the model's:" + problems);
}

LLAMAVISION_INLINE std::vector<std::shared_ptr<void const>> binder::finish(progress const& on_progress) {
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

LLAMAVISION_INLINE stored_weight binder::stored(weight_facts facts, checkpoint::tensor const& t) {
    if (detail::has_token_rows(facts) && t.shape.size() == 2) facts.kind.shape[0] = t.shape[0];
    parameter const p = facts.kind;
    format const type = p.is_matrix() ? format_of(t.type) : format::f32;
    return {std::move(facts),
            {nullptr, type, p.shape[0], p.count() / p.shape[0]},
            !p.is_matrix() || t.make || is_misaligned(t)};
}

LLAMAVISION_INLINE std::vector<std::size_t> binder::in_order() const {
    std::vector<std::size_t> order(pending_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    auto const made = [this](std::size_t i) { return pending_[i].tensor->make ? pending_[i].size : 0; };
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return made(a) > made(b); });
    return order;
}

LLAMAVISION_INLINE void binder::settle(std::size_t index) {
    pending const& p = pending_[index];
    stored_weight const& w = weights_[index];
    std::shared_ptr<void const> owner;
    auto const data = [&]() -> void const* {
        if (p.tensor->make)
            owner = detail::made(*p.tensor, p.size);
        else if (is_misaligned(*p.tensor))
            owner = detail::copied(p.tensor->bytes);
        void const* const values = owner ? owner.get() : p.tensor->bytes.data();
        if (w.facts.kind.is_matrix()) return values;
        owner = detail::widened({values, format_of(p.tensor->type), w.extents.rows, w.extents.columns});
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
    bound_[index] = {w.facts, result.weight.type, result.weight.layout, result.bytes, result.where};
    if (owner) copies_.push_back(std::move(owner));
}

} // namespace llamavision

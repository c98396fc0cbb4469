// SPDX-License-Identifier: Apache-2.0
// How a session reads: what each row sees, and what happens when reading fails.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <llamavision/runtime/session.hpp>

namespace llamavision {

LLAMAVISION_INLINE session::session(std::shared_ptr<network const> net, session_options options)
    : network_(std::move(net)), options_(options) {
    config::text_numbers const& n = network_->numbers().text;
    if (options_.context == 0) options_.context = std::min<std::size_t>(n.context, 8192);
    if (options_.context > n.context)
        throw argument_error("a context of " + std::to_string(options_.context) + " positions: the model has "
                             + std::to_string(n.context));
    if (options_.chunk == 0) throw argument_error("a chunk has at least one row");
    options_.chunk = std::min(options_.chunk, options_.context);
    std::size_t const head_dim = n.width / n.heads;
    frequencies_ = rope_frequencies(n.rope, head_dim);
    cache_.layers = n.layers - n.cross_layers.size();
    cache_.capacity = options_.context;
    cache_.width = n.kv_heads * head_dim;
    // Left uninitialised on purpose: pages that no position reaches cost nothing.
    cache_.stride = network_->cache_floats(cache_.capacity);
    storage_ = network_->allocate(cache_.layers * 2 * cache_.stride * sizeof(float));
    cache_.data = reinterpret_cast<float*>(storage_.get());
    reserve(options_.chunk, 1, false);
    logits_.resize(n.vocabulary);
    if (network_->chooses()) logits_there_ = network_->allocate(n.vocabulary * sizeof(float));
    ids_.reserve(options_.context);
}

LLAMAVISION_INLINE void session::append(std::span<token const> ids, std::span<image_ptr const> images,
                                        read_options const& options) {
    check(ids, images.size());
    for (image_ptr const& image : images) check(image.get());
    undo const on_failure(*this);
    for (image_ptr const& image : images) images_.push_back(image);
    std::size_t const chunk = options.watch ? std::max<std::size_t>(ids.size(), 1) : options_.chunk;
    std::size_t const chunks = (ids.size() + chunk - 1) / chunk;
    for (std::size_t i = 0; i < chunks; ++i) {
        std::span<token const> const part = ids.subspan(i * chunk, std::min(chunk, ids.size() - i * chunk));
        read_options inner = options;
        if (options.on_progress)
            inner.on_progress = [&](std::size_t done, std::size_t total) {
                options.on_progress(i * total + done, chunks * total);
            };
        look(part, false);
        read(part, options.watch ? part.size() : i + 1 == chunks ? 1 : 0, inner);
    }
    prompt_images_ += images.size();
    on_failure.release();
}

LLAMAVISION_INLINE void session::append_generated(token id, read_options const& options) {
    check({&id, 1}, 0);
    undo const on_failure(*this);
    look({&id, 1}, true);
    read({&id, 1}, 1, options);
    on_failure.release();
}

LLAMAVISION_INLINE void session::check(std::span<token const> ids, std::size_t images) const {
    if (ids.size() > options_.context - ids_.size())
        throw context_error("the context holds " + std::to_string(options_.context) + " tokens; "
                            + std::to_string(ids_.size()) + " are in it and " + std::to_string(ids.size())
                            + " more do not fit");
    auto const limit = static_cast<token>(vocabulary() + config::extra_tokens);
    for (token const id : ids)
        if (id < 0 || id >= limit)
            throw argument_error("token id " + std::to_string(id) + " is outside the vocabulary of "
                                 + std::to_string(vocabulary()));
    auto const places = static_cast<std::size_t>(std::count(ids.begin(), ids.end(), image_id()));
    if (places != images)
        throw argument_error("places for images in the text: " + std::to_string(places)
                             + ", images given: " + std::to_string(images));
}

LLAMAVISION_INLINE void session::check(encoded_image const* image) const {
    config::numbers const& n = network_->numbers();
    if (!image || image->memory.layers.size() != n.text.cross_layers.size())
        throw argument_error("the image was not encoded by this session's model");
    if (remembers_padding() && image->grid_rows * image->grid_columns < n.vision.tiles && !image->memory.padded_rows)
        throw argument_error("Hugging Face's reading needs the padded tiles of an image: encode it with "
                             "remember_padding");
}

LLAMAVISION_INLINE void session::look(std::span<token const> part, bool generated) {
    sights_.clear();
    seen_.clear();
    for (image_ptr const& image : images_) seen_.push_back(&image->memory);
    bool const blind = generated && options_.reading == parity::meta && prompt_images_ > 1;
    for (std::size_t r = 0; r < part.size(); ++r) {
        if (part[r] == image_id()) {
            token const before = r > 0 ? part[r - 1] : ids_.empty() ? token{-1} : ids_.back();
            if (before != image_id()) run_begin_ = run_end_;
            ++run_end_;
        }
        bool const leak = run_end_ == 0 && options_.reading == parity::hugging_face;
        std::size_t const begin = leak ? 0 : run_begin_, end = leak ? seen_.size() : blind ? run_begin_ : run_end_;
        std::span<image_memory const* const> const images(seen_.data() + begin, end - begin);
        bool const same = !sights_.empty() && sights_.back().images.data() == images.data()
                          && sights_.back().images.size() == images.size() && sights_.back().leak == leak;
        if (same)
            ++sights_.back().rows;
        else
            sights_.push_back({r, 1, images, leak});
    }
}

LLAMAVISION_INLINE void session::reserve(std::size_t rows_in, std::size_t logit_rows, bool watched) {
    std::size_t const need = network_->read_scratch(rows_in, logit_rows, watched);
    if (need > scratch_size_) {
        scratch_ = network_->allocate(need * sizeof(float));
        scratch_size_ = need;
    }
    angles_.resize(std::max(angles_.size(), 2 * rows_in * frequencies_.size()));
}

LLAMAVISION_INLINE void session::make_room(std::size_t logit_rows) {
    std::size_t const old = logits_.size() - vocabulary(), now = (logit_rows - 1) * vocabulary();
    if (now > old) logits_.resize(now + vocabulary());
    if (now != old) std::copy_n(logits_.data() + old, vocabulary(), logits_.data() + now);
    logits_.resize(now + vocabulary());
}

LLAMAVISION_INLINE void session::bring_logits() const {
    if (!logits_are_there_) return;
    logits_.resize(vocabulary());
    network_->download(logits_there_.get(), std::as_writable_bytes(std::span(logits_)));
    logits_are_there_ = false;
}

LLAMAVISION_INLINE token session::choose(tokens::sampler& by, std::shared_ptr<void>& memory) {
    if (logits_are_there_) {
        tokens::sampling const& s = by.settings();
        choosing how;
        how.temperature = s.greedy ? 0 : s.temperature;
        how.top_p = s.top_p;
        how.top_k = s.top_k;
        how.penalty = static_cast<float>(s.repetition_penalty);
        how.forbidden = by.forbidden();
        how.history = ids_;
        how.random = by.random().state();
        chosen const next = network_->choose(memory, how, reinterpret_cast<float const*>(logits_there_.get()));
        if (next.id >= 0) {
            by.random() = random_bits::at(next.random);
            return next.id;
        }
    }
    return by(logits(), ids_);
}

LLAMAVISION_INLINE void session::read(std::span<token const> part, std::size_t logit_rows,
                                      read_options const& options) {
    if (options.watch) reserve(part.size(), logit_rows, true); // all rows at once, all logits, nothing fused
    if (logit_rows) make_room(logit_rows);
    std::size_t const first = ids_.size(), half = part.size() * frequencies_.size();
    rope_angles(frequencies_, first, part.size(), angles_.data(), angles_.data() + half);
    text_rows text;
    text.first = first;
    text.count = part.size();
    text.logit_rows = logit_rows;
    text.cos = angles_.data();
    text.sin = angles_.data() + half;
    text.cache = cache_;
    text.sights = sights_;
    text.lists = &lists_;
    text.tape = &tape_;
    bool const stay = logits_there_ && !options.watch;
    if (stay) text.logits_there = reinterpret_cast<float*>(logits_there_.get());
    std::span<float> const scratch(reinterpret_cast<float*>(scratch_.get()), scratch_size_);
    network_->read(text, part, logits_, scratch, options);
    if (logit_rows) logits_are_there_ = stay;
    ids_.insert(ids_.end(), part.begin(), part.end());
}

} // namespace llamavision

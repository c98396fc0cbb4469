// SPDX-License-Identifier: Apache-2.0
// How a session takes memory, what each of its rows sees, and how it goes back when reading fails.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/runtime/conversation/session.hpp>
#include <llamavision/support/out_of_memory.hpp>
#include <llamavision/support/size_text.hpp>

namespace llamavision {

LLAMAVISION_INLINE session::session(std::shared_ptr<network const> net, session_options options)
    : network_(std::move(net)), options_(std::move(options)) {
    config::text_numbers const& n = network_->numbers().text;
    if (options_.context == 0) options_.context = network_->planned().context;
    static_cast<void>(settled({options_.context}, n)); // no more than the model's
    if (options_.chunk == 0) throw argument_error("a chunk has at least one row");
    options_.chunk = std::min(options_.chunk, options_.context);
    if (options_.work && &options_.work->net() != network_.get())
        throw argument_error("the workspace is another model's");
    cache_.layers = n.layers - n.cross_layers.size();
    cache_.capacity = options_.context;
    cache_.width = n.kv_heads * (n.width / n.heads);
    cache_.stride = network_->cache_floats(cache_.capacity);
    naming_refused_memory("opening a session", [&] { allocate(); });
}

LLAMAVISION_INLINE void session::allocate() {
    std::size_t const cache = cache_.layers * 2 * cache_.stride * sizeof(float),
                      scratch = options_.work ? 0 : network_->read_scratch(options_.chunk, 1, false) * sizeof(float),
                      left = network_->memory_left();
    if (cache + scratch > left)
        throw memory_error("a session of " + std::to_string(options_.context) + " positions takes "
                           + size_text(cache + scratch) + " of memory, and " + size_text(left)
                           + " are left beside the weights; a smaller session_options::context (--context) takes less");
    work_ = options_.work ? options_.work : std::make_shared<workspace>(network_);
    // Left uninitialised on purpose: the system gives no pages to positions that are never reached.
    storage_ = network_->allocate(cache);
    cache_.data = reinterpret_cast<float*>(storage_.get());
    work_->reserve(options_.chunk, 1);
    for (kept_logits* l : {&logits_, &next_logits_}) {
        l->host.resize(vocabulary());
        if (network_->chooses()) l->device = network_->allocate(vocabulary() * sizeof(float));
    }
    ids_.reserve(options_.context);
}

LLAMAVISION_INLINE void session::append(std::span<token const> ids, std::span<image_ptr const> images,
                                        read_options const& options) {
    input const all{this, ids, images};
    append_together({&all, 1}, options);
}

LLAMAVISION_INLINE void session::append_generated(token id, read_options const& options) {
    input const all{this, {&id, 1}, {}, true};
    append_together({&all, 1}, options);
}

LLAMAVISION_INLINE void session::append_together(std::span<input const> all, read_options const& options) {
    check(all);
    naming_refused_memory("reading text", [&] { read_together(all, options); });
}

LLAMAVISION_INLINE void session::read_together(std::span<input const> all, read_options const& options) {
    undo on_failure(all);
    std::size_t rows = 0;
    for (input const& p : all) {
        p.to->images_.insert(p.to->images_.end(), p.images.begin(), p.images.end());
        rows += p.ids.size();
    }
    std::size_t const chunk = options.watch ? rows : all.empty() ? 0 : all.front().to->options_.chunk;
    std::size_t const passes = rows == 0 ? 0 : (rows + chunk - 1) / chunk;
    pass_kind const kind{bool(options.watch), passes == 1};
    std::span<input const> left = all;
    std::size_t at = 0; // of the first input that is left
    for (std::size_t i = 0; i < passes; ++i) {
        workspace& work = *all.front().to->work_;
        work.clear();
        while (!left.empty() && work.rows() < chunk) {
            input const& p = left.front();
            std::span<token const> const part = p.ids.subspan(at, std::min(chunk - work.rows(), p.ids.size() - at));
            at += part.size();
            bool const ends = at == p.ids.size();
            if (!part.empty()) p.to->join(work, part, p.generated, kind.watched ? part.size() : ends ? 1 : 0, kind);
            if (!ends) break;
            left = left.subspan(1);
            at = 0;
        }
        if (kind.only || !options.on_progress) {
            work.read(options);
            continue;
        }
        read_options inner = options;
        inner.on_progress = [&](std::size_t done, std::size_t total) {
            options.on_progress(i * total + done, passes * total);
        };
        work.read(inner);
    }
    for (input const& p : all) p.to->keep(p, kind);
    on_failure.release();
}

LLAMAVISION_INLINE void session::check(std::span<input const> all) {
    for (input const& p : all) {
        if (!p.to) throw argument_error("an input names no session to read it");
        if (p.to->network_ != all.front().to->network_)
            throw argument_error("sessions of different models cannot read together");
        for (input const* before = all.data(); before != &p; ++before)
            if (before->to == p.to) throw argument_error("a session reads one input at a time");
        p.to->check(p.ids, p.images.size());
        for (image_ptr const& image : p.images) p.to->check(image.get());
    }
}

LLAMAVISION_INLINE void session::check(std::span<token const> ids, std::size_t images) const {
    if (ids.size() > options_.context - ids_.size())
        throw context_error("the context holds " + std::to_string(options_.context) + " tokens; "
                            + std::to_string(ids_.size()) + " are in it and " + std::to_string(ids.size())
                            + " more do not fit");
    auto const limit = static_cast<token>(network_->tokens().embedding);
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
    if (!image || !network_->sees() || image->encoder != network_->encoder_mark())
        throw argument_error("the image was not encoded by this session's model, nor by one with the same "
                             "configuration, weights, formats and backend");
    if (remembers_padding() && image->grid_rows * image->grid_columns < n.vision.tiles && !image->memory.padded_rows)
        throw argument_error("Hugging Face's reading needs the padded tiles of an image: encode it with "
                             "remember_padding");
}

LLAMAVISION_INLINE void session::go_back() {
    ids_.resize(before_.length);
    images_.resize(before_.images);
    run_begin_ = before_.run_begin;
    run_end_ = before_.run_end;
}

LLAMAVISION_INLINE void session::add_visibility(workspace& work, std::span<token const> part, bool generated) {
    std::vector<image_visibility>& visibility = work.visibility_;
    std::size_t const first = work.rows();
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
        bool const same = !visibility.empty() && visibility.back().images.data() == images.data()
                          && visibility.back().images.size() == images.size() && visibility.back().leak == leak;
        if (same)
            ++visibility.back().rows;
        else
            visibility.push_back({first + r, 1, images, leak});
    }
}

LLAMAVISION_INLINE std::vector<float> const& session::on_host(kept_logits const& l) const {
    if (l.on_device) {
        l.host.resize(vocabulary());
        network_->download(l.device.get(), std::as_writable_bytes(std::span(l.host)));
        l.on_device = false;
    }
    return l.host;
}

LLAMAVISION_INLINE token session::choose(tokens::sampler& by, std::shared_ptr<void>& memory) {
    if (logits_.on_device) {
        tokens::sampling const& s = by.settings();
        choosing how;
        how.temperature = s.temperature;
        how.top_p = s.top_p;
        how.top_k = s.top_k;
        how.penalty = static_cast<float>(s.repetition_penalty);
        how.forbidden = by.forbidden();
        how.history = ids_;
        how.random = by.random().state();
        chosen const next = network_->choose(memory, how, reinterpret_cast<float const*>(logits_.device.get()));
        if (next.id >= 0) {
            by.random() = random_bits::at(next.random);
            return next.id;
        }
    }
    return by(logits(), ids_);
}

LLAMAVISION_INLINE void session::join(workspace& work, std::span<token const> part, bool generated,
                                      std::size_t logit_rows, pass_kind kind) {
    add_visibility(work, part, generated);
    segment next{part.size(), ids_.size(), logit_rows, cache_};
    if (logit_rows > 0) {
        next_logits_.on_device = next_logits_.device && !kind.watched;
        if (next_logits_
                .on_device) // a pass writes them last of all, so that the only one may write over the ones before
            next.device_logits = reinterpret_cast<float*>((kind.only ? logits_ : next_logits_).device.get());
        else
            next_logits_.host.resize(logit_rows * vocabulary());
        next.logits = next_logits_.host.data();
    }
    work.add(part, next);
    ids_.insert(ids_.end(), part.begin(), part.end());
}

LLAMAVISION_INLINE void session::keep(input const& read, pass_kind kind) {
    if (!read.generated) prompt_images_ += read.images.size();
    if (read.ids.empty()) return;
    std::swap(logits_, next_logits_);
    if (kind.only) std::swap(logits_.device, next_logits_.device); // they were written where the ones before lay
}

} // namespace llamavision

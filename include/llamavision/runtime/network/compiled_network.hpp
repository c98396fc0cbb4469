// SPDX-License-Identifier: Apache-2.0
// The network of one model on one backend: where the expression, its weights and a backend meet. It knows of the model
// that it reads text, and perhaps encodes pictures; all else it asks the expression.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/memory.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/model/flops.hpp>
#include <llamavision/model/model_of.hpp>
#include <llamavision/runtime/images/encoder_identity.hpp>
#include <llamavision/runtime/network/compiled_encoder.hpp>
#include <llamavision/runtime/network/compiled_reader.hpp>
#include <llamavision/runtime/network/memory_budget.hpp>
#include <llamavision/runtime/network/network.hpp>
#include <llamavision/runtime/network/options.hpp>
#include <llamavision/runtime/weights/measure.hpp>
#include <llamavision/runtime/weights/repacking.hpp>
#include <llamavision/runtime/weights/stages.hpp>

namespace llamavision {

/// Immutable once it is bound; its verbs may be called from several threads at once if the backend's kernels may.
template <network_model M, backend B>
class compiled_network final : public network {
    struct nothing {};

  public:
    /// @param tensors the checkpoint under the names of the model's weights
    /// @throws mismatch_error naming every tensor that is missing, surplus or misshapen; memory_error with the figures,
    ///         before anything large is allocated, if the weights and `options.planned` take more than the budget;
    ///         argument_error for a context beyond the model's; format_error naming a tensor that is kept in integers
    ///         and has a value that is infinite or no number; what packed_file throws
    compiled_network(checkpoint::named_tensors tensors, B kernels, network_options const& options = {})
        : compiled_network(std::move(kernels), options.formats, tensors, !options.packed.file.empty()) {
        if (options.positions > 0) numbers_.text.context = options.positions;
        planned_ = settled(options.planned, numbers_.text);
        weight_repacker<B> repack(backend_, formats_, options.packed);
        binder bind = bound(std::move(tensors), &repack);
        auto const shares = share_memory(plan(256, planned_.conversations), planned_, options, owns_memory<B>);
        ledger_ = std::make_shared<memory_ledger>(shares.sessions);
        if (owns_memory<B> && options.host_memory_budget > 0)
            check_host_memory(weight_memory_, options.host_memory_budget, options.beyond_memory);
        owners_ = bind.finish(options.on_repack);
        bound_ = bind.bound();
        if constexpr (encodes<M>)
            if (encoder_) encoder_->check_padding();
        if (!owns_memory<B> && shares.mapped < weight_memory_.mapped) stream_from_files(shares.mapped);
    }

    /// What the model would take, from names, types and shapes alone: no weight is read, made or repacked.
    /// @throws mismatch_error as the constructor
    [[nodiscard]] static memory_plan planned(checkpoint::named_tensors tensors, B kernels, std::size_t rows) {
        compiled_network net(std::move(kernels), {}, tensors, false);
        static_cast<void>(net.bound(std::move(tensors), nullptr));
        return net.plan(rows);
    }

    [[nodiscard]] std::string_view name() const override { return M::configured::name; }
    [[nodiscard]] std::string_view backend_name() const override { return backend_.name(); }
    [[nodiscard]] config::numbers const& numbers() const override { return numbers_; }
    [[nodiscard]] token_rows tokens() const override { return tokens_; }
    [[nodiscard]] totals size() const override { return count_of<M>(); }
    [[nodiscard]] std::string architecture() const override { return describe_of<M>(); }

    [[nodiscard]] double image_flops([[maybe_unused]] std::size_t tiles,
                                     [[maybe_unused]] bool collapsed) const override {
        if constexpr (encodes<M>)
            return llamavision::image_flops<M>(tiles, collapsed);
        else
            return 0;
    }
    [[nodiscard]] double read_flops(std::size_t before, std::size_t count, std::size_t image_rows) const override {
        return llamavision::read_flops<M>(before, count, image_rows);
    }
    [[nodiscard]] std::size_t cache_floats(std::size_t capacity) const override {
        return reader_.cache_floats(capacity);
    }
    using network::plan;
    [[nodiscard]] memory_plan plan(std::size_t rows, std::size_t conversations) const override {
        memory_plan m;
        m.weights = weight_memory_;
        if constexpr (encodes<M>)
            if (encoder_) {
                m.encode_scratch = encoder_->scratch_bytes();
                m.image = encoder_->image_bytes();
            }
        m.cache_per_position = reader_.cache_per_position();
        m.read_scratch = reader_.scratch(rows, conversations, false) * sizeof(float);
        m.kernels = working_memory(rows);
        m.logits = 2 * tokens_.head * sizeof(float);
        m.rows = rows;
        m.conversations = conversations;
        return m;
    }
    [[nodiscard]] planned_use planned() const override { return planned_; }
    [[nodiscard]] std::size_t memory_left() const override { return ledger_->left(); }
    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::size_t bytes) const override {
        return memory_ledger::take(ledger_, bytes, [&] { return llamavision::allocate(backend_, bytes); });
    }
    void upload(std::span<std::byte const> from, std::byte* to) const override {
        llamavision::upload(backend_, from.data(), from.size(), to);
    }
    void download(std::byte const* from, std::span<std::byte> to) const override {
        llamavision::download(backend_, from, to.size(), to.data());
    }

    [[nodiscard]] bool sees() const override { return bool(encoder_); }
    [[nodiscard]] std::shared_ptr<encoded_image const> encode(image::tiles const& tiles,
                                                              encode_options const& options) const override {
        must_see();
        if constexpr (encodes<M>) return encoder_->encode(tiles, options, *this);
        return nullptr;
    }
    [[nodiscard]] std::shared_ptr<encoded_image> blank_image(std::size_t grid_rows, std::size_t grid_columns,
                                                             encode_options const& options) const override {
        must_see();
        if constexpr (encodes<M>) return encoder_->blank(grid_rows, grid_columns, options, *this);
        return nullptr;
    }
    [[nodiscard]] std::string encoder_identity() const override { return identified(identity_, SIZE_MAX); }
    [[nodiscard]] std::string encoder_mark() const override { return identified(mark_, 4096); } // a page

    [[nodiscard]] std::size_t read_scratch(std::size_t rows, std::size_t logit_rows, bool watched) const override {
        return reader_.scratch(rows, logit_rows, watched);
    }
    void read(text_rows text, std::span<token const> ids, std::span<float> scratch,
              read_options const& options) const override {
        arena memory(scratch);
        reader_.read(text, memory, ids.data(), options);
    }

    [[nodiscard]] bool chooses() const override { return llamavision::chooses<B>; }
    [[nodiscard]] chosen choose([[maybe_unused]] std::shared_ptr<void>& memory, [[maybe_unused]] choosing const& how,
                                [[maybe_unused]] float const* logits) const override {
        if constexpr (llamavision::chooses<B>)
            return backend_.choose(memory, how, logits, tokens_.head);
        else
            return {};
    }

  private:
    using reader_type = compiled_reader<M, B>;
    template <class Model, bool Encodes = encodes<Model>>
    struct encoder_of {
        using type = nothing;
    };
    template <class Model>
    struct encoder_of<Model, true> {
        using type = compiled_encoder<Model, B>;
    };

    /// The halves without weights; how much memory the weights will take is known.
    compiled_network(B kernels, weight_formats const& formats, checkpoint::named_tensors const& tensors, bool packed)
        : backend_(std::move(kernels)), formats_(formats), reader_(backend_, formats_.self != weight_format::stored) {
        if constexpr (encodes<M>)
            if (!checkpoint::is_text_alone(tensors))
                encoder_.emplace(backend_, reader_.bound_weights(), formats_.vision != weight_format::stored,
                                 formats_.cross != weight_format::stored);
        std::vector<weight_facts> const all = all_weights<M>(sees());
        weight_memory_ = measure_weights(backend_, all, tensors, formats_, packed);
    }

    /// Of the kernels, for tokens and for a picture of all tiles.
    [[nodiscard]] std::size_t working_memory([[maybe_unused]] std::size_t rows) const {
        std::size_t bytes = 0;
        if constexpr (has_working_memory<B>) {
            auto const shape = [](auto const& of, std::size_t kv_heads) {
                return attention_shape{of.heads, kv_heads, of.width / of.heads};
            };
            auto const& text = numbers_.text;
            bytes = backend_.working_memory(rows, shape(text, text.kv_heads), std::max(text.width, text.mlp));
            if constexpr (encodes<M>)
                if (encoder_) {
                    auto const& vision = numbers_.vision;
                    std::size_t const widest = std::max({vision.width, vision.mlp, encoder_->features_width});
                    // Keys of each tile are a key block, which a layout may fill up to 32 rows.
                    std::size_t const all = encoder_->most_rows() + 32 * vision.tiles;
                    bytes = std::max(bytes, backend_.working_memory(all, shape(vision, vision.heads), widest));
                }
        }
        return bytes;
    }

    void must_see() const {
        if (!sees())
            throw image_error(encodes<M> ? "the checkpoint holds the text model alone, which sees no pictures"
                                         : "the model reads text alone, and sees no pictures");
    }

    /// The weights know their tensors, which were found to fit; the encoder's come first.
    [[nodiscard]] binder bound(checkpoint::named_tensors tensors, repacker* repack) {
        binder bind(std::move(tensors), repack);
        if constexpr (encodes<M>)
            if (encoder_) bind.bind(M::encoder, encoder_->weights_to_bind());
        of_encoder_ = bind.count();
        bind.bind(M::reader, reader_.weights_to_bind());
        bind.check();
        std::size_t const head = bind.rows_of(model_part::head);
        tokens_ = {bind.rows_of(model_part::embedding), head};
        reader_.set_logits(head);
        return bind;
    }

    /// @param budget bytes of mapped weights that may stay in memory; they go to the reader
    void stream_from_files(std::size_t budget) {
        std::span<bound_weight const> const all = bound_;
        if constexpr (encodes<M>)
            if (encoder_) encoder_->stream(stages_of(all.first(of_encoder_), compiled_encoder<M, B>::depth));
        reader_.stream(stages_of(all.subspan(of_encoder_), reader_type::depth), budget);
    }

    /// What encoding depends on beside the weights, and the hash of all of it.
    std::string const& identified(known_identity& as, [[maybe_unused]] std::size_t sample) const {
        must_see();
        return as.get([&] {
            if constexpr (encodes<M>) {
                std::string const how = std::string(name_of(formats_.vision)) + (encoder_->kept() ? ", kept" : "");
                std::vector<bound_weight const*> read;
                for (bound_weight const& w : bound_)
                    if (w.facts.of_image) read.push_back(&w);
                return identify_encoder(backend_, name(), how, read, sample);
            } else
                return std::string();
        });
    }

    B backend_;
    weight_formats formats_;
    reader_type reader_;
    std::optional<typename encoder_of<M>::type> encoder_; ///< absent where the checkpoint is the text model alone
    weight_memory weight_memory_;
    config::numbers numbers_ = config::numbers_of<typename M::configured>();
    token_rows tokens_ = network::tokens();
    planned_use planned_ = settled({}, numbers_.text);
    std::shared_ptr<memory_ledger> ledger_ = std::make_shared<memory_ledger>(SIZE_MAX); ///< of sessions and pictures
    std::vector<std::shared_ptr<void const>> owners_;
    std::vector<bound_weight> bound_;
    std::size_t of_encoder_ = 0; ///< how many of them are the encoder's, which come first
    mutable known_identity identity_, mark_;
};

/// The network of the model whose numbers C has.
template <configuration C, backend B>
using network_of = compiled_network<model_of<C>, B>;

} // namespace llamavision

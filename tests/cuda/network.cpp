// SPDX-License-Identifier: Apache-2.0
// Whole networks on the cuda backend: what flows, what is kept, and what is recorded for the next token.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "emulation/device.hpp"
#include <llamavision/backend/cuda/dispatch/divided.hpp>
#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/runtime/conversation/session.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>
#include <llamavision/support/size_text.hpp>

#include "../checkpoint/temporary_folder.hpp"
#include "../support/message.hpp"
#include "../support/small.hpp"

#if defined(LLAMAVISION_CUDA)
#include <llamavision/backend/cuda/cuda.hpp>
#endif

namespace lv = llamavision;

namespace {

/// Heads of 80 in the tower, and of 128 in the text: those for which tensor cores have a kernel.
struct wide_heads : small {
    static constexpr std::string_view name = "wide heads";
    struct vision : small::vision {
        static constexpr std::size_t width = 160;
        static constexpr std::size_t tile = 16; // 17 tokens
    };
    struct text : small::text {
        static constexpr std::size_t width = 512, heads = 4, kv_heads = 2;
    };
};

using emulated = lv::gpu::device_backend<lv::gpu::emulated_device>;
struct on_host {
    static bool usable() { return true; }
    static emulated backend() { return emulated(lv::gpu::emulated_device()); }
};
#if defined(LLAMAVISION_CUDA)
struct on_gpu {
    static bool usable() {
        if (lv::cuda::devices() > 0) return true;
        MESSAGE("skipped: no device");
        return false;
    }
    static lv::cuda backend() { return lv::cuda(); }
};
#define ALL_DEVICES on_host, on_gpu
#else
#define ALL_DEVICES on_host
#endif

constexpr lv::weight_formats all_in(lv::weight_format f) { return lv::weight_formats::divided(f, f); }

template <class C, class B>
std::shared_ptr<lv::network const> make(B backend, lv::weight_format f = lv::weight_format::stored) {
    return std::make_shared<lv::network_of<C, B>>(random_weights<C>(1), std::move(backend),
                                                  lv::network_options{.formats = all_in(f)});
}

using ids = std::vector<lv::token>;

/// A conversation about two pictures: logits after the prompt, and after each of the tokens that the other network
/// finds most likely.
struct talk {
    lv::session session;

    template <class C>
    talk(std::shared_ptr<lv::network const> const& net, C, lv::parity reading) : session(net, {0, 8, reading}) {
        lv::encode_options look;
        look.remember_padding = true;
        std::vector<lv::session::image_ptr> const images{net->encode(random_tiles(1, 1, C::vision::tile, 1), look),
                                                         net->encode(random_tiles(1, 2, C::vision::tile, 2), look)};
        lv::token const image = session.image_id();
        session.append(ids{1, 2, image, 3, 4, 5, image, 6, 7, 8, 9, 10}, images);
    }
    [[nodiscard]] lv::token likely() const {
        auto const all = session.logits();
        return static_cast<lv::token>(std::max_element(all.begin(), all.end()) - all.begin());
    }
};

double apart(std::span<float const> a, std::span<float const> b) {
    REQUIRE(a.size() == b.size());
    double worst = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        size = std::max(size, std::abs(static_cast<double>(b[i])));
    }
    return worst / size;
}

template <class C, class B>
void compare(B const& backend, lv::weight_format f, double bound, bool same_tokens) {
    auto const there = make<C>(backend, f), here = make<C>(lv::scalar{});
    for (lv::parity reading : {lv::parity::usual, lv::parity::meta, lv::parity::hugging_face}) {
        CAPTURE(static_cast<int>(reading));
        talk a(there, C{}, reading), b(here, C{}, reading);
        for (int k = 0; k < 8; ++k) {
            CHECK(apart(a.session.logits(), b.session.logits()) < bound);
            lv::token const next = b.likely();
            if (same_tokens) CHECK(a.likely() == next);
            a.session.append_generated(next);
            b.session.append_generated(next);
        }
    }
}

} // namespace

TYPE_TO_STRING(on_host);
#if defined(LLAMAVISION_CUDA)
TYPE_TO_STRING(on_gpu);
#endif

TEST_CASE_TEMPLATE("stored weights: the scalar backend's logits to 1e-5, and its tokens", D, ALL_DEVICES) {
    if (!D::usable()) return;
    compare<small>(D::backend(), lv::weight_format::stored, 1e-5, true);
    compare<wide_heads>(D::backend(), lv::weight_format::stored, 1e-5, true);
}

// What rounding explains: 2⁻⁹ for each factor of a product of 16 bits, in about ten layers one after the other; a q8
// value is off by 1/254 of its block's largest, a q4 value by 1/16.
TEST_CASE_TEMPLATE("16, 8 and 4 bits: logits as near as their rounding explains", D, ALL_DEVICES) {
    if (!D::usable()) return;
    compare<small>(D::backend(), lv::weight_format::bf16, 0.05, false);
    compare<wide_heads>(D::backend(), lv::weight_format::bf16, 0.05, false);
    compare<wide_heads>(D::backend(), lv::weight_format::q8, 0.05, false);
    compare<wide_heads>(D::backend(), lv::weight_format::q4, 0.7, false);
}

TEST_CASE("GPUs before bfloat16: the same, in f16, with tensor cores for attention or without") {
    for (lv::gpu::cores const with : {lv::gpu::cores::f16, lv::gpu::cores::none}) {
        emulated const backend{lv::gpu::emulated_device({.tensor_cores = with})};
        compare<wide_heads>(backend, lv::weight_format::bf16, 0.01, false);
    }
}

TEST_CASE_TEMPLATE("the same bits from run to run", D, ALL_DEVICES) {
    if (!D::usable()) return;
    auto const net = make<wide_heads>(D::backend(), lv::weight_format::bf16);
    talk a(net, wide_heads{}, lv::parity::usual), b(net, wide_heads{}, lv::parity::usual);
    for (lv::token t : {3, 4, 5}) {
        CHECK(std::equal(a.session.logits().begin(), a.session.logits().end(), b.session.logits().begin()));
        a.session.append_generated(t);
        b.session.append_generated(t);
    }
}

TEST_CASE("a token's pass is recorded once and played after that, until something but the position changes") {
    lv::weight_format f{};
    double bound = 0;
    SUBCASE("16 bits") { f = lv::weight_format::bf16, bound = 0.02; }
    SUBCASE("weights, and keys, as stored") { f = lv::weight_format::stored, bound = 1e-5; }
    emulated const backend = on_host::backend();
    auto const net = make<small>(backend, f);
    auto const& device = backend.device();
    lv::session s(net, {0, 8, lv::parity::usual}), all(net, {0, 64, lv::parity::usual});
    ids text{1, 2, 3, 4, 5};
    s.append(text);
    for (int k = 0; k < 30; ++k) {
        lv::token const next = static_cast<lv::token>(k % 40);
        s.append_generated(next);
        text.push_back(next);
    }
    CHECK(device.played() == 29);
    all.append(text); // in one go: nothing is recorded
    CHECK(apart(s.logits(), all.logits()) < bound);

    lv::session::image_ptr const image = net->encode(random_tiles(1, 1, small::vision::tile), {});
    s.append(ids{s.image_id(), 2}, {{image}});
    std::size_t const before = device.played();
    s.append_generated(1); // another key: the picture is in sight now
    CHECK(device.played() == before);
    s.append_generated(2);
    CHECK(device.played() == before + 1);
    all.append(ids{s.image_id(), 2, 1, 2}, {{image}});
    CHECK(apart(s.logits(), all.logits()) < bound);

    s.reset(); // and back again, from the first position
    s.append(ids{1, 2, 3});
    s.append_generated(4);
    lv::session fresh(net, {0, 64, lv::parity::usual});
    fresh.append(ids{1, 2, 3, 4});
    CHECK(apart(s.logits(), fresh.logits()) < bound);
}

TEST_CASE_TEMPLATE("tokens are chosen where the logits are made, and are the sampler's", D, ALL_DEVICES) {
    if (!D::usable()) return;
    auto const net = make<small>(D::backend(), lv::weight_format::bf16);
    REQUIRE(net->chooses());
    lv::tokens::sampling greedy, drawn, penalised;
    greedy.temperature = 0;
    drawn.seed = penalised.seed = 5;
    penalised.repetition_penalty = 1.5;
    penalised.top_k = 9;
    for (lv::tokens::sampling const& s : {greedy, drawn, penalised}) {
        lv::session there(net, {0, 3, lv::parity::usual}), here(net, {0, 3, lv::parity::usual});
        lv::tokens::sampler by(s, {2, 3}), on_the_host(s, {2, 3});
        std::shared_ptr<void> memory;
        there.append(ids{1, 2, 3, 4, 5});
        here.append(ids{1, 2, 3, 4, 5});
        for (int k = 0; k < 12; ++k) {
            lv::token const expected = on_the_host(here.logits(), here.ids());
            CHECK(there.choose(by, memory) == expected);
            CHECK(by.random().state() == on_the_host.random().state());
            if (k % 4 == 0) CHECK(std::equal(there.logits().begin(), there.logits().end(), here.logits().begin()));
            there.append_generated(expected);
            here.append_generated(expected);
        }
    }
}

TEST_CASE("a failing pass leaves the last row's logits where they are") {
    auto const net = make<small>(on_host::backend(), lv::weight_format::bf16);
    lv::session s(net, {0, 8, lv::parity::usual}), same(net, {0, 8, lv::parity::usual});
    s.append(ids{1, 2, 3});
    same.append(ids{1, 2, 3});
    lv::read_options stopped;
    std::stop_source source;
    source.request_stop();
    stopped.stop = source.get_token();
    CHECK_THROWS_AS(s.append(ids{4, 5}, {}, stopped), lv::cancelled);
    CHECK(std::equal(s.logits().begin(), s.logits().end(), same.logits().begin()));
}

namespace {

/// Conversations of different lengths, every third about the same picture, read together and each on its own.
struct company {
    std::shared_ptr<lv::network const> net;
    std::vector<lv::session> together, alone;

    company(std::shared_ptr<lv::network const> n, std::size_t count) : net(std::move(n)) {
        auto const work = std::make_shared<lv::workspace>(net);
        lv::session::image_ptr const image = net->encode(random_tiles(1, 2, small::vision::tile), {});
        for (std::size_t i = 0; i < count; ++i) {
            together.emplace_back(net, lv::session_options{40, 128, lv::parity::usual, work});
            alone.emplace_back(net, lv::session_options{40, 128, lv::parity::usual});
            ids text{static_cast<lv::token>(i % 40), 7};
            for (std::size_t k = 0; k < i % 5; ++k) text.push_back(static_cast<lv::token>(k + i % 30));
            if (i % 3 == 1) text.push_back(together[i].image_id());
            for (auto* s : {&together[i], &alone[i]})
                s->append(text, i % 3 == 1 ? std::vector{image} : std::vector<lv::session::image_ptr>{});
        }
    }
    /// A token for each of the first so many.
    void read(std::size_t count, int step) {
        ids next(count);
        std::vector<lv::session::input> all;
        for (std::size_t i = 0; i < count; ++i) {
            next[i] = static_cast<lv::token>((static_cast<std::size_t>(step) * 7 + i) % 40);
            alone[i].append_generated(next[i]);
            all.push_back({&together[i], {&next[i], 1}, {}, true});
        }
        lv::session::append_together(all);
    }
    [[nodiscard]] double farthest() const {
        double worst = 0;
        for (std::size_t i = 0; i < together.size(); ++i)
            worst = std::max(worst, apart(together[i].logits(), alone[i].logits()));
        return worst;
    }
};

} // namespace

TEST_CASE_TEMPLATE("several conversations together say what they say alone", D, ALL_DEVICES) {
    if (!D::usable()) return;
    for (auto const& [f, bound] : {std::pair{lv::weight_format::stored, 1e-5}, {lv::weight_format::bf16, 0.02}})
        for (std::size_t count : {2u, 20u, 66u}) { // in one launch, in several, and more than are recorded
            CAPTURE(count);
            company c(make<small>(D::backend(), f), count);
            for (int step = 0; step < 3; ++step) {
                c.read(count, step);
                CHECK(c.farthest() < bound);
            }
        }
}

TEST_CASE("a pass of several conversations is recorded while its members stay, whatever their positions") {
    lv::weight_format f{};
    double bound = 0;
    SUBCASE("16 bits") { f = lv::weight_format::bf16, bound = 0.02; }
    SUBCASE("weights, and keys, as stored") { f = lv::weight_format::stored, bound = 1e-5; }
    emulated const backend = on_host::backend();
    auto const& device = backend.device();
    company c(make<small>(backend, f), 20);
    auto const played = [&](std::size_t count, int step) {
        std::size_t const before = device.played();
        c.read(count, step);
        return device.played() - before - count; // each on its own is played, too
    };
    c.read(20, 0); // recorded, as are those on their own
    for (int step = 1; step < 6; ++step) CHECK(played(20, step) == 1);
    CHECK(played(19, 6) == 0); // one has left
    CHECK(played(19, 7) == 1);
    CHECK(c.farthest() < bound);
}

TEST_CASE("layers that stay in the host's memory are multiplied there") {
    using both = lv::gpu::divided_backend<lv::gpu::emulated_device, lv::simd>;
    for (std::size_t layers : {0u, 2u, 5u})
        for (auto const f : {lv::weight_format::stored, lv::weight_format::q8}) {
            CAPTURE(layers);
            both const backend(on_host::backend(), lv::simd(std::size_t{2}), layers);
            compare<wide_heads>(backend, f, f == lv::weight_format::stored ? 1e-5 : 0.05,
                                f == lv::weight_format::stored);
            lv::weight_memory const m = make<wide_heads>(backend, f)->plan(8).weights;
            lv::weight_memory const undivided = make<wide_heads>(on_host::backend(), f)->plan(8).weights;
            CHECK((m.mapped + m.host > undivided.host) == (layers < 5));
            CHECK(m.own > 0);
            CHECK(backend.device().played() == 0);
        }
    std::size_t const whole = make<wide_heads>(on_host::backend(), lv::weight_format::q8)->plan(8).weights.own;
    both const none(on_host::backend(), lv::simd(std::size_t{1}), 0);
    CHECK(make<wide_heads>(none, lv::weight_format::q8)->plan(8).weights.own < whole);
}

TEST_CASE("what stays in the host's memory must fit into it, and is refused with the figures before it is laid out") {
    using both = lv::gpu::divided_backend<lv::gpu::emulated_device, lv::simd>;
    temporary_folder const folder;
    both const backend(on_host::backend(), lv::simd(std::size_t{1}), 2);
    auto const load = [&](std::size_t room, bool packed, bool beyond, lv::weight_format f) {
        lv::network_options how;
        how.formats = all_in(f);
        how.host_memory_budget = room;
        how.beyond_memory = beyond;
        if (packed) how.packed = {folder.path() / "packed", "random 1"};
        return lv::network_of<wide_heads, both>(random_weights<wide_heads>(1), backend, how).plan(8).weights;
    };
    auto const refused = [&](auto... how) {
        return message_of<lv::memory_error>([&] { static_cast<void>(load(how...)); });
    };
    using enum lv::weight_format;
    lv::weight_memory const own = load(0, false, false, q8), files = load(0, true, false, q8);
    CHECK(load(own.host + own.mapped, false, false, q8).own == own.own);
    std::string const message = refused(own.host - 1, false, false, q8);
    CHECK(message.starts_with("what the model leaves to the CPU takes " + lv::size_text(own.host)
                              + " of the machine's memory, and " + lv::size_text(own.host - 1) + " are available; "));
    CHECK(message.ends_with("a file of packed weights (load_options::packed, --packed) is read as it is needed"));
    CHECK(refused(own.host - 1, false, true, q8) == message); // memory, wherever it is read from

    CHECK(load(files.host + files.mapped, true, false, q8).own == own.own);
    CHECK(refused(files.host + files.mapped - 1, true, false, q8)
              .find("(of which " + lv::size_text(files.mapped) + " lie in files)")
          != std::string::npos);
    CHECK(load(files.host + files.mapped - 1, true, true, q8).mapped == files.mapped);
}

TEST_CASE("what stays in the host's memory is packed; a picture is known again by all that it was encoded with") {
    using both = lv::gpu::divided_backend<lv::gpu::emulated_device, lv::simd>;
    temporary_folder const folder;
    auto const make_packed = [&](std::size_t layers, std::string const& file) {
        lv::network_options how;
        how.formats = all_in(lv::weight_format::q8);
        if (!file.empty()) how.packed = {folder.path() / file, "random 1"};
        both const backend(on_host::backend(), lv::simd(std::size_t{2}), layers);
        return std::make_shared<lv::network_of<wide_heads, both>>(random_weights<wide_heads>(1), backend, how);
    };
    auto const plain = make_packed(2, {}), first = make_packed(2, "packed"), second = make_packed(2, "packed");
    lv::weight_memory const in_memory = plain->plan(8).weights, in_file = second->plan(8).weights;
    CHECK(in_file.own == in_memory.own);
    CHECK(in_file.mapped > 0);
    CHECK(in_file.mapped + in_file.host == in_memory.mapped + in_memory.host);
    talk a(plain, wide_heads{}, lv::parity::usual);
    for (auto const& net : {first, second}) {
        talk b(net, wide_heads{}, lv::parity::usual);
        CHECK(std::equal(a.session.logits().begin(), a.session.logits().end(), b.session.logits().begin()));
    }
    CHECK_THROWS_AS(make_packed(both::all, "none"), lv::argument_error);
    CHECK(second->encoder_identity() == plain->encoder_identity());
    CHECK(make_packed(1, {})->encoder_identity() != plain->encoder_identity());
}

TEST_CASE_TEMPLATE("weights, caches and pictures are planned in the device's memory", D, ALL_DEVICES) {
    if (!D::usable()) return;
    auto const net = make<wide_heads>(D::backend(), lv::weight_format::q4);
    lv::memory_plan const plan = net->plan(256);
    CHECK(plan.weights.mapped == 0);
    CHECK(plan.weights.own > 0);
    CHECK(plan.cache_per_position == 3 * 2 * 2 * 128 * 2); // layers; keys and values; heads; values; bytes
}

#if defined(LLAMAVISION_CUDA)
TEST_CASE("a device that is not there is told in one sentence") {
    std::string message;
    try {
        lv::cuda const none(lv::cuda_options{99});
    } catch (lv::device_error const& fault) { message = fault.what(); }
    bool const found = lv::cuda::devices() > 0;
    CHECK((found ? message.starts_with("there is no CUDA device 99: this machine has ")
                 : message.starts_with("no CUDA device: ")));
    CHECK(message.find('\n') == std::string::npos);
}
#endif

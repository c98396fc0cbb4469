// SPDX-License-Identifier: Apache-2.0
// Weights in a packed file: made once, then mapped, and streamed if memory is short; always with the same answers.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#if defined(__unix__)
#include <sys/resource.h>
#endif

#include <llamavision/runtime/weights/packed_file.hpp>
#include <llamavision/runtime/weights/stages.hpp>

#include "../checkpoint/temporary_folder.hpp"
#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;
namespace fs = std::filesystem;

namespace {

/// All that a network outputs: of a picture, and after some text about it.
/// @param image the picture, encoded before; null: it is encoded here
std::vector<float> answers_of(std::shared_ptr<lv::network const> const& net, lv::session::image_ptr image = nullptr,
                              std::size_t context = 0) {
    if (!image) image = net->encode(random_tiles(1, 2, small::vision::tile), {});
    lv::session s(net, {context, 4, lv::parity::usual});
    s.append(id_list{1, 64, 2, 3, 4, 5, 6}, image_list{image});
    std::vector<float> all = copy(s.logits());
    for (lv::token const id : {7, 8, 9}) {
        s.append_generated(id);
        std::vector<float> const more = copy(s.logits());
        all.insert(all.end(), more.begin(), more.end());
    }
    return all;
}

std::vector<lv::packed_weight> const two{{"a", 100}, {"b", 5000}};

/// Makes the file, if it does not exist, with all bytes the same. Returns whether it existed.
bool made_before(fs::path const& path, std::string const& source, std::vector<lv::packed_weight> const& weights,
                 char byte = 'x') {
    lv::packed_file file(path, source, weights);
    bool const complete = file.complete();
    for (std::size_t i = 0; i < weights.size(); ++i) {
        CHECK(file[i].size() == weights[i].bytes);
        CHECK(reinterpret_cast<std::uintptr_t>(file[i].data()) % 64 == 0);
        if (complete) continue;
        std::fill(file[i].begin(), file[i].end(), static_cast<std::byte>(byte));
        file.filled(i);
    }
    file.commit();
    for (std::size_t i = 0; i < weights.size(); ++i)
        for (std::byte const b : file[i]) REQUIRE(b == static_cast<std::byte>(byte));
    return complete;
}

} // namespace

TEST_CASE("a packed file is made once for the same source and weights") {
    temporary_folder const folder;
    auto const path = folder.path() / "packed";
    CHECK_FALSE(made_before(path, "model", two));
    CHECK(made_before(path, "model", two));
    CHECK_FALSE(made_before(path, "another model", two, 'y'));
    CHECK_FALSE(made_before(path, "model", {{"a", 100}, {"c", 5000}}));
    CHECK_FALSE(made_before(path, "model", {{"a", 100}, {"c", 5001}}));
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("a file that is not complete is made anew") {
    temporary_folder const folder;
    auto const path = folder.path() / "packed";
    {
        lv::packed_file const abandoned(path, "model", two);
        CHECK_FALSE(fs::exists(path));
    }
    CHECK(fs::is_empty(folder.path()));
    CHECK_FALSE(made_before(path, "model", two));
    std::string const whole = text_of_file(path);
    for (std::string const& content : {whole.substr(0, whole.size() - 1), whole + "x", whole.substr(0, 4096),
                                       whole.substr(0, 40), "llamavision packed weights 2\n" + whole, std::string()}) {
        std::ofstream(path, std::ios::binary) << content;
        CHECK_FALSE(made_before(path, "model", two));
    }
}

TEST_CASE("a file of another kind is not replaced") {
    temporary_folder const folder;
    auto const refused = [&](fs::path const& path) {
        return message_of<lv::file_error>([&] { lv::packed_file(path, "model", two); });
    };
    CHECK(contains(refused(folder.write("photo.jpg", "a photo")), "is no file of packed weights"));
    CHECK(text_of_file(folder.path() / "photo.jpg") == "a photo");
    CHECK(contains(refused(folder.path()), "is no file of packed weights"));
    CHECK(contains(refused(folder.path() / "none" / "packed"), "cannot be opened"));
    auto const huge = std::vector<lv::packed_weight>{{"a", std::size_t{1} << 60}};
    CHECK(contains(message_of<lv::file_error>([&] { lv::packed_file(folder.path() / "huge", "model", huge); }),
                   "there is no room"));
    CHECK_FALSE(fs::exists(folder.path() / "huge"));
}

#if defined(__unix__)
TEST_CASE("a packed file beyond the process' limit of a file is refused, and leaves nothing") {
    temporary_folder const folder;
    std::vector<lv::packed_weight> const large{{"a", std::size_t{1} << 40}};
    struct ::rlimit usual {};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &usual) == 0);
    struct ::rlimit less = usual;
    less.rlim_cur = std::size_t{1} << 39;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &less) == 0);
    std::string const said = message_of<lv::file_error>(
        [&] { return lv::packed_file(folder.path() / "packed", "model", large).complete(); });
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &usual) == 0);
    CHECK(contains(said, "takes 1099511631872 bytes, and files of this process at most 549755813888"));
    CHECK(fs::is_empty(folder.path()));
}
#endif

TEST_CASE("a network from a packed file gives the same logits, and makes no weights a second time") {
    temporary_folder const folder;
    lv::network_options packed;
    packed.packed = {folder.path() / "wide", "random 1"};
    std::vector<float> const wanted = answers_of(wide_network(1));
    std::size_t made = 0;
    auto const first = wide_network(1, packed, &made);
    std::size_t const all = made;
    CHECK(answers_of(first) == wanted);
    made = 0;
    auto const second = wide_network(1, packed, &made);
    CHECK(answers_of(second) == wanted);
    CHECK(all > 0);
    CHECK(made == 0);
    lv::weight_memory const in_memory = wide_network(1)->plan(8).weights, in_file = second->plan(8).weights;
    CHECK(in_memory.mapped == 0);
    CHECK(in_file.mapped == in_memory.own);
    CHECK(in_file.own == 0);
    CHECK(in_file.decoded == in_memory.decoded);
    CHECK(second->encoder_identity() == wide_network(1)->encoder_identity());
    packed.packed.source = "random 2";
    CHECK(answers_of(wide_network(2, packed)) == answers_of(wide_network(2)));
}

TEST_CASE("a packed file of another backend is made anew") {
    temporary_folder const folder;
    lv::network_options packed;
    packed.packed = {folder.path() / "wide", "random 1"};
    std::vector<float> const wanted = answers_of(wide_network(1));
    std::size_t made = 0;
    static_cast<void>(wide_network(1, packed));
    CHECK(answers_of(wide_network_elsewhere(packed, &made)) == wanted);
    CHECK(made > 0);
    made = 0;
    static_cast<void>(wide_network_elsewhere(packed, &made));
    CHECK(made == 0);
    CHECK(answers_of(wide_network(1, packed, &made)) == wanted);
    CHECK(made > 0);
}

TEST_CASE("weights beyond memory are refused with the figures, or streamed with the same answers") {
    temporary_folder const folder;
    lv::network_options packed;
    packed.packed = {folder.path() / "wide", "random 1"};
    std::vector<float> const wanted = answers_of(wide_network(1, packed));
    lv::memory_plan const plan = wide_network(1, packed)->plan(256);
    std::size_t const wide_context = wide_network(1)->planned().context;
    for (std::size_t const part : {0u, 1u, 2u, 3u}) { // nothing stays, a few layers, half, nearly all
        packed.memory_budget = plan.own(wide_context) + plan.weights.mapped * part / 4 + 1;
        packed.beyond_memory = false;
        std::string const message = message_of<lv::memory_error>([&] { return wide_network(1, packed)->plan(8).rows; });
        CHECK(contains(message, "lie in files"));
        CHECK(contains(message, "--beyond-memory"));
        packed.beyond_memory = true;
        auto const net = wide_network(1, packed);
        CHECK(answers_of(net) == wanted);
        // Three users at a time: their short contexts fit together into what was planned for a long one.
        auto const image = net->encode(random_tiles(1, 2, small::vision::tile), {});
        std::vector<std::vector<float>> answers(3);
        std::vector<std::thread> users;
        for (auto& a : answers) users.emplace_back([&] { a = answers_of(net, image, 32); });
        for (std::thread& user : users) user.join();
        for (auto const& a : answers) CHECK(a == wanted);
    }
    packed.memory_budget = plan.own(wide_context) + plan.weights.mapped;
    packed.beyond_memory = false;
    CHECK(answers_of(wide_network(1, packed)) == wanted);
    packed.memory_budget = 100;
    CHECK(contains(message_of<lv::memory_error>([&] { return wide_network(1, packed)->plan(8).rows; }), "--packed"));
}

TEST_CASE("which layer reads which weights") {
    std::vector<std::byte> const bytes(1000);
    std::vector<lv::bound_weight> encoder, reader;
    auto const bind = [&](auto half, std::vector<lv::bound_weight>& all) {
        for (lv::weight_facts const& w : lv::all_weights(half))
            all.push_back({w, lv::format::bf16, nullptr, std::span(bytes).subspan(all.size(), 1),
                           w.kind.is_matrix() ? lv::home::file : lv::home::memory});
    };
    bind(lv::mllama<small>.encoder, encoder);
    bind(lv::mllama<small>.reader, reader);
    auto const names = [&](std::vector<lv::bound_weight> const& all,
                           std::vector<lv::weight_stream::stage> const& list) {
        std::vector<std::vector<std::string>> found;
        for (auto const& stage : list) {
            found.emplace_back();
            for (auto const& s : stage)
                found.back().push_back(all[static_cast<std::size_t>(s.data() - bytes.data())].facts.name);
        }
        return found;
    };
    auto const tower = names(encoder, lv::stages_of(encoder, 5)), text = names(reader, lv::stages_of(reader, 5));
    REQUIRE(tower.size() == 6);
    CHECK(tower[0].front() == "vision_model.patch_embedding.weight"); // before the first layer
    CHECK(tower[0].back() == "vision_model.transformer.layers.0.mlp.fc2.weight");
    CHECK(tower[3]
          == std::vector<std::string>{"vision_model.post_tile_positional_embedding.embedding.weight",
                                      "vision_model.global_transformer.layers.0.self_attn.q_proj.weight",
                                      "vision_model.global_transformer.layers.0.self_attn.k_proj.weight",
                                      "vision_model.global_transformer.layers.0.self_attn.v_proj.weight",
                                      "vision_model.global_transformer.layers.0.self_attn.o_proj.weight",
                                      "vision_model.global_transformer.layers.0.mlp.fc1.weight",
                                      "vision_model.global_transformer.layers.0.mlp.fc2.weight"});
    CHECK(tower[5] == std::vector<std::string>{"multi_modal_projector.weight"});
    REQUIRE(text.size() == 6);
    CHECK(text[0].front() == "language_model.model.layers.0.self_attn.q_proj.weight"); // no table of tokens
    CHECK(text[1].front() == "language_model.model.layers.1.cross_attn.q_proj.weight");
    CHECK(text[4].size() == 7);
    CHECK(text[5] == std::vector<std::string>{"language_model.lm_head.weight"});
}

TEST_CASE("a stream keeps the first layers that fit beside the three in work") {
    std::vector<std::byte> const bytes(10 * 4096, std::byte{7}); // in no file: nothing of it may be dropped
    std::vector<lv::weight_stream::stage> stages(10);
    for (std::size_t i = 0; i < 10; ++i) stages[i] = {std::span(bytes).subspan(i * 4096, 4096)};
    for (std::size_t const room : {0u, 3u, 4u, 7u, 20u}) {
        lv::weight_stream const stream(stages, room * 4096);
        CHECK(stream.kept() == (room < 3 ? 0 : std::min<std::size_t>(room - 3, 10)));
        for (std::size_t pass = 0; pass < 3; ++pass)
            for (std::size_t i = 0; i < 10; ++i) {
                stream.enter(i);
                std::this_thread::sleep_for(std::chrono::milliseconds(1)); // so that the reader sees most of them
            }
    }
    CHECK(std::count(bytes.begin(), bytes.end(), std::byte{7}) == 10 * 4096);
}

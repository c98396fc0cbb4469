// SPDX-License-Identifier: Apache-2.0
// The products and the attention of laid-out weights at the shapes of the 11B model, on one thread and on all, each
// beside the loop of its instruction or the plain read, and beside oneDNN and OpenBLAS where those are installed
// (OPENBLAS_CORETYPE=SkylakeX where OpenBLAS does not know the processor). `rows` shorter than the model's 6432 keep a
// round short on a busy machine; pass --long for all of them.
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <llamavision/support/aligned_bytes.hpp>

#include "limits.hpp"

#if defined(LLAMAVISION_WITH_DNNL)
#include <dnnl.hpp>
#include <omp.h>
#endif
#if defined(LLAMAVISION_WITH_OPENBLAS)
#include <cblas.h>
extern "C" void openblas_set_num_threads(int threads);
#endif

namespace {

using namespace limits;

struct product {
    char const* name;
    std::size_t rows, columns, outputs;
    std::size_t weights = 1; ///< that share the outputs, and the rows when these are rounded
    [[nodiscard]] double operations() const {
        return 2.0 * static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(outputs);
    }
};

/// Compared with reading where few rows make the weights' traffic the limit.
void against_limit(benchmark::State& state, product const& p, kind what, double weight_bytes, simd const& b,
                   std::function<void()> const& f) {
    if (p.rows <= 8)
        compare(
            state, b.threads() == 1, "GB/s", weight_bytes, [&] { return reading(b); }, f);
    else
        compare(
            state, b.threads() == 1, "GF/s", p.operations(), [&] { return operations(b, what); }, f);
}

/// Floats where a cache line begins, as a model's activations lie.
class activations {
  public:
    explicit activations(std::size_t count, float value = 0.0f)
        : room_(aligned_bytes(count * sizeof(float))), count_(count) {
        std::fill_n(data(), count, value);
    }
    [[nodiscard]] float* data() const { return reinterpret_cast<float*>(room_.get()); }
    [[nodiscard]] std::size_t size() const { return count_; }

  private:
    std::shared_ptr<std::byte> room_;
    std::size_t count_;
};

/// A product's weight, laid out for a backend.
struct weight {
    std::shared_ptr<std::byte> room;
    llamavision::matrix matrix;
    double bytes;

    weight(product const& p, weight_format f, simd const& b) {
        std::vector<bf16> const stored(p.outputs * p.columns, bf16{0x3c00});
        llamavision::matrix const w{stored.data(), format::bf16, p.outputs, p.columns};
        room = aligned_bytes(b.repacked_bytes(w, f));
        matrix = b.repack(w, f, room.get());
        bytes = static_cast<double>(b.repacked_bytes(w, f));
    }
};

void linear(benchmark::State& state, product const& p, weight_format f, simd const& b) {
    activations const x(p.rows * p.columns, 0.5f), y(p.rows * p.outputs);
    std::vector<weight> laid;
    std::vector<projection> of;
    double bytes = 0;
    for (std::size_t i = 0; i < p.weights; ++i) {
        weight const& w = laid.emplace_back(product{p.name, p.rows, p.columns, p.outputs / p.weights}, f, b);
        of.push_back({w.matrix, y.data() + i * (y.size() / p.weights), false});
        bytes += w.bytes;
    }
    against_limit(state, p, f == weight_format::i8 ? kind::integers : kind::bf16, bytes, b,
                  [&] { b.fused_projections(of, x.data(), p.rows, {}); });
}

/// The same, with rows that were rounded and laid out before: what oneDNN is given, and does.
void rounded(benchmark::State& state, product const& p, weight_format f, simd const& b) {
    bool const integers = f == weight_format::i8;
    weight const laid(p, f, b);
    activations const x(p.rows * p.columns, 0.5f), y(p.rows * p.outputs);
    thread_pool pool(b.threads());
    panel_table const& t = simd_tables::panels_of(b.level());
    panels::rounded_rows const rows(pool, t, integers, x.data(), &norms::read, 0, p.rows, p.columns);
    panels::product const one{&laid.matrix, nullptr, {finish::plain, nullptr, 1, y.data()}};
    against_limit(state, p, integers ? kind::integers : kind::bf16, laid.bytes, b,
                  [&] { panels::compute(pool, t, one, rows, 0, p.rows); });
}

void attend(benchmark::State& state, attention_shape const& shape, std::size_t rows, std::size_t keys, simd const& b) {
    activations const q(rows * shape.heads * shape.head_dim, 0.1f), k(keys * shape.kv_heads * shape.head_dim, 0.2f);
    activations const y(q.size());
    std::size_t const floats = b.kept_floats(shape, keys);
    std::shared_ptr<std::byte> const room = aligned_bytes(2 * floats * sizeof(float));
    auto* const kept = reinterpret_cast<float*>(room.get());
    key_block block = {k.data(), k.data(), nullptr, keys};
    if (rows <= 64) { // text finds them kept
        float* const values = kept + floats;
        kept_rows const place{keys, 0, keys, kept, values};
        b.keep(shape, k.data(), k.data(), {&place, 1});
        block = {kept, values, nullptr, keys, keys};
    }
    query_group const group = {0, rows, {&block, 1}, false};
    product const p = {"", rows, shape.heads * keys, 2 * shape.head_dim};
    against_limit(state, p, kind::bf16, static_cast<double>(2 * floats * sizeof(float)), b, [&] {
        b.attend(q.data(), shape, {&group, 1}, y.data());
    });
}

#if defined(LLAMAVISION_WITH_DNNL)
/// x (rows, columns) in bf16 or bytes, as if somebody had rounded it before, times weights laid out as oneDNN likes.
void onednn(benchmark::State& state, product const& p, kind what, simd const& b) {
    using namespace dnnl;
    omp_set_num_threads(static_cast<int>(b.threads()));
    engine const cpu(engine::kind::cpu, 0);
    stream s(cpu);
    using type = memory::data_type;
    auto const rows = static_cast<memory::dim>(p.rows), k = static_cast<memory::dim>(p.columns),
               n = static_cast<memory::dim>(p.outputs);
    bool const integers = what == kind::integers;
    memory::desc const x({rows, k}, integers ? type::u8 : type::bf16, memory::format_tag::ab);
    memory::desc const w({k, n}, integers ? type::s8 : type::bf16, memory::format_tag::any);
    memory::desc const y({rows, n}, type::f32, memory::format_tag::ab);
    matmul::primitive_desc const chosen(matmul::desc(x, w, y), cpu);
    matmul const multiply(chosen);
    memory xs(x, cpu), ws(chosen.weights_desc(), cpu), ys(y, cpu);
    std::memset(xs.get_data_handle(), 1, xs.get_desc().get_size());
    std::memset(ws.get_data_handle(), 1, ws.get_desc().get_size());
    against_limit(state, p, what, static_cast<double>(ws.get_desc().get_size()), b, [&] {
        multiply.execute(s, {{DNNL_ARG_SRC, xs}, {DNNL_ARG_WEIGHTS, ws}, {DNNL_ARG_DST, ys}});
        s.wait();
    });
    state.SetLabel(chosen.impl_info_str());
}
#endif

#if defined(LLAMAVISION_WITH_OPENBLAS)
void openblas(benchmark::State& state, product const& p, simd const& b) {
    openblas_set_num_threads(static_cast<int>(b.threads()));
    activations const x(p.rows * p.columns, 0.5f), w(p.outputs * p.columns, 0.25f), y(p.rows * p.outputs);
    auto const m = static_cast<int>(p.rows), n = static_cast<int>(p.outputs), k = static_cast<int>(p.columns);
    against_limit(state, p, kind::floats, static_cast<double>(w.size() * sizeof(float)), b, [&] {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, x.data(), k, w.data(), k, 0, y.data(), n);
    });
}
#endif

} // namespace

int main(int argc, char** argv) {
    bool longer = false;
    for (int i = 1; i < argc; ++i) longer = longer || std::string_view(argv[i]) == "--long";
    std::size_t const tower = longer ? 6432 : 512;
    product const products[] = {{"vision_fc1", tower, 1280, 5120},    {"vision_fc2", tower, 5120, 1280},
                                {"vision_qkv", tower, 1280, 3840, 3}, {"vision_o", tower, 1280, 1280},
                                {"projector", tower, 7680, 4096},     {"prefill_gate", 64, 4096, 14336},
                                {"prefill_down", 64, 14336, 4096},    {"decode_gate", 1, 4096, 14336},
                                {"decode_8_rows", 8, 4096, 14336},    {"decode_down", 1, 14336, 4096}};
    for (std::size_t const threads : {std::size_t{1}, std::size_t{0}}) {
        std::string const who = threads == 1 ? "/1_thread" : "/all_threads";
        auto const add = [&](std::string const& name, auto const& f) {
            benchmark::RegisterBenchmark((name + who).c_str(), f)->UseManualTime()->Unit(benchmark::kMillisecond);
        };
        for (product const& p : products) {
            for (tier const level : all_tiers) {
                if (!available(level)) continue;
                simd const b(simd_options{threads, level, nullptr});
                for (weight_format const f : {weight_format::bf16, weight_format::i8})
                    if (f == weight_format::bf16 || level >= tier::avx512_bf16)
                        add(std::string(p.name) + "/" + std::string(name_of(f)) + "/" + std::string(name_of(level)),
                            [p, f, b](benchmark::State& state) { linear(state, p, f, b); });
            }
            simd const best(threads);
            for (weight_format const f : {weight_format::bf16, weight_format::i8})
                if (p.rows > 8 && p.rows <= 512 && best.level() >= tier::avx512_bf16)
                    add(std::string(p.name) + "/" + std::string(name_of(f)) + "/rounded_before",
                        [p, f, best](benchmark::State& state) { rounded(state, p, f, best); });
#if defined(LLAMAVISION_WITH_DNNL)
            add(std::string(p.name) + "/bf16/onednn",
                [p, best](benchmark::State& state) { onednn(state, p, kind::bf16, best); });
            add(std::string(p.name) + "/i8/onednn",
                [p, best](benchmark::State& state) { onednn(state, p, kind::integers, best); });
#endif
#if defined(LLAMAVISION_WITH_OPENBLAS)
            add(std::string(p.name) + "/f32/openblas",
                [p, best](benchmark::State& state) { openblas(state, p, best); });
#endif
        }
        add("pool/empty_region", [threads](benchmark::State& state) {
            thread_pool pool(threads);
            for ([[maybe_unused]] auto const& round : state)
                state.SetIterationTime(seconds(false, [&] {
                    for (int i = 0; i < 1000; ++i) pool.run(2 * pool.threads(), [](std::size_t) {});
                }));
            state.counters["regions/s"] = benchmark::Counter(1000, benchmark::Counter::kIsIterationInvariantRate);
        });
        for (tier const level : all_tiers) {
            if (!available(level)) continue;
            simd const b(simd_options{threads, level, nullptr});
            std::string const suffix = "/" + std::string(name_of(level));
            add("attend/vision" + suffix, [tower, b](benchmark::State& state) {
                attend(state, {16, 16, 80, true}, tower, 6432, b);
            });
            add("attend/prefill_image" + suffix, [b](benchmark::State& state) {
                attend(state, {32, 8, 128, true}, 64, 6404, b);
            });
            add("attend/decode_image" + suffix, [b](benchmark::State& state) {
                attend(state, {32, 8, 128, true}, 1, 6404, b);
            });
        }
    }
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}

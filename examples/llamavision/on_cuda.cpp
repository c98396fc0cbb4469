// SPDX-License-Identifier: Apache-2.0
// Compiles the models for GPUs, if this program is built with the cuda backend.
#include "on_cuda.hpp"

#include <string_view>
#include <utility>

#include <llamavision/support/error.hpp>

#if defined(LLAMAVISION_CUDA)
#include <charconv>
#include <cstdint>
#include <vector>

#include <llamavision/backend/cuda/cuda.hpp>
#include <llamavision/backend/cuda/dispatch/divided.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>

#include "console.hpp"
#include "known_models.hpp"
#endif

namespace lv = llamavision;

namespace program {

#if defined(LLAMAVISION_CUDA)

namespace {

/// The GPU, and the CPU for what does not fit.
using both = lv::gpu::divided_backend<lv::gpu::cuda_device, lv::simd>;

both open(model_settings const& s) {
    lv::cuda_options options;
    std::size_t const colon = s.device.find(':');
    if (colon != std::string::npos)
        std::from_chars(s.device.data() + colon + 1, s.device.data() + s.device.size(), options.device);
    return {lv::cuda(options), lv::simd(s.threads), s.gpu_layers.value_or(both::all)};
}

/// The limits of the device at this time: copying a gigabyte, and one large product of each kind.
class cuda_probe {
  public:
    explicit cuda_probe(both const& gpu) : gpu_(gpu), from_(gpu.allocate(bytes)), to_(gpu.allocate(bytes)) {
        // Usual numbers, as floats and as pairs of bfloat16: products of zeros would be faster.
        std::vector<std::uint32_t> values(std::size_t{1} << 22);
        std::uint32_t seed = 1;
        for (std::uint32_t& w : values) {
            seed = seed * 1664525u + 1013904223u;
            std::uint32_t const number = 0x3f80u | (seed >> 16 & 0x7fu) | (seed >> 31 << 15); // 1 to 2, either sign
            w = number << 16 | number;
        }
        std::size_t const piece = values.size() * sizeof(values[0]);
        for (std::size_t at = 0; at < bytes; at += piece) gpu_.upload(values.data(), piece, from_.get() + at);
    }

    [[nodiscard]] limits measure() const {
        limits l;
        auto const& device = gpu_.device();
        l.read = 2 * static_cast<double>(bytes) / seconds([&] { device.copy(from_.get(), bytes, to_.get()); });
        l.f32 = product(lv::format::f32);
        if (device.tensor_cores() == lv::gpu::cores::bf16)
            l.bf16 = product(lv::format::bf16);
        else
            l.f16 = product(lv::format::f16);
        return l;
    }

  private:
    static constexpr std::size_t bytes = std::size_t{1} << 30, side = 8192;

    template <class F>
    [[nodiscard]] double seconds(F const& f) const {
        f(); // the first call also chooses an algorithm
        gpu_.wait();
        stopwatch watch;
        for (int i = 0; i < 5; ++i) f();
        gpu_.wait();
        return watch.seconds() / 5;
    }
    [[nodiscard]] double product(lv::format type) const {
        lv::gpu::many_rows p;
        p.type = type;
        p.w = from_.get();
        p.x = from_.get() + bytes / 2;
        p.outputs = p.rows = p.columns = p.stride = side;
        p.y = reinterpret_cast<float*>(to_.get());
        return 2.0 * side * side * side / seconds([&] { gpu_.device().multiply(p); });
    }

    both gpu_;
    std::shared_ptr<std::byte> from_, to_;
};

template <lv::configuration... C>
std::shared_ptr<lv::network const> bind(lv::configurations<C...>, both const& gpu, std::string_view name,
                                        lv::checkpoint::named_tensors tensors, lv::network_options const& how) {
    std::shared_ptr<lv::network const> net;
    auto const attempt = [&]<class Config>(std::type_identity<Config>) {
        if (!net && name == Config::name)
            net = std::make_shared<lv::network_of<Config, both> const>(std::move(tensors), gpu, how);
    };
    (attempt(std::type_identity<C>{}), ...);
    return net;
}

} // namespace

lv::model load_on_cuda(model_settings const& s, std::filesystem::path const& path, lv::load_options const& options) {
    return lv::load_any(known{}, path, open(s), options);
}

cuda_bench open_cuda_bench(model_settings const& s) {
    both const gpu = open(s);
    return {gpu.device().model(), [gpu] { return cuda_probe(gpu).measure(); }, [gpu] { return gpu.available(); },
            [gpu](std::string_view name, lv::checkpoint::named_tensors tensors, lv::network_options const& how) {
                return bind(known{}, gpu, name, std::move(tensors), how);
            }};
}

#else

namespace {
[[noreturn]] void refuse(std::string const& device) {
    throw lv::device_error("--device " + device + ": this program was built without the cuda backend");
}
} // namespace

lv::model load_on_cuda(model_settings const& s, std::filesystem::path const&, lv::load_options const&) {
    refuse(s.device);
}
cuda_bench open_cuda_bench(model_settings const& s) { refuse(s.device); }

#endif

} // namespace program

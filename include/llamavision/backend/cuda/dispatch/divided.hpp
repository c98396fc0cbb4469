// SPDX-License-Identifier: Apache-2.0
// For models that are larger than the GPU's memory. The products of some layers of the text stay in the host's memory
// and are computed by the CPU; everything else, caches and attention included, is on the GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/cuda/dispatch/device_backend.hpp>

namespace llamavision::gpu {

/// For the products on the CPU, activations are copied to the host and back: a few rows for each token.
template <class Device, class Host>
class divided_backend : public device_backend<Device> {
    static_assert(fuses<Host, fusion::swiglu | fusion::linear_gelu | fusion::linear_add> && !owns_memory<Host>);
    using base = device_backend<Device>;

  public:
    static constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

    /// @param layers how many of the text's layers are on the device: the first ones
    divided_backend(base device, Host host, std::size_t layers = all)
        : base(std::move(device)), host_(std::move(host)), layers_(layers) {}

    [[nodiscard]] Host const& host() const { return host_; }
    [[nodiscard]] std::size_t layers() const { return layers_; }
    [[nodiscard]] std::string kernels() const {
        return base::kernels() + (layers_ == all ? "" : ", " + std::to_string(layers_) + " layers; " + host_.kernels());
    }

    void linear(matrix const& w, float const* bias, normed const& x, std::size_t rows, float* y) const {
        if (on_device(w)) return base::linear(w, bias, x, rows, y);
        brought in = read(x, rows, w.columns), add(*this, bias, w.rows), out(rows * w.rows);
        host_.linear(w, add.data(), in.data(), rows, out.data());
        out.back(*this, y);
    }
    void fused_linear_gelu(matrix const& w, float const* bias, normed const& x, std::size_t rows, float* y) const {
        if (on_device(w)) return base::fused_linear_gelu(w, bias, x, rows, y);
        brought in = read(x, rows, w.columns), add(*this, bias, w.rows), out(rows * w.rows);
        host_.fused_linear_gelu(w, add.data(), in.data(), rows, out.data());
        out.back(*this, y);
    }
    void fused_linear_add(matrix const& w, float const* bias, float const* x, std::size_t rows, float scale,
                          float* y) const {
        if (on_device(w)) return base::fused_linear_add(w, bias, x, rows, scale, y);
        brought in(*this, x, rows * w.columns), add(*this, bias, w.rows), out(*this, y, rows * w.rows);
        host_.fused_linear_add(w, add.data(), in.data(), rows, scale, out.data());
        out.back(*this, y);
    }
    void fused_swiglu(matrix const& gate, matrix const& up, normed const& x, std::size_t rows, float* y) const {
        if (on_device(gate)) return base::fused_swiglu(gate, up, x, rows, y);
        brought in = read(x, rows, gate.columns), out(rows * gate.rows);
        host_.fused_swiglu(gate, up, in.data(), rows, out.data());
        out.back(*this, y);
    }
    /// The rows that all of them read are copied once.
    void fused_projections(std::span<projection const> of, normed const& x, std::size_t rows,
                           rotation const& by) const {
        if (std::all_of(of.begin(), of.end(), [&](projection const& p) { return on_device(p.w); }))
            return base::fused_projections(of, x, rows, by);
        brought in = read(x, rows, of[0].w.columns);
        for (projection const& p : of) {
            if (on_device(p.w))
                base::linear(p.w, nullptr, x, rows, p.y);
            else {
                brought out(rows * p.w.rows);
                host_.linear(p.w, nullptr, in.data(), rows, out.data());
                out.back(*this, p.y);
            }
            if (p.rotated) this->rope(p.y, rows, p.w.rows / by.head_dim, by.head_dim, by.cos, by.sin);
        }
    }

    /// The CPU's work cannot be recorded, so `body` is called each time.
    void replay(std::shared_ptr<void>& tape, std::span<std::uint64_t const> key, std::span<std::size_t const> positions,
                std::function<void()> const& body) const {
        if (layers_ == all)
            base::replay(tape, key, positions, body);
        else
            body();
    }

  private:
    /// Floats in the host's memory.
    class brought {
      public:
        explicit brought(std::size_t count) : values_(count) {}
        brought(base const& from, float const* p, std::size_t count) : values_(p ? count : 0) {
            if (p) from.download(p, count * sizeof(float), values_.data());
        }
        [[nodiscard]] float* data() { return values_.empty() ? nullptr : values_.data(); }
        void back(base const& to, float* p) const { to.upload(values_.data(), values_.size() * sizeof(float), p); }

      private:
        std::vector<float> values_;
    };

    /// Copies the rows, or their norm, to the host.
    [[nodiscard]] brought read(normed const& x, std::size_t rows, std::size_t width) const {
        brought values(*this, x.x, rows * width);
        if (!x.weight) return values;
        brought weight(*this, x.weight, width), bias(*this, x.bias, width);
        if (x.bias)
            host_.layer_norm(values.data(), rows, width, weight.data(), bias.data(), x.eps, values.data());
        else
            host_.rms_norm(values.data(), rows, width, weight.data(), x.eps, values.data());
        return values;
    }

    [[nodiscard]] bool on_device(matrix const& w) const { return layers_ == all || this->device().holds(w.data); }

    Host host_;
    std::size_t layers_;
};

} // namespace llamavision::gpu

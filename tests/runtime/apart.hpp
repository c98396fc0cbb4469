// SPDX-License-Identifier: Apache-2.0
// A backend with memory of its own: the scalar backend's loops, over pages that only its kernels and copies may read
// and write. If the host reads or writes them, the system ends the program; a kernel that is given the host's memory
// throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>

#include <sys/mman.h>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/support/error.hpp>

class apart : llamavision::scalar {
    using matrix = llamavision::matrix;

  public:
    [[nodiscard]] std::string_view name() const { return "apart"; }

    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::size_t bytes) const {
        std::size_t const size = bytes + 1; // mmap has no pages of no bytes
        void* const at = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) throw llamavision::memory_error("no pages are left");
        auto* const begin = static_cast<std::byte*>(at);
        pages_->emplace(begin, size);
        return {begin, [size, pages = pages_](std::byte* p) {
                    pages->erase(p);
                    ::munmap(p, size);
                }};
    }
    [[nodiscard]] std::size_t available() const { return available_; }
    void set_available(std::size_t bytes) { available_ = bytes; }
    void wait() const {}
    void upload(void const* from, std::size_t bytes, void* to) const {
        inside({to}, [&] { std::memcpy(to, from, bytes); });
    }
    void download(void const* from, std::size_t bytes, void* to) const {
        inside({from}, [&] { std::memcpy(to, from, bytes); });
    }

    void linear(matrix const& w, float const* bias, float const* x, std::size_t rows, float* y) const {
        inside({w.data, bias, x, y}, [&] { scalar::linear(w, bias, x, rows, y); });
    }
    void embed(matrix const& table, std::int32_t const* ids, std::size_t count, float* y) const {
        inside({table.data, ids, y}, [&] { scalar::embed(table, ids, count, y); });
    }
    void widen(matrix const& w, std::size_t first, std::size_t count, float* y) const {
        inside({w.data, y}, [&] { scalar::widen(w, first, count, y); });
    }
    [[nodiscard]] bool bytes_equal(matrix const& w, std::size_t a, std::size_t b, std::size_t count) const {
        bool same = false;
        inside({w.data}, [&] { same = scalar::bytes_equal(w, a, b, count); });
        return same;
    }
    void rms_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float eps, float* y) const {
        inside({x, weight, y}, [&] { scalar::rms_norm(x, rows, width, weight, eps, y); });
    }
    void layer_norm(float const* x, std::size_t rows, std::size_t width, float const* weight, float const* bias,
                    float eps, float* y) const {
        inside({x, weight, bias, y}, [&] { scalar::layer_norm(x, rows, width, weight, bias, eps, y); });
    }
    void silu(float const* x, std::size_t count, float* y) const {
        inside({x, y}, [&] { scalar::silu(x, count, y); });
    }
    void gelu(float const* x, std::size_t count, float* y) const {
        inside({x, y}, [&] { scalar::gelu(x, count, y); });
    }
    void multiply(float const* a, float const* b, std::size_t count, float* y) const {
        inside({a, b, y}, [&] { scalar::multiply(a, b, count, y); });
    }
    void add_scaled(float const* x, float scale, float const* f, std::size_t count, float* y) const {
        inside({x, f, y}, [&] { scalar::add_scaled(x, scale, f, count, y); });
    }
    void add_row(float const* x, std::size_t rows, std::size_t width, float scale, float const* f, float* y) const {
        inside({x, f, y}, [&] { scalar::add_row(x, rows, width, scale, f, y); });
    }
    void rope(float* x, std::size_t rows, std::size_t heads, std::size_t head_dim, float const* cos,
              float const* sin) const {
        inside({x, cos, sin}, [&] { scalar::rope(x, rows, heads, head_dim, cos, sin); });
    }
    void attend(float const* q, llamavision::attention_shape const& shape,
                std::span<llamavision::query_group const> groups, float* y) const {
        for (auto const& group : groups)
            for (auto const& block : group.blocks) inside({block.keys, block.values, block.bias}, [] {});
        inside({q, y}, [&] { scalar::attend(q, shape, groups, y); });
    }
    void unfold(float const* x, std::size_t tiles, std::size_t channels, std::size_t side, std::size_t patch,
                float* y) const {
        inside({x, y}, [&] { scalar::unfold(x, tiles, channels, side, patch, y); });
    }
    void interleave(float const* const* parts, std::size_t n, std::size_t rows, std::size_t width, float* y,
                    std::size_t stride) const {
        for (std::size_t k = 0; k < n; ++k) inside({parts[k]}, [] {});
        inside({y}, [&] { scalar::interleave(parts, n, rows, width, y, stride); });
    }
    void copy(float const* x, std::size_t count, float* y) const {
        inside({x, y}, [&] { scalar::copy(x, count, y); });
    }
    void zero(float* y, std::size_t count) const {
        inside({y}, [&] { scalar::zero(y, count); });
    }

  private:
    using pages = std::map<std::byte const*, std::size_t>;

    void protect(int how) const {
        for (auto const& [begin, size] : *pages_) ::mprotect(const_cast<std::byte*>(begin), size, how);
    }

    /// Runs a kernel; the pages are accessible only while it runs.
    template <class F>
    void inside(std::initializer_list<void const*> pointers, F const& kernel) const {
        for (void const* p : pointers) {
            auto const after = pages_->upper_bound(static_cast<std::byte const*>(p));
            bool const ours = after != pages_->begin() && p < std::prev(after)->first + std::prev(after)->second;
            if (p && !ours) throw std::logic_error("a kernel was given memory that is not the backend's");
        }
        protect(PROT_READ | PROT_WRITE);
        kernel();
        protect(PROT_NONE);
    }

    std::shared_ptr<pages> pages_ = std::make_shared<pages>();
    std::size_t available_ = std::size_t{1} << 40;
};

static_assert(llamavision::backend<apart> && llamavision::owns_memory<apart>);

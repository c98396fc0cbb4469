// SPDX-License-Identifier: Apache-2.0
// The stored tensors that make one module's weight together, looked up by the endings of their names and checked.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/shape_text.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// One module: "language_model.model.layers.0.mlp.down_proj" with ".weight", ".weight.absmax" and so on.
class module_parts {
  public:
    module_parts(std::string name, std::string file) : name_(std::move(name)), file_(std::move(file)) {}

    void add(std::string ending, tensor const& part) { parts_.emplace(std::move(ending), &part); }

    [[nodiscard]] std::string const& name() const { return name_; }
    [[nodiscard]] bool has(std::string_view ending) const { return parts_.contains(ending); }

    /// The part, which is then known to belong to the scheme; null if there is none.
    [[nodiscard]] tensor const* find(std::string_view ending) {
        auto const at = parts_.find(ending);
        if (at == parts_.end()) return nullptr;
        used_.insert(at->first);
        return at->second;
    }
    /// @throws format_error if there is no such part, or if it is of another type
    [[nodiscard]] tensor const& at(std::string_view ending, std::initializer_list<dtype> types) {
        tensor const* const part = find(ending);
        if (!part)
            throw format_error(file_ + ": the tensor " + in_quotes(name_ + std::string(ending)) + " is missing beside "
                               + in_quotes(name_ + parts_.begin()->first));
        if (std::find(types.begin(), types.end(), part->type) == types.end()) {
            std::string wanted;
            for (dtype const type : types) wanted += (wanted.empty() ? "" : " or ") + std::string(name_of(type));
            fail(ending, "must be " + wanted);
        }
        return *part;
    }
    /// @throws format_error as above, or if it has another shape
    [[nodiscard]] tensor const& at(std::string_view ending, std::initializer_list<dtype> types,
                                   std::vector<std::size_t> const& shape) {
        tensor const& part = at(ending, types);
        if (part.shape != shape) fail(ending, "must be " + shape_text(shape));
        return part;
    }
    /// A part that is a matrix without empty axes.
    [[nodiscard]] tensor const& matrix(std::string_view ending, std::initializer_list<dtype> types) {
        tensor const& part = at(ending, types);
        if (part.shape.size() != 2 || part.shape[0] == 0 || part.shape[1] == 0)
            fail(ending, "must be a matrix with rows and columns");
        return part;
    }

    /// "FILE: the tensor "X.weight" I8 [2, 3]", the beginning of messages about a part.
    [[nodiscard]] std::string place(std::string_view ending) const {
        tensor const& part = *parts_.find(ending)->second;
        return file_ + ": the tensor " + in_quotes(name_ + std::string(ending)) + " " + std::string(name_of(part.type))
               + " " + shape_text(part.shape);
    }
    /// @throws format_error about a part that exists
    [[noreturn]] void fail(std::string_view ending, std::string const& what) const {
        throw format_error(place(ending) + ": " + what);
    }

    /// Bytes of all parts that were looked up.
    [[nodiscard]] std::size_t bytes() const {
        std::size_t sum = 0;
        for (auto const& ending : used_) sum += size_in_bytes(*parts_.find(ending)->second);
        return sum;
    }
    /// The endings of all parts, and whether they were looked up.
    [[nodiscard]] std::vector<std::pair<std::string, bool>> endings() const {
        std::vector<std::pair<std::string, bool>> result;
        for (auto const& part : parts_) result.emplace_back(part.first, used_.contains(part.first));
        return result;
    }

  private:
    std::string name_, file_;
    std::map<std::string, tensor const*, std::less<>> parts_;
    std::set<std::string, std::less<>> used_;
};

} // namespace llamavision::checkpoint

// SPDX-License-Identifier: Apache-2.0
// Weights as the backend lays them out, kept in a file of their own and mapped: the next start lays out nothing,
// several processes share one copy in memory, and a model that is larger than memory runs from there.
//
// A header of one page (what the file is, what it was made of, how long it is), then every weight on a cache line. What
// lies where follows from the model, the formats and the backend, so the file does not repeat it: its header holds the
// hash of all that, and a file with another hash is made again. What follows the header is not checked: reading it all
// is what the file is there to spare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/support/separate.hpp>

namespace llamavision {

/// One weight in a packed file: a text that changes when its bytes do, and its size.
struct packed_weight {
    std::string what;
    std::size_t bytes;
};

/// Opened for the weights that it shall hold; made, under another name, if it does not hold them yet, and renamed when
/// it is complete.
class packed_file {
  public:
    /// @param source what the weights come from: the same text, the same values
    /// @throws file_error if the path cannot be written where that is needed, the disk or the process' limit has too
    ///         little space, or another kind of file has that name; error where the system maps no files
    packed_file(std::filesystem::path path, std::string const& source, std::span<packed_weight const> weights);
    packed_file(packed_file const&) = delete;
    packed_file& operator=(packed_file const&) = delete;
    ~packed_file();

    /// Whether the weights are there; otherwise the caller puts them there, each followed by `filled`, and commits.
    [[nodiscard]] bool complete() const { return part_.empty(); }

    [[nodiscard]] std::span<std::byte> operator[](std::size_t i) const {
        return {bytes_.get() + places_[i].first, places_[i].second};
    }
    /// Keeps the bytes mapped.
    [[nodiscard]] std::shared_ptr<std::byte> const& bytes() const { return bytes_; }

    /// The disk may have weight i. Waits for the one before: what is written lies in memory twice only for a moment,
    /// and can be dropped.
    void filled(std::size_t i);

    /// Gives the file its name, when the disk has all of it. @throws file_error
    void commit();

  private:
    struct descriptor; ///< of an open file

    [[noreturn]] void fail(std::string const& what) const;
    /// Maps the file at that path, if it is this one. @throws file_error if it is no packed file at all
    bool open();
    /// Makes the file under another name, as long as it will be. @throws file_error
    void begin();
    void map(int file);

    std::filesystem::path path_, part_; ///< part_: the other name, until the file is complete
    std::shared_ptr<descriptor> file_;
    std::string header_;
    std::vector<std::pair<std::size_t, std::size_t>> places_; ///< first byte, count
    std::size_t size_ = 0, last_ = SIZE_MAX;
    std::shared_ptr<std::byte> bytes_;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/weights/packed_file.ipp>
#endif

// SPDX-License-Identifier: Apache-2.0
// Encoded pictures, kept under a hash of their tiles and of the encoder: a picture that is shown again is not encoded
// again, in this process and, with a folder, in later ones.
//
// A file holds what `encode` computed and its hash. Its size and layout follow from the network, not from the file. So
// a damaged or foreign file does no harm: it counts as a miss, and is replaced.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <llamavision/runtime/network/network.hpp>
#include <llamavision/support/content_hash.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/replacement_file.hpp>
#include <llamavision/support/sha256.hpp>

namespace llamavision {

struct image_cache_options {
    std::size_t memory = std::size_t{1} << 30; ///< bytes of pictures that stay in memory; 0: none
    std::filesystem::path folder{};            ///< where more of them are kept; empty: nowhere
    std::size_t disk = std::size_t{4} << 30;   ///< bytes of files in the folder
    /// Called each time that the folder cannot be written: pictures are encoded all the same. Empty:
    /// `image_cache::last_warning` keeps the sentence.
    std::function<void(std::string const&)> on_warning{};
};

/// How often a picture was found, and how often not.
struct image_cache_counts {
    std::size_t in_memory = 0, on_disk = 0, encoded = 0;
};

/// Any number of threads may use a cache at a time, and any number of processes a folder. Threads that ask for the same
/// new picture at the same time each encode it.
class image_cache {
  public:
    /// @throws file_error if the folder is not there and cannot be made
    explicit image_cache(image_cache_options options = {}) : options_(std::move(options)) {
        if (options_.folder.empty()) return;
        std::error_code fault;
        std::filesystem::create_directories(options_.folder, fault);
        if (!std::filesystem::is_directory(options_.folder))
            throw file_error(options_.folder.string() + ": cannot be a folder for encoded pictures"
                             + (fault ? ": " + fault.message() : ""));
    }

    /// The picture as `net` encodes it: found, or encoded now. A watched picture is always encoded. Where memory is
    /// short, the pictures that are kept in memory are dropped first.
    /// @throws what `network::encode` throws
    [[nodiscard]] std::shared_ptr<encoded_image const> encode(network const& net, image::tiles const& tiles,
                                                              encode_options const& options) {
        if (options.watch) return net.encode(tiles, options);
        std::string const key = key_of(net, tiles, options);
        if (auto image = recall(key)) return found(image, &image_cache_counts::in_memory, options);
        try {
            return make(key, net, tiles, options);
        } catch (memory_error const&) {
            if (!forget_all()) throw;
        }
        return make(key, net, tiles, options);
    }

    [[nodiscard]] image_cache_counts counts() const {
        std::lock_guard const lock(mutex_);
        return counts_;
    }
    /// Why the folder could not be written the last time that it could not; empty: it always could.
    [[nodiscard]] std::string last_warning() const {
        std::lock_guard const lock(mutex_);
        return last_warning_;
    }

    /// The name of the picture's file, without the folder.
    [[nodiscard]] static std::string file_name(network const& net, image::tiles const& tiles,
                                               encode_options const& options) {
        return key_of(net, tiles, options) + std::string(ending);
    }

  private:
    using image_ptr = std::shared_ptr<encoded_image const>;
    static constexpr std::string_view ending = ".image";
    static constexpr std::string_view magic = "llamavision image 1\n"; // 1: of the file's form

    /// What a file begins with.
    struct header {
        std::array<char, 32> what; ///< magic, and zeros
        std::array<char, 64> key;
        std::uint64_t bytes, hash; ///< of what follows
    };
    static_assert(magic.size() <= 32 && std::has_unique_object_representations_v<header>);

    static std::string key_of(network const& net, image::tiles const& tiles, encode_options const& options) {
        sha256 digest;
        std::string const how = net.encoder_identity() + (options.collapse_padding ? " collapsed" : "")
                                + (options.remember_padding ? " remembered" : "")
                                + (options.taps_after_layer ? " taps after the layer " : " ")
                                + std::to_string(tiles.rows) + " " + std::to_string(tiles.columns) + " "
                                + std::to_string(tiles.side) + "\n";
        digest.update(std::as_bytes(std::span(how)));
        digest.update(std::as_bytes(std::span(tiles.values)));
        return digest.hex();
    }

    /// A picture that is not in memory.
    image_ptr make(std::string const& key, network const& net, image::tiles const& tiles,
                   encode_options const& options) {
        if (!options_.folder.empty())
            if (auto image = read(key, net, net.blank_image(tiles.rows, tiles.columns, options))) {
                remember(key, image);
                return found(image, &image_cache_counts::on_disk, options);
            }
        auto image = net.encode(tiles, options);
        count(&image_cache_counts::encoded);
        remember(key, image);
        if (!options_.folder.empty()) write(key, net, *image);
        return image;
    }

    image_ptr found(image_ptr image, std::size_t image_cache_counts::*which, encode_options const& options) {
        count(which);
        if (options.on_progress) options.on_progress(1, 1);
        return image;
    }
    void count(std::size_t image_cache_counts::*which) {
        std::lock_guard const lock(mutex_);
        ++(counts_.*which);
    }

    // In memory: a list, the last used first, and an index from keys to its elements.

    image_ptr recall(std::string const& key) {
        std::lock_guard const lock(mutex_);
        auto const at = index_.find(key);
        if (at == index_.end()) return nullptr;
        images_.splice(images_.begin(), images_, at->second);
        return at->second->second;
    }

    void remember(std::string const& key, image_ptr const& image) {
        std::lock_guard const lock(mutex_);
        if (image->bytes > options_.memory || index_.contains(key)) return;
        images_.emplace_front(key, image);
        index_.emplace(key, images_.begin());
        held_ += image->bytes;
        for (; held_ > options_.memory; images_.pop_back()) {
            held_ -= images_.back().second->bytes;
            index_.erase(images_.back().first);
        }
    }

    /// Drops all pictures from memory; whether there were any.
    bool forget_all() {
        std::lock_guard const lock(mutex_);
        bool const any = !images_.empty();
        index_.clear();
        images_.clear();
        held_ = 0;
        return any;
    }

    // On disk: a file for each picture; its time of change is that of its last use.

    [[nodiscard]] std::filesystem::path path_of(std::string const& key) const {
        return options_.folder / (key + std::string(ending));
    }

    [[nodiscard]] static header header_of(std::string const& key, std::span<std::byte const> values) {
        header h{};
        std::copy(magic.begin(), magic.end(), h.what.begin());
        std::copy(key.begin(), key.end(), h.key.begin());
        h.bytes = values.size();
        h.hash = content_hash(values);
        return h;
    }

    /// The values for `blank` from their file; null if there is none, or it is not exactly what was written.
    [[nodiscard]] image_ptr read(std::string const& key, network const& net, image_ptr blank) const {
        auto const path = path_of(key);
        std::error_code fault;
        if (!std::filesystem::is_regular_file(path, fault)) return nullptr;
        if (std::filesystem::file_size(path, fault) != sizeof(header) + blank->bytes) return nullptr;
        std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path.string().c_str(), "rb"),
                                                                   &std::fclose);
        header stored;
        std::vector<std::byte> values(blank->bytes);
        if (!file || std::fread(&stored, sizeof stored, 1, file.get()) != 1
            || std::fread(values.data(), 1, values.size(), file.get()) != values.size())
            return nullptr;
        header const expected = header_of(key, values);
        if (std::memcmp(&stored, &expected, sizeof stored) != 0) return nullptr;
        net.upload(values, blank->storage.get());
        std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now(), fault);
        return blank;
    }

    void write(std::string const& key, network const& net, encoded_image const& image) {
        if (sizeof(header) + image.bytes > options_.disk) return;
        try {
            std::vector<std::byte> values(image.bytes);
            net.download(image.storage.get(), values);
            header const h = header_of(key, values);
            replacement_file file(path_of(key));
            file.write(std::as_bytes(std::span(&h, 1)));
            file.write(values);
            file.commit();
            tidy();
        } catch (file_error const& problem) {
            if (options_.on_warning) options_.on_warning(problem.what());
            std::lock_guard const lock(mutex_);
            last_warning_ = problem.what();
        }
    }

    /// Removes the files that were used longest ago until the rest keeps to the limit, and unfinished files of killed
    /// processes.
    void tidy() const {
        struct entry {
            std::filesystem::path path;
            std::filesystem::file_time_type used;
            std::uintmax_t size;
        };
        std::vector<entry> entries;
        std::uintmax_t sum = 0;
        auto const now = std::filesystem::file_time_type::clock::now();
        std::error_code fault; // of a file that another process removed meanwhile
        for (std::filesystem::directory_iterator at(options_.folder, fault), end; !fault && at != end;
             at.increment(fault)) {
            std::error_code missing;
            std::string const name = at->path().filename().string();
            bool const ours = name.size() >= 64 + ending.size() && name.substr(64, ending.size()) == ending
                              && name.find_first_not_of("0123456789abcdef") == 64 && at->is_regular_file(missing);
            entry e{at->path(), ours ? at->last_write_time(missing) : now, ours ? at->file_size(missing) : 0};
            if (!ours || missing) continue;
            if (name.size() > 64 + ending.size()) { // being written, or never finished
                if (now - e.used > std::chrono::hours(1)) std::filesystem::remove(e.path, missing);
                continue;
            }
            sum += e.size;
            entries.push_back(std::move(e));
        }
        std::sort(entries.begin(), entries.end(), [](entry const& a, entry const& b) { return a.used < b.used; });
        for (entry const& e : entries) {
            if (sum <= options_.disk) break;
            std::filesystem::remove(e.path, fault);
            sum -= e.size;
        }
    }

    image_cache_options options_;
    mutable std::mutex mutex_;
    image_cache_counts counts_;
    std::string last_warning_;
    std::list<std::pair<std::string, image_ptr>> images_;
    std::unordered_map<std::string, std::list<std::pair<std::string, image_ptr>>::iterator> index_;
    std::size_t held_ = 0;
};

} // namespace llamavision

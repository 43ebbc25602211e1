#pragma once
// The disk tier of the prefix cache: full KV blocks as files, found again by later processes. A
// block's key is a hash of what its bytes depend on: the model (`identity`), its tokens and the key
// of the block before. A file holds all of that again and a checksum, and counts only when
// everything is as expected; else it is deleted.
//
// load() and save() are for the engine's thread; files are written by a thread of the store.
// Several stores, also of several processes, may share a folder: files appear whole, by rename.
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/sha256.h"
#include "text/vocabulary.h"

namespace localai::engine {

class PrefixStore {
 public:
  // Copies that may wait to be written; what comes beyond is not kept.
  static constexpr uint64_t kQueueBytes = uint64_t{32} << 20;

  struct Options {
    std::filesystem::path folder;  // made, for this user alone, when it is not there
    uint64_t bytes_max = 0;        // of all files in it; the longest unused go first
  };
  // Errors: kInvalidArgument (the folder cannot be made or is none).
  static Result<std::unique_ptr<PrefixStore>> open(Options options, const Digest& identity);
  PrefixStore(const PrefixStore&) = delete;
  PrefixStore& operator=(const PrefixStore&) = delete;
  ~PrefixStore();  // writes what waits

  // The key that stands before a sequence's first block. `kind`: as in BlockManager.
  [[nodiscard]] Digest root(uint64_t kind) const;
  [[nodiscard]] Digest key(const Digest& parent, std::span<const text::TokenId> tokens) const;

  // Fills `block` with the one that follows `parent`; false, and nothing changed, where there is
  // none.
  bool load(const Digest& parent, std::span<const text::TokenId> tokens,
            std::span<std::byte> block);
  // Takes a copy to be written, unless the file is there.
  void save(const Digest& parent, std::span<const text::TokenId> tokens,
            std::span<const std::byte> block);
  // Waits until all copies are written.
  void flush();

 private:
  struct Copy {
    std::filesystem::path path;
    std::string bytes;
  };
  PrefixStore(Options options, const Digest& identity);
  [[nodiscard]] std::filesystem::path path_of(const Digest& key) const;
  [[nodiscard]] std::string header(const Digest& parent,
                                   std::span<const text::TokenId> tokens) const;
  void write_copies();
  void write(const Copy& copy);
  void prune();

  const Options options_;
  const Digest identity_;
  uint64_t unpruned_bytes_;  // written since the folder was looked through; of the writer
  bool warned_ = false;      // of the writer

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Copy> copies_;  // under mutex_, as the next two
  uint64_t queued_bytes_ = 0;
  bool closing_ = false, writing_ = false;
  std::thread writer_;  // last: it uses all the others
};

}  // namespace localai::engine

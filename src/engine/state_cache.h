#pragma once
// Which places of recurrent state hold what. A bounded number of them; each is free, held by a
// sequence (the state it runs in, or a checkpoint it has not filed yet), or a checkpoint filed
// under the serial of the KV block with which its prefix ends (BlockManager). A serial is never
// used twice, so the checkpoint of an evicted block is simply not found again and its place falls
// to another. Knows numbers, never the bytes. One thread.
#include <cstdint>
#include <optional>
#include <vector>

namespace localai::engine {

class StateCache {
 public:
  explicit StateCache(uint32_t places) : places_(places) {}

  // A place to write to, held from now on: a free one, else the filed one that was not used for
  // longest. None when all are held.
  std::optional<uint32_t> take();
  // Files a held place. Where one is filed under this serial already (the bits are the same), and
  // for serial 0 (its block is not cached), the place becomes free instead.
  void file(uint32_t place, uint64_t serial);
  // The place filed under this serial, which counts as a use.
  std::optional<uint32_t> find(uint64_t serial);
  // Frees a held or filed place.
  void free(uint32_t place) { places_[place] = {}; }

  [[nodiscard]] uint32_t total() const { return static_cast<uint32_t>(places_.size()); }
  [[nodiscard]] uint32_t held() const;
  [[nodiscard]] uint32_t filed() const;

 private:
  struct Place {
    bool held = false;
    uint64_t serial = 0;  // 0: not filed
    uint64_t last_use = 0;
  };
  std::vector<Place> places_;  // few: a search looks at all
  uint64_t clock_ = 0;
};

}  // namespace localai::engine

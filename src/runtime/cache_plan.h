#pragma once
// What must go so that a model fits: arithmetic over what is held, without threads or clocks, so
// that a plan can be shown, tested, and then done exactly so.
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace localai::runtime {

using TimePoint = std::chrono::steady_clock::time_point;

// One model that holds a share of the budget.
struct HeldModel {
  std::filesystem::path path;
  std::string name;
  uint64_t bytes = 0;
  bool busy = false;      // in use, or still loading
  bool pinned = false;    // never unloaded for another
  uint64_t last_use = 0;  // rank: smaller is longer ago
  TimePoint keep_until;   // not unloaded for another before: a fresh load is not thrown away
  std::filesystem::path host = {};  // the held one that it lives in, which goes after it; "": none
};

struct Eviction {
  std::filesystem::path path;
  std::string id;  // the model's name
  uint64_t bytes = 0;
  std::string reason;
};

struct RoomPlan {
  enum class Outcome : uint8_t {
    kFits,   // at `at`, once `evict` is done
    kBusy,   // only when a model that is in use now no longer is
    kNever,  // more than the budget has beside what is pinned
  };
  Outcome outcome = Outcome::kFits;
  TimePoint at;  // kFits: now, or when the last victim's keep_until is over
  std::vector<Eviction> evict;
};

// What a load would do now.
struct LoadPlan {
  std::string model;
  bool loaded = false;  // already there: nothing to do
  uint64_t bytes = 0;   // that the model needs
  std::vector<Eviction> evict;
  bool fits = false;
  double wait_ms = 0;  // until the victims may go
  double eta_ms = 0;   // until the model is ready: an estimate
  std::string reason;  // why it does not fit; "" when it does
};

// Room for `bytes` more of the model `name`: of those that may go, the least recently used first
// and no more of them than needed. Victims that may go now are preferred to waiting.
RoomPlan plan_room(const std::string& name, uint64_t bytes, uint64_t budget,
                   const std::vector<HeldModel>& held, TimePoint now);

}  // namespace localai::runtime

#pragma once
// A changed config file as a callback, on a thread of its own: through inotify on the folder, since
// editors put a new file in the place of the old one.
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "base/result.h"

namespace localai::cli {

// From start() on, `on_change` is called when the file was changed and has then been left alone for
// a moment, one call after the other. A file that is gone is no change; its return is one.
class ConfigWatch {
 public:
  // Errors: kUnavailable (the system has no inotify instance left, the folder cannot be watched).
  static Result<std::unique_ptr<ConfigWatch>> start(std::filesystem::path file,
                                                    std::function<void()> on_change);
  ConfigWatch(const ConfigWatch&) = delete;
  ConfigWatch& operator=(const ConfigWatch&) = delete;
  ~ConfigWatch();  // waits for a call that is under way

 private:
  ConfigWatch() = default;
  Status watch_folders() const;
  void run(const std::function<void()>& on_change) const;
  [[nodiscard]] bool wait(int timeout_ms) const;
  [[nodiscard]] bool drain() const;

  std::filesystem::path file_;
  int inotify_ = -1, stop_ = -1;
  std::thread thread_;
};

}  // namespace localai::cli

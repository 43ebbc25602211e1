#include "cli/config_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <tuple>

#include "base/log.h"

namespace localai::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kQuietMs = 200;  // without an event: whoever writes has finished
constexpr int kPatience = 20;  // quiet times that a folder which is never quiet gets
constexpr size_t kBufferBytes = 8192;

// What tells one content of the file from another; all zero while there is none.
using Stamp = std::tuple<dev_t, ino_t, off_t, int64_t, int64_t>;

Stamp stamp_of(const fs::path& file) {
  struct stat info = {};
  if (::stat(file.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

}  // namespace

Result<std::unique_ptr<ConfigWatch>> ConfigWatch::start(fs::path file,
                                                        std::function<void()> on_change) {
  std::unique_ptr<ConfigWatch> out(new ConfigWatch);
  out->file_ = std::move(file);
  out->inotify_ = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  out->stop_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (out->inotify_ < 0 || out->stop_ < 0)
    return unavailable(std::string("inotify: ") + std::strerror(errno));
  LAI_TRY_STATUS(out->watch_folders());
  out->thread_ =
      std::thread([watch = out.get(), call = std::move(on_change)] { watch->run(call); });
  return out;
}

ConfigWatch::~ConfigWatch() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stop_, &one, sizeof(one));
    thread_.join();
  }
  if (inotify_ >= 0) ::close(inotify_);
  if (stop_ >= 0) ::close(stop_);
}

// The folder of the file, and that of what it links to. Watching one twice is no more than once.
Status ConfigWatch::watch_folders() const {
  constexpr uint32_t kMask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE;
  const fs::path folder = folder_of(file_);
  if (inotify_add_watch(inotify_, folder.c_str(), kMask) < 0)
    return unavailable(folder.string() + ": " + std::strerror(errno));
  std::error_code error;
  const fs::path target = fs::canonical(file_, error);
  if (!error) inotify_add_watch(inotify_, folder_of(target).c_str(), kMask);
  return Ok{};
}

// False: the end. The timeout, an event and an interruption all lead to another look.
bool ConfigWatch::wait(int timeout_ms) const {
  pollfd waits[] = {{inotify_, POLLIN, 0}, {stop_, POLLIN, 0}};
  ::poll(waits, 2, timeout_ms);
  return (waits[1].revents & POLLIN) == 0;
}

// Takes what has come; false when there was nothing.
bool ConfigWatch::drain() const {
  alignas(inotify_event) char buffer[kBufferBytes];
  bool any = false;
  while (::read(inotify_, buffer, sizeof(buffer)) > 0) any = true;
  return any;
}

void ConfigWatch::run(const std::function<void()>& on_change) const {
  Stamp seen = stamp_of(file_);
  while (wait(-1)) {
    if (!drain()) continue;
    for (int i = 0; i < kPatience; ++i) {
      if (!wait(kQuietMs)) return;
      if (!drain()) break;
    }
    if (const Status status = watch_folders(); !status.ok())
      log::warn("the config file is no longer watched: {}", status.error().message);
    const Stamp now = stamp_of(file_);
    if (now == seen || now == Stamp{}) continue;
    seen = now;
    on_change();
  }
}

}  // namespace localai::cli

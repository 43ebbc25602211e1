#include "runtime/service_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"

extern char** environ;

namespace localai::runtime {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{200};
constexpr size_t kLineBytesMax = 4096;
constexpr int kFilesMax = 65536;  // where the system cannot close them all at once

Error system_error(const char* what) {
  return unavailable(std::string(what) + ": " + std::strerror(errno));
}

// A port that nobody listens on now.
Result<uint16_t> free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error("socket");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  const bool found = ::bind(fd, plain, size) == 0 && ::getsockname(fd, plain, &size) == 0;
  ::close(fd);
  if (!found) return system_error("bind to a loopback port");
  return ntohs(address.sin_port);
}

// "NAME=value" of our environment with `more` in place of what has the same names.
std::vector<std::string> environment_with(
    const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (std::none_of(more.begin(), more.end(), [&](const auto& set) { return set.first == name; }))
      out.emplace_back(text);
  }
  for (const auto& [name, value] : more) out.push_back(fmt::format("{}={}", name, value));
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// In the child between fork and exec: nothing that allocates or locks. Its parent's death ends it,
// more exactly the end of the thread that forked, which waits for it.
[[noreturn]] void become(char* const* command, char* const* environment, int output, pid_t parent) {
  sigset_t none;
  ::sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  const int input = ::open("/dev/null", O_RDONLY);
  if (input >= 0) ::dup2(input, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  // Clients' connections among others: open here, they would not end where the server ends them.
  if (::close_range(3, ~0U, 0) != 0)
    for (int fd = 3; fd < kFilesMax; ++fd) ::close(fd);
  ::execvpe(command[0], command, environment);
  constexpr std::string_view kFailed = "cannot be started: no such program\n";
  (void)!::write(STDERR_FILENO, kFailed.data(), kFailed.size());
  ::_exit(127);
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return fmt::format("killed by signal {}", WTERMSIG(status));
  return fmt::format("ended with status {}", WEXITSTATUS(status));
}

}  // namespace

Result<std::unique_ptr<ServiceProcess>> ServiceProcess::create(ServiceProcessOptions options) {
  if (options.command.empty()) return invalid(options.name + ": no command");
  LAI_TRY(const uint16_t port, free_port(), options.name);
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) return system_error("eventfd");
  return std::unique_ptr<ServiceProcess>(new ServiceProcess(std::move(options), port, wake));
}

ServiceProcess::ServiceProcess(ServiceProcessOptions options, uint16_t port, int wake_fd)
    : options_(std::move(options)), port_(port), wake_fd_(wake_fd), thread_([this] { run(); }) {}

ServiceProcess::~ServiceProcess() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    ::eventfd_write(wake_fd_, 1);
  }
  thread_.join();
  ::close(wake_fd_);
}

ServiceProcess::State ServiceProcess::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Status ServiceProcess::ensure_running(const std::function<bool()>& wanted) {
  std::unique_lock lock(mutex_);
  needed_ = true;
  changed_.notify_all();
  while (true) {
    if (phase_ == Phase::kReady) return Ok{};
    if (phase_ == Phase::kWaiting && Clock::now() < next_start_)
      return unavailable(options_.name + ": " + state_.problem);
    if (wanted && !wanted()) return cancelled(options_.name + ": nobody waits for it any more");
    changed_.wait_for(lock, kTick);
  }
}

void ServiceProcess::stop() {
  std::unique_lock lock(mutex_);
  needed_ = false;
  ending_ = phase_ == Phase::kReady || phase_ == Phase::kStarting;
  if (ending_) phase_ = Phase::kStarting;  // who needs it from here on waits for the next start
  state_.running = false;
  changed_.notify_all();
  ::eventfd_write(wake_fd_, 1);
  changed_.wait(lock, [this] { return !ending_ || stopping_; });
}

void ServiceProcess::set_phase(Phase phase, std::string problem) {
  const std::lock_guard lock(mutex_);
  phase_ = phase;
  if (phase == Phase::kIdle || phase == Phase::kWaiting) ending_ = false;
  state_.running = phase == Phase::kReady;
  state_.pid = phase == Phase::kReady ? pid_ : 0;
  state_.problem = std::move(problem);
  changed_.notify_all();
}

void ServiceProcess::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || needed_; });
      if (!stopping_ && phase_ == Phase::kWaiting)
        changed_.wait_until(lock, next_start_, [this] { return stopping_ || !needed_; });
      if (stopping_) return;
      if (!needed_) continue;
    }
    serve_once();
  }
}

// From a start to the end of the process.
void ServiceProcess::serve_once() {
  set_phase(Phase::kStarting);
  if (const Status spawned = spawn(); !spawned.ok()) return fell(spawned.error().message);
  watch();
  end_child();
}

Status ServiceProcess::spawn() {
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) return system_error("pipe");
  std::vector<std::string> command = options_.command;
  for (std::string& argument : command)
    if (argument == "%PORT%") argument = std::to_string(port_);
  std::vector<std::string> environment =
      environment_with(options_.environment ? options_.environment()
                                            : std::vector<std::pair<std::string, std::string>>{});
  const std::vector<char*> command_pointers = pointers(command);
  const std::vector<char*> environment_pointers = pointers(environment);
  started_ = checked_ = Clock::now();
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) become(command_pointers.data(), environment_pointers.data(), pipe_fds[1], parent);
  ::close(pipe_fds[1]);
  if (child < 0) {
    ::close(pipe_fds[0]);
    return system_error("fork");
  }
  pid_ = group_ = child;
  output_fd_ = pipe_fds[0];
  ::fcntl(output_fd_, F_SETFL, O_NONBLOCK);
  ready_ = false;
  checks_failed_ = 0;
  log::info("{}: started, process {}", options_.name, pid_);
  const std::lock_guard lock(mutex_);
  ++state_.starts;
  return Ok{};
}

// Until it ended by itself, must end, or is to stop. `exit_` says which, "" the last.
void ServiceProcess::watch() {
  exit_.clear();
  while (exit_.empty() && !child_gone()) {
    read_output(kTick);
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || ending_ || !needed_) return;
    }
    if (ready_)
      check_health();
    else if (Clock::now() - started_ > options_.start_limit)
      exit_ = fmt::format("not ready after {} s", options_.start_limit.count() / 1000);
  }
}

void ServiceProcess::check_health() {
  if (Clock::now() - checked_ < options_.check_every) return;
  checks_failed_ = options_.healthy() ? 0 : checks_failed_ + 1;
  checked_ = Clock::now();
  if (checks_failed_ >= options_.checks_failed_max)
    exit_ = fmt::format("no answer to {} health checks", checks_failed_);
}

bool ServiceProcess::child_gone() {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  exit_ = how_it_ended(status);
  pid_ = 0;
  return true;
}

void ServiceProcess::read_output(milliseconds wait) {
  pollfd fds[] = {{output_fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
  ::poll(fds, 2, static_cast<int>(wait.count()));
  if (eventfd_t count = 0; fds[1].revents != 0) ::eventfd_read(wake_fd_, &count);
  if (fds[0].revents == POLLHUP) ::usleep(static_cast<useconds_t>(wait.count() * 1000) / 4);
  char bytes[4096];
  ssize_t count = 0;
  while ((count = ::read(output_fd_, bytes, sizeof bytes)) > 0) {
    for (ssize_t i = 0; i < count; ++i) {
      if (bytes[i] != '\n' && line_.size() < kLineBytesMax) {
        line_ += bytes[i];
        continue;
      }
      take_line(line_);
      line_.clear();
    }
  }
}

// Its lines go to our log. "ready at URL" is the sign that it answers.
void ServiceProcess::take_line(std::string_view line) {
  if (line.empty()) return;
  log::info("{}: {}", options_.name, line);
  last_line_ = line;
  if (ready_ || !line.starts_with("ready at ")) return;
  ready_ = true;
  options_.on_ready();
  set_phase(Phase::kReady);
}

void ServiceProcess::end_child() {
  const bool fallen = !exit_.empty();
  if (!fallen) {
    const auto asked = Clock::now();
    ::kill(pid_, SIGTERM);
    while (!child_gone() && Clock::now() - asked < options_.stop_limit)
      std::this_thread::sleep_for(kTick / 10);
  }
  ::kill(-group_, SIGKILL);  // what is left of it, and what it started
  if (pid_ != 0) ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  read_output(milliseconds(0));
  ::close(std::exchange(output_fd_, -1));
  line_.clear();
  if (fallen) return fell(exit_);
  set_phase(Phase::kIdle);
}

void ServiceProcess::fell(std::string why) {
  if (Clock::now() - started_ > options_.stable) falls_ = 0;
  const auto wait =
      std::min(options_.backoff * (1u << std::min(falls_, 16u)), options_.backoff_max);
  ++falls_;
  {
    const std::lock_guard lock(mutex_);
    next_start_ = Clock::now() + wait;
  }
  if (!last_line_.empty()) why += " (" + std::exchange(last_line_, {}) + ")";
  log::warn("{}: {}; the next start is in {} ms", options_.name, why, wait.count());
  set_phase(Phase::kWaiting, std::move(why));
}

}  // namespace localai::runtime

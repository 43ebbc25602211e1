// Real processes: shell scripts that stand for a service.
#include "runtime/service_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

namespace localai::runtime {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class ServiceProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(::testing::TempDir()) /
        ("process_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    process_.reset();
    std::filesystem::remove_all(folder_);
  }

  void make(const std::string& script, ServiceProcessOptions options = {}) {
    options.name = "service";
    options.command = {"sh", "-c", script, "sh", "%PORT%"};
    options.environment = [this] {
      return std::vector<std::pair<std::string, std::string>>{{"FOLDER", folder_.string()}};
    };
    options.backoff = milliseconds(10);
    auto made = ServiceProcess::create(std::move(options));
    ASSERT_TRUE(made.ok()) << made.error().message;
    process_ = std::move(*made);
  }
  // Tries until the process is there again.
  void wait_until_running() {
    while (!process_->ensure_running({}).ok()) std::this_thread::sleep_for(milliseconds(2));
  }
  static bool alive(int pid) { return ::kill(pid, 0) == 0; }
  [[nodiscard]] std::string file(const char* name) const {
    std::string line;
    std::getline(std::ifstream(folder_ / name), line);
    return line;
  }

  static constexpr const char* kRuns =
      "echo ready at $1 $$ > $FOLDER/seen; cat $FOLDER/seen; exec sleep 600";
  std::filesystem::path folder_;
  std::unique_ptr<ServiceProcess> process_;
};

TEST_F(ServiceProcessTest, StartsWhenNeededAndEndsWithItsOwner) {
  make(kRuns);
  EXPECT_EQ(process_->state().starts, 0u);
  ASSERT_TRUE(process_->ensure_running({}).ok());
  ASSERT_TRUE(process_->ensure_running({}).ok());
  const auto state = process_->state();
  EXPECT_TRUE(state.running);
  EXPECT_EQ(state.starts, 1u);
  const std::string port = process_->url().substr(process_->url().rfind(':') + 1);
  EXPECT_EQ(file("seen"), "ready at " + port + " " + std::to_string(state.pid));
  process_.reset();
  EXPECT_FALSE(alive(state.pid));
}

TEST_F(ServiceProcessTest, GetsNoneOfOurFiles) {
  const int ours = ::open("/dev/null", O_RDONLY);  // not close-on-exec
  make("ls -m /proc/self/fd > $FOLDER/files; " + std::string(kRuns));
  ASSERT_TRUE(process_->ensure_running({}).ok());
  EXPECT_EQ(file("files"), "0, 1, 2, 3");  // the last is the listed folder
  ::close(ours);
}

TEST_F(ServiceProcessTest, IsStartedAgainWhenItFalls) {
  std::atomic<int> ready{0};
  ServiceProcessOptions options;
  options.on_ready = [&] { ++ready; };
  make(kRuns, std::move(options));
  ASSERT_TRUE(process_->ensure_running({}).ok());
  const int first = process_->state().pid;
  ::kill(first, SIGKILL);
  while (process_->state().pid == first) std::this_thread::sleep_for(milliseconds(2));
  wait_until_running();
  EXPECT_NE(process_->state().pid, first);
  EXPECT_EQ(process_->state().starts, 2u);
  EXPECT_EQ(ready, 2);
}

TEST_F(ServiceProcessTest, SaysWhyItCannotRun) {
  ServiceProcessOptions slow;
  slow.backoff_max = std::chrono::hours(1);
  make("echo no torch here; exit 3", std::move(slow));
  EXPECT_THAT(process_->ensure_running({}).error().message,
              HasSubstr("service: ended with status 3 (no torch here)"));
  ServiceProcessOptions mute;
  mute.start_limit = milliseconds(50);
  make("sleep 600", std::move(mute));
  EXPECT_THAT(process_->ensure_running({}).error().message, HasSubstr("not ready after 0 s"));
  ServiceProcessOptions absent;
  absent.command = {"/no/such/program"};
  auto made = ServiceProcess::create(std::move(absent));
  ASSERT_TRUE(made.ok());
  EXPECT_THAT((*made)->ensure_running({}).error().message, HasSubstr("no such program"));
}

TEST_F(ServiceProcessTest, AWaitEndsWhenNobodyWantsIt) {
  make("sleep 600");
  int asked = 0;
  EXPECT_EQ(process_->ensure_running([&] { return ++asked < 3; }).error().code, Code::kCancelled);
  EXPECT_EQ(asked, 3);
}

TEST_F(ServiceProcessTest, IsKilledWhenItNoLongerAnswers) {
  std::atomic<bool> healthy{true};
  ServiceProcessOptions options;
  options.check_every = milliseconds(1);
  options.checks_failed_max = 2;
  options.healthy = [&] { return healthy.load(); };
  make("trap '' TERM; " + std::string(kRuns), std::move(options));
  ASSERT_TRUE(process_->ensure_running({}).ok());
  const int first = process_->state().pid;
  healthy = false;
  while (process_->state().pid == first) std::this_thread::sleep_for(milliseconds(2));
  healthy = true;
  wait_until_running();
  EXPECT_FALSE(alive(first));
}

TEST_F(ServiceProcessTest, StopsAndStartsAgainWhenNeeded) {
  make(kRuns);
  process_->stop();  // nothing there
  ASSERT_TRUE(process_->ensure_running({}).ok());
  const int first = process_->state().pid;
  process_->stop();
  EXPECT_FALSE(alive(first));
  EXPECT_FALSE(process_->state().running);
  ASSERT_TRUE(process_->ensure_running({}).ok());
  EXPECT_NE(process_->state().pid, first);
  EXPECT_EQ(process_->state().starts, 2u);
}

TEST_F(ServiceProcessTest, WhatFellIsNotStartedAgainForNobody) {
  make("echo x >> $FOLDER/starts; exit 1");
  EXPECT_FALSE(process_->ensure_running({}).ok());
  process_->stop();
  std::this_thread::sleep_for(milliseconds(50));  // longer than the first waits
  const uint32_t starts = process_->state().starts;
  EXPECT_LE(starts, 2u);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(process_->state().starts, starts);
  // Who needs it is a reason to try.
  EXPECT_FALSE(process_->ensure_running({}).ok());
  EXPECT_GT(process_->state().starts, starts);
}

}  // namespace
}  // namespace localai::runtime

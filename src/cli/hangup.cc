#include "cli/hangup.h"

#include <pthread.h>

#include <csignal>

namespace localai::cli {
namespace {

sigset_t hangup_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

void block_hangup() {
  const sigset_t set = hangup_set();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

HangupListener::HangupListener(std::function<void()> on_hangup)
    : thread_([this, on_hangup = std::move(on_hangup)] {
        const sigset_t set = hangup_set();
        int signal = 0;
        while (sigwait(&set, &signal) == 0 && !ending_) on_hangup();
      }) {}

HangupListener::~HangupListener() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGHUP);
  thread_.join();
}

}  // namespace localai::cli

#include "cli/answer_printer.h"

#include <condition_variable>
#include <iostream>
#include <mutex>

#include "base/log.h"

namespace localai::cli {
namespace {

// Events come on other threads; the command's thread prints.
struct Mailbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::string text;
  bool ended = false;
  std::optional<Error> error;

  void end(std::optional<Error> why) {
    const std::lock_guard lock(mutex);
    ended = true;
    error = std::move(why);
    changed.notify_one();
  }
  void receive(runtime::GenerateEvent event) {
    if (auto* failed = std::get_if<runtime::Failed>(&event)) return end(std::move(failed->error));
    if (std::holds_alternative<runtime::Finished>(event)) return end(std::nullopt);
    if (auto* delta = std::get_if<runtime::TokenDelta>(&event)) {
      const std::lock_guard lock(mutex);
      text += delta->text;
      changed.notify_one();
    }
  }
};

}  // namespace

Result<std::string> print_answer(runtime::Service& service, const std::string& model,
                                 runtime::GenerateRequest request) {
  auto box = std::make_shared<Mailbox>();
  const runtime::Generation generation = service.start(
      model, std::move(request),
      [box](const Result<runtime::Resolution>& decision) {
        if (!decision.ok()) return box->end(decision.error());
        if (!decision->fallback) return;
        for (const runtime::SkippedCandidate& skip : decision->skipped)
          log::warn("'{}' cannot answer ({}): {}", skip.name, skip.reason, skip.message);
        log::warn("'{}' answers instead", decision->model);
      },
      [box](runtime::GenerateEvent event) { box->receive(std::move(event)); });
  std::string whole;
  std::unique_lock lock(box->mutex);
  while (true) {
    box->changed.wait(lock, [&] { return box->ended || !box->text.empty(); });
    const std::string piece = std::exchange(box->text, "");
    if (piece.empty()) break;  // ended, and all is printed
    lock.unlock();
    std::cout << piece << std::flush;
    whole += piece;
    lock.lock();
  }
  if (box->error) return *box->error;
  return whole;
}

}  // namespace localai::cli

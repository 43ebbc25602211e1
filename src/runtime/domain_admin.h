#pragma once
// Changes of the domains of a running server: over the API, by another server on the same store, by
// a new config file. One thread makes them, one after the other, so that nobody waits for a store
// who did not ask for it; each is checked as a whole, kept, and then served at once.
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/domain_change.h"
#include "runtime/domain_overlay.h"
#include "runtime/domain_store.h"

namespace localai::runtime {

class DomainAdmin {
 public:
  struct Options {
    ConfigFile file;
    Settings settings;
    Environment environment = process_environment();
    // How often the store is asked whether another server has changed something.
    std::chrono::milliseconds refresh{5000};
  };
  // Whoever serves the domains. Called on the admin's thread.
  struct Server {
    std::function<void(DomainConfig config)> apply;  // from now on these answer
    // Told in a line what was done ("config_applied") or not ("config_refused"), and why.
    std::function<void(std::string type, std::string reason)> report;
  };

  DomainAdmin(std::unique_ptr<DomainStore> store, Options options);
  DomainAdmin(const DomainAdmin&) = delete;
  DomainAdmin& operator=(const DomainAdmin&) = delete;
  ~DomainAdmin() { stop(); }

  // The domains to begin with, and logs what is wrong with them; blocks. A store that is down is
  // logged, and followed once it answers.
  DomainConfig load();
  // Begins to take changes, after load().
  void start(Server server);
  // Ends the thread; what has not begun is refused (kCancelled).
  void stop();

  // These return at once; the sinks are called once, on the admin's thread. Errors: kNotFound,
  // kInvalidArgument (naming the key), kUnavailable (the store), kCancelled.
  void change(DomainChange change, DomainChangeSink sink);
  void changes(ChangeQuery query, StoredChangesSink sink);
  // Puts `file` in the place of the config file. With an error nothing changes; `cause` ("SIGHUP")
  // stands before what is logged and reported.
  void reload(Result<ConfigFile> file, std::string cause);

 private:
  void run();
  void post(std::function<void(bool stopping)> job);
  void refresh();
  void do_reload(Result<ConfigFile> file, const std::string& cause);
  void serve(DomainConfig config, const std::string& reason);
  [[nodiscard]] DomainConfig read() const;
  Result<DomainChanged> do_change(const DomainChange& change);
  Result<std::optional<Json>> new_config(const DomainChange& change);
  void note_store(const Error* error);

  const std::unique_ptr<DomainStore> store_;
  Options options_;
  Server server_;
  // Of the admin's thread:
  std::vector<StoredDomain> stored_;              // as last seen
  uint64_t revision_ = 0;                         // of stored_
  std::vector<DomainProblem> errors_, warnings_;  // of what is served
  bool store_down_ = false;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void(bool stopping)>> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace localai::runtime

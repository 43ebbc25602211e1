#pragma once
// A Transformers service for tests: our own server, and answers that the test decides.
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/json.h"
#include "net/server.h"

namespace localai::runtime {

class FakeTransformers {
 public:
  enum class Mode {
    kAnswer,         // "one two three", then the end
    kStatus,         // `status` with `body`
    kNonsense,       // 200, and a body that is no event stream
    kCutBeforeText,  // the connection closes after the opening chunk
    kCutInText,      // ... after the first words
    kErrorEvent,     // an error event before the first text
    kErrorInText,    // ... after the first words
    kSilent,         // nothing at all, until the client goes
    kStallInText,    // the first words, then nothing
    kSlow,           // words without end, as long as the client reads
  };

  FakeTransformers() {
    net::ServerOptions options;
    options.port = 0;
    auto server = net::Server::listen(
        std::move(options), [this](const net::Request& request, std::shared_ptr<net::Sink> sink) {
          answer(request, std::move(sink));
        });
    LAI_CHECK(server.ok());
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->run(); });
  }
  FakeTransformers(const FakeTransformers&) = delete;
  FakeTransformers& operator=(const FakeTransformers&) = delete;
  ~FakeTransformers() {
    server_->stop();
    {
      const std::lock_guard lock(mutex_);
      held_.clear();
    }
    thread_.join();
    for (std::thread& writer : writers_) writer.join();
  }

  [[nodiscard]] std::string url() const { return server_->url(); }
  void set(Mode mode, int status = 200, std::string body = "") {
    const std::lock_guard lock(mutex_);
    mode_ = mode;
    status_ = status;
    body_ = std::move(body);
  }
  // Bodies of the requests to `path`, in order.
  std::vector<Json> asked(const std::string& path) {
    const std::lock_guard lock(mutex_);
    return asked_[path];
  }
  void wait_for_disconnect() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return gone_ > 0; });
  }

 private:
  static std::string text_chunk(const std::string& text) {
    return net::sse_event(dump_json({{"choices", Json::array({{{"index", 0},
                                                               {"delta", {{"content", text}}},
                                                               {"text", text},
                                                               {"finish_reason", nullptr}}})}}));
  }
  static std::string end_chunks() {
    return net::sse_event(R"({"choices":[{"delta":{},"text":"","finish_reason":"length"}]})") +
           net::sse_event(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}})") +
           net::sse_event("[DONE]");
  }
  static net::Response json(int status, std::string body) {
    net::Response response;
    response.status = status;
    response.body = std::move(body);
    return response;
  }

  void answer(const net::Request& request, std::shared_ptr<net::Sink> sink) {
    const std::lock_guard lock(mutex_);
    const auto body = parse_json(request.body);
    asked_[request.path].push_back(body.ok() ? *body : Json());
    if (request.path == "/v1/models/plan") return sink->respond(json(200, R"({"bytes":100})"));
    if (request.path == "/v1/models/load")
      return sink->respond(json(200, R"({"bytes":120,"context_length":256})"));
    if (request.path == "/v1/models/unload") return sink->respond(json(200, "{}"));
    generate(request.path == "/v1/embeddings", sink);
  }

  void generate(bool embeddings, const std::shared_ptr<net::Sink>& sink) {
    sink->on_end([this](net::EndReason reason) {
      if (reason != net::EndReason::kDisconnected) return;
      const std::lock_guard lock(mutex_);
      ++gone_;
      changed_.notify_all();
    });
    if (mode_ == Mode::kStatus) return sink->respond(json(status_, body_));
    if (mode_ == Mode::kNonsense) return sink->respond(json(200, "<html>hello</html>"));
    if (mode_ == Mode::kSilent) return held_.push_back(sink);
    if (embeddings) return sink->respond(json(200, body_));
    sink->begin_stream({});
    sink->write(text_chunk(""));
    if (mode_ == Mode::kCutBeforeText) return;
    if (mode_ == Mode::kErrorEvent) return fail(*sink);
    if (mode_ == Mode::kSlow) {
      writers_.emplace_back([sink] {
        while (sink->write(text_chunk("word ")))
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
      });
      return;
    }
    sink->write(text_chunk("one ") + text_chunk("two "));
    if (mode_ == Mode::kCutInText) return;
    if (mode_ == Mode::kErrorInText) return fail(*sink);
    if (mode_ == Mode::kStallInText) return held_.push_back(sink);
    sink->write(text_chunk("three") + end_chunks());
    sink->finish();
  }

  static void fail(net::Sink& sink) {
    sink.write(net::sse_event(R"({"error":{"message":"it broke","code":"internal"}})"));
    sink.finish();
  }

  std::unique_ptr<net::Server> server_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Mode mode_ = Mode::kAnswer;
  int status_ = 200;
  std::string body_;
  int gone_ = 0;
  std::map<std::string, std::vector<Json>> asked_;
  std::vector<std::shared_ptr<net::Sink>> held_;
  std::vector<std::thread> writers_;
};

}  // namespace localai::runtime

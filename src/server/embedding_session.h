#pragma once
// One exchange of POST /v1/embeddings: from the service's answer to the response.
#include <memory>
#include <mutex>

#include "net/http.h"
#include "runtime/service.h"
#include "server/embedding_call.h"

namespace localai::server {

// Thread-safe. A client that goes away gives the work up.
class EmbeddingSession {
 public:
  static void start(runtime::Service& service, EmbeddingCall call, std::shared_ptr<net::Sink> sink);

 private:
  EmbeddingSession(EmbeddingCall call, std::shared_ptr<net::Sink> sink)
      : call_(std::move(call)), sink_(std::move(sink)) {}
  void hold(runtime::Generation ticket);
  void on_end();
  void answer(const Result<runtime::EmbeddingAnswer>& answer);

  EmbeddingCall call_;
  std::shared_ptr<net::Sink> sink_;
  std::mutex mutex_;
  bool ended_ = false;
  runtime::Generation ticket_;
};

}  // namespace localai::server

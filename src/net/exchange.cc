#include "net/exchange.h"

#include <array>
#include <charconv>
#include <ctime>
#include <utility>

namespace localai::net {
namespace {

// IMF-fixdate. Source: RFC 9110 section 5.6.7.
std::string http_date() {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  if (gmtime_r(&now, &utc) == nullptr) return "Thu, 01 Jan 1970 00:00:00 GMT";
  const auto two = [](int value) {
    return std::string{static_cast<char>('0' + value / 10), static_cast<char>('0' + value % 10)};
  };
  return std::string(kDays[utc.tm_wday]) + ", " + two(utc.tm_mday) + ' ' + kMonths[utc.tm_mon] +
         ' ' + std::to_string(utc.tm_year + 1900) + ' ' + two(utc.tm_hour) + ':' + two(utc.tm_min) +
         ':' + two(utc.tm_sec) + " GMT";
}

}  // namespace

class ExchangeSink final : public Sink {
 public:
  explicit ExchangeSink(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ExchangeSink(const ExchangeSink&) = delete;
  ExchangeSink& operator=(const ExchangeSink&) = delete;
  ~ExchangeSink() override { exchange_->abandon(); }

  void respond(Response response) override { exchange_->respond(std::move(response)); }
  void begin_stream(Headers headers) override { exchange_->begin_stream(std::move(headers)); }
  bool write(std::string_view bytes) override { return exchange_->write(bytes); }
  void finish() override { exchange_->finish(); }
  [[nodiscard]] bool writable() const override { return exchange_->writable(); }
  void on_writable(std::function<void()> callback) override {
    exchange_->on_writable(std::move(callback));
  }
  void on_end(std::function<void(EndReason)> callback) override {
    exchange_->on_end(std::move(callback));
  }

 private:
  std::shared_ptr<Exchange> exchange_;
};

Exchange::Exchange(ExchangeOptions options, std::function<void()> wake)
    : options_(std::move(options)), wake_(std::move(wake)) {}

std::shared_ptr<Sink> Exchange::make_sink() {
  return std::make_shared<ExchangeSink>(shared_from_this());
}

void Exchange::append_head(int status, Headers headers) {
  if (!options_.http_1_1 && state_ == State::kStreaming) options_.keep_alive = false;
  headers.push_back({"x-request-id", options_.request_id});
  headers.push_back({"x-content-type-options", "nosniff"});
  headers.push_back({"date", http_date()});
  if (!options_.keep_alive)
    headers.push_back({"connection", "close"});
  else if (!options_.http_1_1)
    headers.push_back({"connection", "keep-alive"});
  waiting_ += render_head(status, headers);
}

void Exchange::append_chunk(std::string_view bytes) {
  if (bytes.empty() || options_.head_only) return;  // an empty chunk would end the body
  if (!options_.http_1_1) {
    waiting_ += bytes;
    return;
  }
  std::array<char, 16> hex{};
  const auto [end, error] = std::to_chars(hex.data(), hex.data() + hex.size(), bytes.size(), 16);
  waiting_.append(hex.data(), end);
  waiting_ += "\r\n";
  waiting_ += bytes;
  waiting_ += "\r\n";
}

void Exchange::respond(Response response) {
  const std::lock_guard lock(mutex_);
  if (ended_ || state_ != State::kWaiting) return;
  Headers headers = std::move(response.headers);
  headers.push_back({"content-type", std::move(response.content_type)});
  headers.push_back({"content-length", std::to_string(response.body.size())});
  append_head(response.status, std::move(headers));
  if (!options_.head_only) waiting_ += response.body;
  state_ = State::kFinished;
  wake_();
}

void Exchange::begin_stream(Headers headers) {
  const std::lock_guard lock(mutex_);
  if (ended_ || state_ != State::kWaiting) return;
  state_ = State::kStreaming;
  headers.push_back({"content-type", "text/event-stream"});
  headers.push_back({"cache-control", "no-cache"});
  headers.push_back({"x-accel-buffering", "no"});  // nginx would hold events back
  if (options_.http_1_1) headers.push_back({"transfer-encoding", "chunked"});
  append_head(200, std::move(headers));
  wake_();
}

bool Exchange::write(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (ended_ || state_ != State::kStreaming) return false;
  append_chunk(bytes);
  was_full_ = was_full_ || waiting_.size() + in_flight_bytes_ > options_.buffer_bytes_max;
  wake_();
  return true;
}

void Exchange::finish() {
  const std::lock_guard lock(mutex_);
  if (ended_ || state_ != State::kStreaming) return;
  if (options_.http_1_1 && !options_.head_only) waiting_ += "0\r\n\r\n";
  state_ = State::kFinished;
  wake_();
}

void Exchange::abandon() {
  bool unanswered = false;
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || state_ == State::kFinished) return;
    unanswered = state_ == State::kWaiting;
    if (!unanswered) {
      state_ = State::kBroken;
      wake_();
    }
  }
  if (!unanswered) return;
  Response response{500, "application/json", {}, ""};
  response.body =
      R"({"error":{"message":"the request was dropped inside the server","type":"server_error",)"
      R"("param":null,"code":"internal"}})";
  respond(std::move(response));
}

bool Exchange::writable() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size() + in_flight_bytes_ <= options_.buffer_bytes_max;
}

void Exchange::on_writable(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  if (!ended_) on_writable_ = std::move(callback);
}

void Exchange::on_end(std::function<void(EndReason)> callback) {
  std::unique_lock lock(mutex_);
  if (!ended_) {
    on_end_ = std::move(callback);
    return;
  }
  const EndReason ended = *ended_;
  lock.unlock();
  callback(ended);
}

Exchange::Output Exchange::take() {
  const std::lock_guard lock(mutex_);
  Output out;
  out.bytes.swap(waiting_);
  in_flight_bytes_ = out.bytes.size();
  out.last = state_ == State::kFinished || state_ == State::kBroken;
  out.broken = state_ == State::kBroken;
  return out;
}

void Exchange::sent() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    in_flight_bytes_ = 0;
    if (was_full_ && waiting_.size() <= options_.buffer_bytes_max / 2) {
      was_full_ = false;
      callback = on_writable_;
    }
  }
  if (callback) callback();
}

bool Exchange::streaming() const {
  const std::lock_guard lock(mutex_);
  return state_ == State::kStreaming;
}

void Exchange::heartbeat() {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kStreaming && waiting_.empty()) append_chunk(": waiting\n\n");
}

void Exchange::drop_keep_alive() {
  const std::lock_guard lock(mutex_);
  options_.keep_alive = false;
}

bool Exchange::keeps_alive() const {
  const std::lock_guard lock(mutex_);
  return options_.keep_alive;
}

void Exchange::end(EndReason reason) {
  std::function<void(EndReason)> told;
  std::function<void()> forgotten;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = reason;
    wake_ = nullptr;
    told.swap(on_end_);
    forgotten.swap(on_writable_);  // destroyed outside the lock: it may own a sink
  }
  if (told) told(reason);
}

}  // namespace localai::net

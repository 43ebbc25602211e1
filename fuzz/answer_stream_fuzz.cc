// What a Transformers service sends: a first byte that says chat or not and how the rest is cut
// into pieces, then a stream. It is refused or decoded, the same way however it is cut.
#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "runtime/transformers_stream.h"

namespace {

using namespace localai;
using namespace localai::runtime;

constexpr size_t kMessageBytesMax = 1u << 16;

struct Read {
  Status status = Ok{};
  std::string text;
  size_t events = 0;
  bool done = false;
};

Read read(std::string_view bytes, bool chat, size_t piece) {
  Read out;
  AnswerStream stream(chat);
  std::vector<GenerateEvent> events;
  while (!bytes.empty() && out.status.ok()) {
    const size_t now = std::min(piece, bytes.size());
    out.status = stream.push(bytes.substr(0, now), events);
    bytes.remove_prefix(now);
  }
  out.done = stream.done();
  out.events = events.size();
  for (size_t i = 0; i < events.size(); ++i) {
    if (const auto* delta = std::get_if<TokenDelta>(&events[i])) out.text += delta->text;
    // The end comes last, once, and only when the stream says that it is there.
    const bool last = i + 1 == events.size();
    LAI_CHECK(std::holds_alternative<Finished>(events[i]) == (last && out.done));
  }
  LAI_CHECK(is_valid_utf8(out.text));
  LAI_CHECK(out.status.ok() ||
            (!out.done && out.status.error().message.size() <= kMessageBytesMax));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool chat = (data[0] & 1) != 0;
  const Read whole = read(bytes, chat, std::max<size_t>(bytes.size(), 1));
  const Read parts = read(bytes, chat, 1 + (data[0] >> 1) % 31);
  LAI_CHECK(whole.status.ok() == parts.status.ok() && whole.done == parts.done);
  LAI_CHECK(whole.events == parts.events && whole.text == parts.text);
  if (!whole.status.ok()) LAI_CHECK(whole.status.error().message == parts.status.error().message);

  const ServiceFailure failure = read_service_failure(500, bytes);
  LAI_CHECK(!failure.error.message.empty() && failure.error.message.size() <= kMessageBytesMax);
  return 0;
}

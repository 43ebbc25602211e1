#include "base/json.h"

#include <string>
#include <unordered_set>
#include <vector>

namespace localai {
namespace {

// Feeds nlohmann's DOM builder, and stops at the first nesting or key that the limits forbid.
class LimitedBuilder : public nlohmann::detail::json_sax_dom_parser<Json> {
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;

 public:
  LimitedBuilder(Json& out, const JsonLimits& limits) : Base(out, false), limits_(limits) {}

  bool start_object(std::size_t size) {
    keys_.emplace_back();
    return enter() && Base::start_object(size);
  }
  bool start_array(std::size_t size) { return enter() && Base::start_array(size); }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return Base::end_object();
  }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  bool key(std::string& value) {
    const bool fresh = keys_.back().insert(value).second;
    if (!fresh && !limits_.duplicate_keys) {
      message = "the key \"" + value + "\" stands twice in one object";
      return false;
    }
    if (keys_.back().size() > limits_.members_max) {
      message = "an object of more than " + std::to_string(limits_.members_max) + " members";
      return false;
    }
    return Base::key(value);
  }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) {
    message = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..." -> from "line"
    if (const auto at = message.find("line "); at != std::string::npos) message.erase(0, at);
    return Base::parse_error(position, token, error);
  }

  std::string message;

 private:
  bool enter() {
    if (++depth_ <= limits_.depth_max) return true;
    message = "nested deeper than " + std::to_string(limits_.depth_max) + " levels";
    return false;
  }

  const JsonLimits& limits_;
  uint32_t depth_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  Json root;
  LimitedBuilder builder(root, limits);
  if (!Json::sax_parse(text.begin(), text.end(), &builder) || !builder.message.empty())
    return invalid("not valid JSON: " + builder.message);
  return root;
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace localai

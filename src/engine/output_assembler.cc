#include "engine/output_assembler.h"

#include <utility>

namespace localai::engine {

OutputAssembler::Output OutputAssembler::through_stops(const std::string& text) {
  StopMatcher::Piece piece = stops_.push(text);
  if (!piece.stop) return {std::move(piece.text), std::nullopt};
  return {std::move(piece.text), stops_.stop(*piece.stop)};
}

OutputAssembler::Output OutputAssembler::push(text::TokenId token) {
  return through_stops(decoder_.push(token));
}

OutputAssembler::Output OutputAssembler::finish() {
  Output output = through_stops(decoder_.finish());
  if (!output.stop) output.text += stops_.take_held();
  return output;
}

}  // namespace localai::engine

#pragma once
// BERT's normalizer and pre-tokenizer as steps of a VocabularySpec.
#include "text/vocabulary.h"

namespace localai::text {

struct BertNormalizer {
  bool clean_text = true;
  bool ideographs_apart = true;
  bool strip_accents = true;
  bool lowercase = true;
};
void add_bert_normalizer(VocabularySpec& spec, const BertNormalizer& wanted);
// Whitespace goes, punctuation stands alone.
void add_bert_pre_tokenizer(VocabularySpec& spec);

}  // namespace localai::text

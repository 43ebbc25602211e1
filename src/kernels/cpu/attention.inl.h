#pragma once
// Attention over a paged KV cache, softmax online over chunks of 256 absolute positions (Milakov
// and Gimelshein, arXiv 1805.02867). For one query and one chunk, with m, l, o of the chunks
// before:
//   s[p] = cap(scale * (q . k[p])), the dot product as in matmul_exact
//   m' = max(m, max s), w[p] = exp(s[p] - m'), l' = l exp(m - m') + sum of w (16 lanes by p % 16)
//   o' = o exp(m - m'), then o' += w[p] v[p] for p ascending (fused)
// and o / l at the end. Up to four queries are computed together so that they share the loads of K
// and V; a query's own operations stay the same. Included after matmul_exact.inl.h.

namespace localai::kernels {
namespace {

// One chunk of the cache: the rows of its visible positions, and each query's part of it.
struct Chunk {
  size_t begin = 0;  // absolute position of index 0
  const std::byte* k[kAttentionChunk];
  const std::byte* v[kAttentionChunk];
};

struct QueryState {
  const float* q;
  float* out;
  size_t key_begin, key_end;
  size_t low, high;  // its visible indices of the current chunk; none if low >= high
  bool started;
  float max, sum;
};

inline void locate_rows(const AttentionArgs& a, size_t row_bytes, size_t low, size_t high,
                        Chunk& chunk) {
  size_t block = (chunk.begin + low) / a.block_tokens, row = (chunk.begin + low) % a.block_tokens;
  for (size_t i = low; i < high; ++block, row = 0) {
    for (; row < a.block_tokens && i < high; ++row, ++i) {
      chunk.k[i] = a.k_blocks[block] + row * row_bytes;
      chunk.v[i] = a.v_blocks[block] + row * row_bytes;
    }
  }
}

// scores[i][p] = q_i . k_p for p of [low, high).
template <class Plain, size_t kQueries>
void score_rows(const AttentionArgs& a, const QueryState* queries, const Chunk& chunk, size_t low,
                size_t high, float (*scores)[kAttentionChunk]) {
  const float* q[kQueries];
  for (size_t i = 0; i < kQueries; ++i) q[i] = queries[i].q;
  for (size_t p = low; p < high; p += kTileRows) {
    const size_t valid = high - p < kTileRows ? high - p : kTileRows;
    const std::byte* k[kTileRows];
    for (size_t j = 0; j < kTileRows; ++j) k[j] = chunk.k[p + (j < valid ? j : valid - 1)];
    F acc[kLanes];
    for (F& lanes : acc) lanes = zero();
    accumulate_tile<Plain, kQueries>(k, q, a.head_dim, acc);
    float out[kLanes];
    reduce_tile<kQueries>(acc, out);
    for (size_t i = 0; i < kQueries; ++i)
      for (size_t j = 0; j < valid; ++j) scores[i][p + j] = out[i * kTileRows + j];
  }
}

// Turns the scores of one query into weights; scales what was summed before to the new maximum.
void softmax_chunk(const AttentionArgs& a, QueryState& query, float* scores) {
  const size_t first = query.low / kLanes * kLanes;
  const size_t last = (query.high + kLanes - 1) / kLanes * kLanes;
  for (size_t p = first; p < query.low; ++p) scores[p] = 0.f;
  for (size_t p = query.high; p < last; ++p) scores[p] = 0.f;
  for (size_t p = first; p < last; p += kLanes) {
    F s = load(scores + p) * set1(a.scale);
    if (a.softcap != 0.f) s = set1(a.softcap) * tanh(s / set1(a.softcap));
    store(scores + p, s);
  }
  for (size_t p = first; p < query.low; ++p) scores[p] = -__builtin_inff();
  for (size_t p = query.high; p < last; ++p) scores[p] = -__builtin_inff();

  F best = load(scores + first);
  for (size_t p = first + kLanes; p < last; p += kLanes) best = max(best, load(scores + p));
  float top = reduce_max(best);
  if (query.started && query.max > top) top = query.max;
  F sum = zero();
  for (size_t p = first; p < last; p += kLanes) {
    const F w = exp(load(scores + p) - set1(top));
    store(scores + p, w);
    sum = sum + w;
  }
  float correction[kLanes] = {};  // unused while nothing was summed before
  if (query.started) {
    store(correction, exp(set1(query.max - top)));
    scale(query.out, correction[0], a.head_dim);
  } else {
    for (size_t d = 0; d < a.head_dim; ++d) query.out[d] = 0.f;
    query.sum = 0.f;
  }
  query.sum = fma1(query.sum, correction[0], reduce_add(sum));
  query.max = top;
  query.started = true;
}

// out_i[d ..] += sum over p of weights[i][p] * v_p[d ..], kVectors vectors of 16 elements.
template <class Plain, size_t kQueries, size_t kVectors>
inline void add_values(const QueryState* queries, const Chunk& chunk, size_t low, size_t high,
                       size_t d, const float (*weights)[kAttentionChunk]) {
  F acc[kQueries][kVectors];
#pragma GCC unroll 4
  for (size_t i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; ++j) acc[i][j] = load(queries[i].out + d + j * kLanes);
  for (size_t p = low; p < high; ++p) {
    F v[kVectors];
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; ++j)
      v[j] = Plain::load16(chunk.v[p] + (d + j * kLanes) * Plain::kBytes);
#pragma GCC unroll 4
    for (size_t i = 0; i < kQueries; ++i) {
      const F w = set1(weights[i][p]);
#pragma GCC unroll 4
      for (size_t j = 0; j < kVectors; ++j) acc[i][j] = fma(w, v[j], acc[i][j]);
    }
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; ++j) store(queries[i].out + d + j * kLanes, acc[i][j]);
}

template <class Plain, size_t kQueries>
void add_weighted_values(const AttentionArgs& a, const QueryState* queries, const Chunk& chunk,
                         size_t low, size_t high, const float (*weights)[kAttentionChunk]) {
  if (low >= high) return;
  size_t d = 0;
  for (; d + 4 * kLanes <= a.head_dim; d += 4 * kLanes)
    add_values<Plain, kQueries, 4>(queries, chunk, low, high, d, weights);
  for (; d + kLanes <= a.head_dim; d += kLanes)
    add_values<Plain, kQueries, 1>(queries, chunk, low, high, d, weights);
  if (d == a.head_dim) return;
  for (size_t i = 0; i < kQueries; ++i) {
    F acc = load_part(queries[i].out + d, a.head_dim - d);
    for (size_t p = low; p < high; ++p)
      acc = fma(set1(weights[i][p]),
                load_plain_part<Plain>(chunk.v[p] + d * Plain::kBytes, a.head_dim - d), acc);
    store_part(queries[i].out + d, acc, a.head_dim - d);
  }
}

// One chunk of kQueries queries whose visible parts of it overlap.
template <class Plain, size_t kQueries>
void attend_chunk(const AttentionArgs& a, QueryState* queries, Chunk& chunk) {
  size_t low = queries[0].low, high = queries[0].high, low_all = low, high_all = high;
  for (size_t i = 1; i < kQueries; ++i) {
    low = queries[i].low < low ? queries[i].low : low;
    high = queries[i].high > high ? queries[i].high : high;
    low_all = queries[i].low > low_all ? queries[i].low : low_all;
    high_all = queries[i].high < high_all ? queries[i].high : high_all;
  }
  locate_rows(a, a.head_dim * Plain::kBytes, low, high, chunk);
  alignas(64) float scores[kQueries][kAttentionChunk];
  score_rows<Plain, kQueries>(a, queries, chunk, low, high, scores);
  for (size_t i = 0; i < kQueries; ++i) softmax_chunk(a, queries[i], scores[i]);
  for (size_t i = 0; i < kQueries; ++i)
    add_weighted_values<Plain, 1>(a, queries + i, chunk, queries[i].low, low_all, scores + i);
  add_weighted_values<Plain, kQueries>(a, queries, chunk, low_all, high_all, scores);
  for (size_t i = 0; i < kQueries; ++i)
    add_weighted_values<Plain, 1>(a, queries + i, chunk, high_all, queries[i].high, scores + i);
}

// Whether all of the queries see a common index of the current chunk.
inline bool overlap(const QueryState* queries, size_t count) {
  size_t low = 0, high = kAttentionChunk;
  for (size_t i = 0; i < count; ++i) {
    low = queries[i].low > low ? queries[i].low : low;
    high = queries[i].high < high ? queries[i].high : high;
  }
  return low < high;
}

template <class Plain>
void attend_group(const AttentionArgs& a, QueryState* queries, size_t count) {
  size_t first = queries[0].key_begin, last = queries[0].key_end;
  for (size_t i = 1; i < count; ++i) {
    first = queries[i].key_begin < first ? queries[i].key_begin : first;
    last = queries[i].key_end > last ? queries[i].key_end : last;
  }
  Chunk chunk;
  for (chunk.begin = first / kAttentionChunk * kAttentionChunk; chunk.begin < last;
       chunk.begin += kAttentionChunk) {
    for (size_t i = 0; i < count; ++i) {
      QueryState& q = queries[i];
      const size_t end = q.key_end < chunk.begin ? chunk.begin : q.key_end;
      q.low = q.key_begin > chunk.begin ? q.key_begin - chunk.begin : 0;
      q.high = end - chunk.begin < kAttentionChunk ? end - chunk.begin : kAttentionChunk;
    }
    if (count > 1 && overlap(queries, count)) {
      if (count == 2) attend_chunk<Plain, 2>(a, queries, chunk);
      if (count == 3) attend_chunk<Plain, 3>(a, queries, chunk);
      if (count == 4) attend_chunk<Plain, 4>(a, queries, chunk);
    } else {
      for (size_t i = 0; i < count; ++i)
        if (queries[i].low < queries[i].high) attend_chunk<Plain, 1>(a, queries + i, chunk);
    }
  }
}

template <class Plain>
void attend(const AttentionArgs& a) {
  for (size_t start = 0; start < a.queries; start += 4) {
    const size_t count = a.queries - start < 4 ? a.queries - start : 4;
    QueryState queries[4];
    for (size_t i = 0; i < count; ++i)
      queries[i] = {a.q[start + i],
                    a.out[start + i],
                    a.key_begin[start + i],
                    a.key_end[start + i],
                    0,
                    0,
                    false,
                    0.f,
                    0.f};
    attend_group<Plain>(a, queries, count);
    for (size_t i = 0; i < count; ++i) {
      const float sum = queries[i].sum;
      for (size_t d = 0; d < a.head_dim; ++d) queries[i].out[d] = queries[i].out[d] / sum;
    }
  }
}

void attention(const AttentionArgs& a) {
  if (a.kv_dtype == DType::kF32) return attend<PlainF32>(a);
  attend<PlainF16>(a);
}

}  // namespace
}  // namespace localai::kernels

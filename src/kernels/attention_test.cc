// Attention: the scalar set against f64, every set against the scalar one, and the contract that a
// query's result depends on nothing but its own keys.
#include <algorithm>
#include <cmath>

#include "kernels/kernels_test_data.h"

namespace localai::kernels::testing {
namespace {

// A paged cache of one head with random contents; blocks lie in memory in reverse order.
struct Cache {
  DType type;
  size_t tokens, head_dim, block_tokens;
  std::vector<float> k, v;  // what the cache holds, in f32
  std::vector<std::byte> storage;
  std::vector<const std::byte*> k_blocks, v_blocks;

  Cache(DType dtype, size_t token_count, size_t dim, size_t block, Random& random)
      : type(dtype), tokens(token_count), head_dim(dim), block_tokens(block) {
    const size_t element = type == DType::kF32 ? 4 : 2;
    const size_t blocks = (tokens + block - 1) / block, bytes = block * dim * element;
    storage.resize(2 * blocks * bytes);
    fill(k, k_blocks, 0, blocks, bytes, random);
    fill(v, v_blocks, blocks * bytes, blocks, bytes, random);
  }

 private:
  void fill(std::vector<float>& values, std::vector<const std::byte*>& table, size_t offset,
            size_t blocks, size_t bytes, Random& random) {
    const size_t elements = block_tokens * head_dim;
    values = random.floats(blocks * elements, -2.f, 2.f);
    for (size_t b = 0; b < blocks; ++b) {
      std::byte* at = storage.data() + offset + (blocks - 1 - b) * bytes;
      quantize(type, values.data() + b * elements, at, elements);
      dequantize(type, at, values.data() + b * elements, elements);
      table.push_back(at);
    }
  }
};

struct Query {
  std::vector<float> q;
  uint32_t begin, end;
};

std::vector<std::vector<float>> run_attention(const KernelSet& set, const Cache& cache,
                                              const std::vector<Query>& queries, float cap) {
  std::vector<std::vector<float>> out(queries.size(), std::vector<float>(cache.head_dim, NAN));
  std::vector<const float*> q;
  std::vector<float*> o;
  std::vector<uint32_t> begin, end;
  for (size_t i = 0; i < queries.size(); ++i) {
    q.push_back(queries[i].q.data());
    o.push_back(out[i].data());
    begin.push_back(queries[i].begin);
    end.push_back(queries[i].end);
  }
  AttentionArgs args;
  args.queries = queries.size();
  args.q = q.data();
  args.out = o.data();
  args.key_begin = begin.data();
  args.key_end = end.data();
  args.k_blocks = cache.k_blocks.data();
  args.v_blocks = cache.v_blocks.data();
  args.block_tokens = cache.block_tokens;
  args.kv_dtype = cache.type;
  args.head_dim = cache.head_dim;
  args.scale = 1.f / std::sqrt(static_cast<float>(cache.head_dim));
  args.softcap = cap;
  set.attention(args);
  return out;
}

std::vector<double> reference(const Cache& cache, const Query& query, double cap) {
  std::vector<double> s, out(cache.head_dim, 0.0);
  double top = -1e300, sum = 0;
  for (size_t p = query.begin; p < query.end; ++p) {
    double dot = 0;
    for (size_t d = 0; d < cache.head_dim; ++d)
      dot += double{query.q[d]} * double{cache.k[p * cache.head_dim + d]};
    dot /= std::sqrt(static_cast<double>(cache.head_dim));
    if (cap != 0) dot = cap * std::tanh(dot / cap);
    s.push_back(dot);
    top = std::max(top, dot);
  }
  for (double& x : s) sum += x = std::exp(x - top);
  for (size_t i = 0; i < s.size(); ++i)
    for (size_t d = 0; d < cache.head_dim; ++d)
      out[d] += s[i] / sum * double{cache.v[(query.begin + i) * cache.head_dim + d]};
  return out;
}

// Causal and windowed ranges, ends around the chunk, and one pair that shares nothing.
std::vector<Query> make_queries(size_t head_dim, size_t tokens, Random& random) {
  std::vector<Query> out;
  const std::pair<uint32_t, uint32_t> ranges[] = {
      {0, 1},     {0, 5},     {0, 255},   {0, 256},   {0, 257},   {0, 600},   {88, 600},
      {87, 599},  {86, 598},  {255, 257}, {256, 512}, {590, 600}, {0, 17},    {500, 501},
      {300, 310}, {300, 311}, {300, 312}, {300, 313}, {301, 314}, {512, 600}, {599, 600}};
  for (const auto& [begin, end] : ranges)
    if (end <= tokens) out.push_back({random.floats(head_dim, -3.f, 3.f), begin, end});
  return out;
}

TEST(Attention, ScalarIsNearF64) {
  Random random(31);
  for (const size_t head_dim : {8, 16, 20, 64})
    for (const float cap : {0.f, 5.f}) {
      const Cache cache(DType::kF32, 600, head_dim, 32, random);
      const std::vector<Query> queries = make_queries(head_dim, 600, random);
      const auto got = run_attention(scalar_set(), cache, queries, cap);
      for (size_t i = 0; i < queries.size(); ++i) {
        const std::vector<double> want = reference(cache, queries[i], double{cap});
        // |v| <= 2; a score of at most 6 * 8 has head_dim / 16 + 6 roundings, the weights 600 / 16.
        for (size_t d = 0; d < head_dim; ++d) ASSERT_NEAR(got[i][d], want[d], 4e-5) << i;
      }
    }
}

TEST(Attention, SetsGiveTheSameBits) {
  Random random(32);
  for (const DType type : {DType::kF32, DType::kF16})
    for (const size_t head_dim : {1, 8, 16, 20, 64, 80, 96, 128, 256})
      for (const float cap : {0.f, 50.f}) {
        const Cache cache(type, 600, head_dim, 16, random);
        const std::vector<Query> queries = make_queries(head_dim, 600, random);
        const auto want = run_attention(scalar_set(), cache, queries, cap);
        for (const KernelSet* set : wide_sets()) {
          const auto got = run_attention(*set, cache, queries, cap);
          for (size_t i = 0; i < want.size(); ++i)
            expect_same_bits(want[i], got[i],
                             std::string(set->name) + " query " + std::to_string(i) + " head_dim " +
                                 std::to_string(head_dim));
        }
      }
}

TEST(Attention, AQueryDoesNotDependOnItsNeighbours) {
  Random random(33);
  std::vector<const KernelSet*> sets = wide_sets();
  sets.push_back(&scalar_set());
  for (const KernelSet* set : sets) {
    const Cache cache(DType::kF16, 600, 24, 64, random);
    std::vector<Query> queries = make_queries(24, 600, random);
    const auto together = run_attention(*set, cache, queries, 0.f);
    for (size_t i = 0; i < queries.size(); ++i)
      expect_same_bits(together[i], run_attention(*set, cache, {queries[i]}, 0.f)[0],
                       std::string(set->name) + " query " + std::to_string(i));
    std::reverse(queries.begin(), queries.end());
    const auto reversed = run_attention(*set, cache, queries, 0.f);
    for (size_t i = 0; i < queries.size(); ++i)
      expect_same_bits(together[queries.size() - 1 - i], reversed[i], std::string(set->name));
  }
}

// What was never written may hold anything; blocks nobody sees may not exist.
TEST(Attention, ReadsNothingThatIsNotVisible) {
  Random random(34);
  std::vector<const KernelSet*> sets = wide_sets();
  sets.push_back(&scalar_set());
  for (const KernelSet* set : sets) {
    Cache cache(DType::kF32, 600, 16, 16, random);
    const std::vector<Query> queries = {{random.floats(16), 290, 300},
                                        {random.floats(16), 290, 301},
                                        {random.floats(16), 400, 410},
                                        {random.floats(16), 400, 411}};
    const auto want = run_attention(*set, cache, queries, 0.f);
    for (size_t p = 0; p < 608; ++p)
      if (p < 290 || (p >= 301 && p < 400) || p >= 411)
        for (auto* blocks : {&cache.k_blocks, &cache.v_blocks}) {
          auto* row = const_cast<std::byte*>((*blocks)[p / 16]) + p % 16 * 64;
          std::memset(row, 0xff, 64);  // NaN
        }
    for (const size_t b : {0, 17, 19, 24, 26, 37}) cache.k_blocks[b] = cache.v_blocks[b] = nullptr;
    const auto got = run_attention(*set, cache, queries, 0.f);
    for (size_t i = 0; i < 4; ++i) expect_same_bits(want[i], got[i], std::string(set->name));
  }
}

}  // namespace
}  // namespace localai::kernels::testing

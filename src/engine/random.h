#pragma once
// Counter-based random numbers: a pure function of (seed, position), so a draw does not depend on
// what was drawn before. Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"
// (Philox4x32 with 10 rounds; constants of its table 2).
#include <array>
#include <cstdint>

namespace localai::engine {

// One block of the generator.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Uniform in [0, 1), 53 bits. `stream` separates independent uses at one position.
double uniform_at(uint64_t seed, uint64_t position, uint32_t stream = 0);

}  // namespace localai::engine

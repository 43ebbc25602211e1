#pragma once
// Memory of processes as the system sees it.
#include <cstdint>

namespace localai {

// Resident memory of a process, this one's for 0. 0 when there is no such process, or no /proc.
uint64_t resident_bytes(int pid = 0);
// Gives the heap's free pages back to the system; where the C library cannot, nothing happens.
// Takes milliseconds: for when something large went.
void return_free_memory();

}  // namespace localai

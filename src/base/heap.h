#pragma once

namespace localai {

// Gives the heap's free pages back to the system; where the C library cannot, nothing happens.
// Takes milliseconds: for when something large went.
void return_free_memory();

}  // namespace localai

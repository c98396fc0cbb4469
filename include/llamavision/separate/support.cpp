// SPDX-License-Identifier: Apache-2.0
// Compiled once in a program that defines LLAMAVISION_SEPARATE (support/separate.hpp).
#include <llamavision/support/json.ipp>
#include <llamavision/support/machine_memory.ipp>
#include <llamavision/support/machine_threads.ipp>
#include <llamavision/support/sha256.ipp>
#include <llamavision/support/thread_pool.ipp>

// SPDX-License-Identifier: Apache-2.0
// The other unit.
#include <everything.hpp>

int included_elsewhere();

int included_elsewhere() { return 0; }

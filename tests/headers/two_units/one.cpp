// SPDX-License-Identifier: Apache-2.0
// One of two units that include every header: what a header defines without `inline` would be defined twice.
#include <everything.hpp>

int included_elsewhere();

int main() { return included_elsewhere(); }

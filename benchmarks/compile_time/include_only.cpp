// SPDX-License-Identifier: Apache-2.0
// The price of the include alone.
#include <llamavision/model.hpp>

int main() {}

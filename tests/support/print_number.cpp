// SPDX-License-Identifier: Apache-2.0
// Real numbers as text.
#include <llamavision/support/print_number.hpp>

#include <doctest/doctest.h>

using llamavision::print_number;

TEST_CASE("numbers are printed so that they read back") {
    CHECK(print_number(500000.0) == "500000.0");
    CHECK(print_number(1e-5f) == "1e-05");
    CHECK(print_number(8.0) == "8.0");
    CHECK(print_number(0.1) == "0.1");
    CHECK(print_number(0.0) == "0.0");
    CHECK(print_number(1e300) == "1e+300");
}

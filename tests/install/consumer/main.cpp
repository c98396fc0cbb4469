// SPDX-License-Identifier: Apache-2.0
// The smallest use of the library: enough to need its headers, and those of every library that it depends on.
#if __has_include(<llamavision/model.hpp>)
#include <llamavision/model.hpp>
#endif
#include <Eigen/Core>
#include <llamavision/support/error.hpp>
#include <nlohmann/json.hpp>
#include <stb_image.h>
#include <xsimd/xsimd.hpp>

#if __has_include(<llamavision/version.hpp>)
#include <llamavision/version.hpp>
static_assert(LLAMAVISION_VERSION_MAJOR >= 0 && sizeof(LLAMAVISION_VERSION) > 5);
#endif

int main() {
    try {
        throw llamavision::argument_error("as expected");
    } catch (llamavision::error const&) { return 0; }
}

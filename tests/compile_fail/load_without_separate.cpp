// SPDX-License-Identifier: Apache-2.0
// load(path) is compiled in llamavision::separate; headers alone need a configuration.
// expect: deleted function
// expect below: = delete; // link llamavision::separate
#ifdef CORRECT
#define LLAMAVISION_SEPARATE
#endif
#include <llamavision/load.hpp>

llamavision::model open() { return llamavision::load("model"); }

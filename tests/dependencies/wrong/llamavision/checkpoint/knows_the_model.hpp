// SPDX-License-Identifier: Apache-2.0
// Breaks two walls on purpose: a room above its own, and a library that is not ours.
#pragma once

#include <boost/version.hpp>
#include <llamavision/model/whole.hpp>

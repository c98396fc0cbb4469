// SPDX-License-Identifier: Apache-2.0
// A comment that names gone.hpp.
#pragma once

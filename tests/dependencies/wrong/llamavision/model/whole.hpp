// SPDX-License-Identifier: Apache-2.0
// What the other header must not include.
#pragma once

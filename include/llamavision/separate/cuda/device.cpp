// SPDX-License-Identifier: Apache-2.0
// The device, compiled once.
#include <llamavision/backend/cuda/device/device.ipp>

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a sentence about a picture: installs what the build needs, builds the program, asks the bundled model.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash examples/packages.sh g++ cmake make git libeigen3-dev libxsimd-dev libstb-dev nlohmann-json3-dev libcli11-dev

cmake -S . -B build/quickstart -DCMAKE_BUILD_TYPE=Release -DLLAMAVISION_TESTS=OFF -DLLAMAVISION_EXAMPLES=OFF >/dev/null
echo "Building (a minute or two) ..."
cmake --build build/quickstart --target llamavision_program -j "$(nproc)"

picture=examples/tiny/pictures/shapes.png
question="Describe this image."
echo "$picture: $question"
build/quickstart/bin/llamavision describe "$picture" --prompt "$question"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the machine lacks, builds, and runs everything; the last line is `N passed, N failed`.
# --quick: only the Release build with g++ and its tests; otherwise also clang with the sanitizers, short fuzzing, and AArch64.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

quick=false
[ "${1:-}" = --quick ] && quick=true

bash examples/packages.sh g++ cmake ninja-build python3 \
    libeigen3-dev libxsimd-dev libstb-dev nlohmann-json3-dev libcli11-dev doctest-dev || echo "Going on without them."
for package in libwebp-dev libavif-dev libheif-dev; do # each decodes a picture format, and can be missed
    bash examples/packages.sh "$package" || echo "Going on without $package."
done
if ! $quick; then # one by one: their names differ between releases, and the checks that need them can be missed
    for package in clang libclang-rt-dev clang-format-14 clang-tidy-14 g++-aarch64-linux-gnu qemu-user; do
        bash examples/packages.sh "$package" || echo "Going on without $package."
    done
fi
command -v ccache >/dev/null && export CMAKE_CXX_COMPILER_LAUNCHER=ccache

logs=() broken=()

# Where CUDA's compiler is, the release build holds the cuda backend, whose tests run on the host, and on a GPU if there is one.
# Kernels differ at compute capability 8.0 alone: one below it, and one above, whose PTX serves what comes later.
cuda=OFF
command -v nvcc >/dev/null && cuda=ON && export CMAKE_CUDA_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER:-}

# step PRESET TARGETS CTEST_ARGUMENT...: configures, builds what still builds if something does not, and tests.
step() {
    local preset=$1 targets=$2 log=build/$1.log start=$SECONDS
    shift 2
    echo "== $preset: building $targets"
    mkdir -p build
    # shellcheck disable=SC2086 # the targets are words
    if ! { cmake --preset "$preset" -G Ninja ${options[@]+"${options[@]}"} && cmake --build "build/$preset" --target $targets -- -k 0; } >"$log.build" 2>&1; then
        grep -E -A8 'FAILED:|error:|CMake Error' "$log.build" | head -60
        broken+=("build of $preset")
    fi
    echo "== $preset: testing, after $((SECONDS - start)) s"
    ctest --test-dir "build/$preset" -V --timeout 1200 --parallel "$(nproc)" "$@" >"$log" 2>&1
    logs+=("$log")
    echo "== $preset: done in $((SECONDS - start)) s"
}

options=(-DLLAMAVISION_CUDA=$cuda "-DCMAKE_CUDA_ARCHITECTURES=75-real;90")
if $quick; then
    step release all -LE emulated
else
    step release all
    options=()
    command -v qemu-x86_64 >/dev/null || echo "== SSE2 alone: skipped, as qemu is missing"
    # With clang and the sanitizers in one: two builds of every test would find little more than this one.
    if command -v clang++ >/dev/null; then
        step sanitize "fast_tests two_units fuzz_targets" -L 'fast|fuzz'
    else
        broken+=("clang++ is not installed")
    fi
    # CUDA 13 has forgotten compute capability 7.0: where there is an nvcc 12 ($NVCC12, or where its installer puts it), it compiles
    # the backend for that.
    for nvcc12 in "${NVCC12:-}" /usr/local/cuda-12*/bin/nvcc; do
        [ -x "$nvcc12" ] || continue
        echo "== cuda12: building llamavision_cuda for 7.0 with $nvcc12"
        if ! { cmake --preset cuda -B build/cuda12 -G Ninja -DCMAKE_CUDA_COMPILER="$nvcc12" -DCUDAToolkit_ROOT="${nvcc12%/bin/nvcc}" \
            -DCMAKE_CUDA_ARCHITECTURES=70-real && cmake --build build/cuda12 --target llamavision_cuda; } >build/cuda12.log.build 2>&1; then
            grep -E -A8 'FAILED:|error|CMake Error' build/cuda12.log.build | head -60
            broken+=("build of cuda12")
        fi
        break
    done
    if command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null; then
        step aarch64 "test_backend test_weights" -R '^(weights|backend[.])'
    else
        echo "== aarch64: skipped, as its compiler or qemu is missing"
    fi
fi

python3 tests/count.py "${logs[@]}" ${broken[@]+--broken "${broken[@]}"}

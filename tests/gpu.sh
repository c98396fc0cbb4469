#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What only a machine with an NVIDIA GPU can check: gpu.sh [--quick] [BUILD]. BUILD is a folder configured with
# -DLLAMAVISION_CUDA=ON; without one, build/release is made. It may have been built on another machine: what runs is
# BUILD/tests/test_backend, test_cuda and test_golden and BUILD/bin/llamavision, which need the driver and libcublasLt alone.
# --quick leaves out the sanitizer and the large models. The last line is `N passed, N failed`.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

quick=false
[ "${1:-}" = --quick ] && quick=true && shift
build=${1:-build/release}
if [ ! -x "$build/tests/test_cuda" ]; then
    cmake --preset release -B "$build" -DLLAMAVISION_CUDA=ON &&
        cmake --build "$build" --target test_backend test_cuda test_golden llamavision_program -- -j "$(nproc)" || exit 1
fi
if ! ldconfig -p | grep -q 'libcublasLt.so.1[0-9]'; then # perhaps it came with a Python package
    found=$(find /usr /opt -name 'libcublasLt.so.1[0-9]' -print -quit 2>/dev/null)
    [ -n "$found" ] && export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}${found%/*}
fi
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || echo "nvidia-smi is not here"

passed=0 failed=0
# check NAME COMMAND...: runs it, and counts.
check() {
    local name=$1 start=$SECONDS
    shift
    if "$@"; then
        passed=$((passed + 1)) && echo "== $name: passed in $((SECONDS - start)) s"
    else
        failed=$((failed + 1)) && echo "== $name: FAILED in $((SECONDS - start)) s"
    fi
}

check "every word on the GPU" "$build/tests/test_backend" -tc='*on_gpu*'
check "layouts, attention and networks on the GPU" "$build/tests/test_cuda"
check "the references' layers, logits and tokens on the GPU" "$build/tests/test_golden" -tc='*_gpu>*'

program=$build/bin/llamavision
picture=examples/tiny/pictures/shapes.png
same_answer() {
    diff <("$program" describe "$picture" --greedy) <("$program" describe "$picture" --greedy --device cuda "$@")
}
check "the bundled model's answer, weights as stored" same_answer
check "the bundled model's answer, in bf16" same_answer --text bf16 --vision bf16
check "the bundled model's answer, in q8" same_answer --text q8 --vision bf16

if ! $quick; then
    if command -v compute-sanitizer >/dev/null; then
        sanitize() { compute-sanitizer --error-exitcode 9 --print-limit 5 "$@"; }
        some='*rounded attention*,*rows in float*,*tower*,*backend*s layouts*,*same bits*,*tokens are chosen*'
        check "memcheck" sanitize --tool memcheck "$build/tests/test_cuda" -tc="$some"
        check "racecheck" sanitize --tool racecheck "$build/tests/test_cuda" -tc="$some"
    else
        echo "skipped: compute-sanitizer is not here"
    fi
    for formats in "bf16 bf16" "bf16 q8" "bf16 q4"; do
        # shellcheck disable=SC2086 # two words
        set -- $formats
        check "bench, 11B, vision $1, text $2" "$program" bench --device cuda --config 11b --random --vision "$1" \
            --text "$2" --prompt 64 --answer 128 --batch 16 --repeat 5
    done
fi
echo "$passed passed, $failed failed"
exit $((failed > 0))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wide instructions are in the symbols of wide tiers only.

A function that is not inlined is one weak symbol for the whole program, and the linker keeps any one of its copies. If a
copy with AVX2 were kept for a symbol that the baseline calls as well, the program would end on a machine without AVX2. So
every function of the simd backend that has wider instructions than the compiler's baseline must have a tier's name in its
symbol, and every function of the backend must be in the namespace of its compilation (backend/simd/arch/arch.hpp).

usage: instructions.py OBJDUMP OBJECT_OR_ARCHIVE...     (checks objects)
       instructions.py OBJDUMP --self-test COMPILER     (checks this script with an object that is wrong)
"""
import pathlib
import re
import subprocess
import sys
import tempfile

TIERS = r"\b(avx2|avx2_vnni|avx512|avx512_bf16|amx|neon_dot|neon_i8mm|neon_bf16)::"
X86 = re.compile(r"%[yz]mm|%tmm|%k[0-7]|^v[a-z0-9]+ ")
ARM = re.compile(r"^(sdot|udot|usdot|sudot|smmla|ummla|bfmmla|bfdot|bfcvt)")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\s+(\S.*)$")
# The backend's own namespaces and class: their functions differ from one set of -m flags to another.
OWN = re.compile(r"^(?!.*\b(compiled_for_\w+|compiled_separately)::).*\bllamavision::"
                 r"(simd|simd_ops|elementwise|norms|products|flash|panels|blocks|baseline|avx\w+|amx|neon\w*)::")


def faults(objdump, path):
    """Sentences about what is wrong in an object or archive."""
    text = subprocess.run([objdump, "-d", "-C", "--no-show-raw-insn", str(path)], check=True, capture_output=True,
                          text=True).stdout
    wide = ARM if "aarch64" in text[:4000] else X86
    name, found, functions, in_tiers = "", {}, 0, 0
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            name = match[1]
            functions += 1
            in_tiers += bool(re.search(TIERS, name))
            if OWN.match(name.split("(")[0]):
                found.setdefault(name, "is outside the namespace of its compilation")
        elif (match := INSTRUCTION.match(line)) and wide.search(match[1]) and not re.search(TIERS, name):
            found.setdefault(name, "has `" + " ".join(match[1].split()) + "`")
    if functions == 0:
        found[str(path)] = "has no functions"
    return [f"{name} {what}" for name, what in found.items()], functions, in_tiers


def self_test(objdump, compiler):
    """A tier's loop that a template outside all tiers holds, as a shared helper would: it must be found."""
    source = """
        namespace llamavision { inline namespace compiled_separately {
        template <class T> __attribute__((target("avx2"), noinline)) void doubled(T* x) {
            for (int i = 0; i < 64; ++i) x[i] += x[i];
        }
        namespace avx2 { __attribute__((target("avx2"))) void twice(float* x) { doubled(x); } }
        }
        namespace panels { __attribute__((noinline)) inline float half(float x) { return x / 2; } }
        float halved(float x) { return panels::half(x); }
        }"""
    with tempfile.TemporaryDirectory() as folder:
        object_file = pathlib.Path(folder) / "wrong.o"
        subprocess.run([compiler, "-std=c++20", "-O3", "-x", "c++", "-c", "-", "-o", object_file], input=source, text=True,
                       check=True)
        found, _, _ = faults(objdump, object_file)
    wanted = ["doubled", "panels::half"]
    return [f"the script does not find {name}" for name in wanted if not any(name in fault for fault in found)] \
        + [f"the script finds {fault}" for fault in found if not any(name in fault for name in wanted)]


def main():
    objdump = sys.argv[1]
    if sys.argv[2] == "--self-test":
        wrong = self_test(objdump, sys.argv[3])
    else:
        wrong, in_tiers = [], 0
        for path in sys.argv[2:]:
            found, functions, tiers = faults(objdump, path)
            wrong += found
            in_tiers += tiers
            print(f"{path}: {functions} functions, {tiers} of them in tiers")
        if in_tiers == 0:
            wrong.append("no object has a function of a tier: is this the simd backend?")
    for fault in wrong:
        print(fault)
    return 1 if wrong else 0


sys.exit(main())

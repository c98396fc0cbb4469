#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes include/llamavision/tokens/unicode_tables.hpp: make_unicode_tables.py unicode_classes.json > unicode_tables.hpp

The input lists inclusive code point ranges of \\p{L}, \\p{N} and \\s. The output lists, in order, every code point at
which the class changes, each with the class that holds from there on: one binary search answers a question.
"""
import json
import sys

OTHER, LETTER, NUMBER, SPACE = range(4)


def changes(classes):
    ranges = sorted((first, last, kind)
                    for name, kind in (("L", LETTER), ("N", NUMBER), ("White_Space", SPACE))
                    for first, last in classes[name])
    at, out = 0, []
    for first, last, kind in ranges:
        assert first >= at, "classes overlap"
        if first > at or not out:
            out.append((at, OTHER))
        out.append((first, kind))
        at = last + 1
    out.append((at, OTHER))
    merged = [out[0]]
    for start, kind in out[1:]:
        if kind != merged[-1][1]:
            merged.append((start, kind))
    return merged


def main():
    classes = json.load(open(sys.argv[1], encoding="utf-8"))
    words = [f"0x{start << 2 | kind:06x}" for start, kind in changes(classes)]
    rows = [", ".join(words[i:i + 11]) for i in range(0, len(words), 11)]
    print(f"""// SPDX-License-Identifier: Apache-2.0
// Where the class of code points changes, Unicode {classes["unicode"]}. Written by tests/tokens/make_unicode_tables.py.
#pragma once

#include <array>
#include <cstdint>

namespace llamavision::tokens {{

/// Ascending; first code point << 2 | class (0 other, 1 letter, 2 number, 3 white space), valid up to the next entry.
// clang-format off
inline constexpr std::array<std::uint32_t, {len(words)}> class_changes{{
    {(","  + chr(10) + "    ").join(rows)}}};
// clang-format on

}} // namespace llamavision::tokens""")


main()

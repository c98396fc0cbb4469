#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes include/llamavision/tokens/template/letter_case_tables.hpp: make_template_case_tables.py > letter_case_tables.hpp

What Python's str.upper, lower, title, isupper and islower know of single characters, as runs: from `first` to `last`, every
character or every second one. A mapping's run adds the same number to each; where one character becomes several, or the title
case differs from the upper case, it stands in a list of its own.
"""
import sys
import unicodedata

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def runs(pairs):
    """(first, last, step, delta) of ascending (code, delta)."""
    out = []
    for code, delta in pairs:
        if out and out[-1][3] == delta and code > out[-1][1]:
            first, last, step, _ = out[-1]
            gap = code - last
            if gap in (1, 2) and (first == last or gap == step):
                out[-1] = (first, code, gap, delta)
                continue
        out.append((code, code, 1, delta))
    return out


def simple(change):
    return runs([(c, ord(change(chr(c))) - c) for c in CODES if change(chr(c)) != chr(c) and len(change(chr(c))) == 1])


def several(change, unless):
    return [(c, *([ord(x) for x in change(chr(c))] + [0, 0])[:3]) for c in CODES
            if change(chr(c)) != chr(c) and len(change(chr(c))) > 1 or unless and change(chr(c)) != unless(chr(c))]


def members(test):
    return runs([(c, 0) for c in CODES if test(chr(c))])


def cased(c):
    return c.islower() or c.isupper() or c.istitle()


def ignorable(c):  # stands between a letter and a final sigma without being one (Case_Ignorable)
    return ("1" + c + "\u03a3").lower().endswith("\u03c3") if cased(c) else ("A" + c + "\u03a3").lower().endswith("\u03c2")


def rows(items, per_row):
    return ",\n    ".join(", ".join(items[i:i + per_row]) for i in range(0, len(items), per_row))


def table(kind, name, entries, per_row, comment):
    def entry(e):
        if kind == "case_several":
            return f"{{{e[0]:#x}, {{{e[1]:#x}, {e[2]:#x}, {e[3]:#x}}}}}"
        return f"{{{e[0]:#x}, {e[1]:#x}, {e[2]}, {e[3]}}}"

    items = [entry(e) for e in entries]
    return f"/// {comment}\ninline constexpr std::array<{kind}, {len(entries)}> {name}{{{{\n    {rows(items, per_row)}}}}};\n"


def main():
    upper, lower, title = str.upper, str.lower, str.title
    print(f"""// SPDX-License-Identifier: Apache-2.0
// Letter case of Unicode {unicodedata.unidata_version}, as Python {sys.version_info.major}.{sys.version_info.minor} has it. Written by tests/tokens/make_template_case_tables.py.
#pragma once

#include <array>
#include <cstdint>

namespace llamavision::tokens::jinja {{

/// From `first` to `last`, every `step`-th character; a mapping adds `delta` to each.
struct case_run {{
    std::uint32_t first, last;
    std::uint8_t step;
    std::int32_t delta;
}};

/// A character that becomes up to three.
struct case_several {{
    std::uint32_t from;
    std::uint32_t to[3];
}};

// clang-format off""")
    print(table("case_run", "upper_runs", simple(upper), 7, "str.upper() of characters that become one."))
    print(table("case_run", "lower_runs", simple(lower), 7, "str.lower() of characters that become one; U+0130 becomes two."))
    print(table("case_several", "upper_several", [(c, a, b, d) for c, a, b, d in several(upper, None)], 7, "str.upper() of characters that become several."))
    print(table("case_several", "title_several", several(title, upper), 7, "str.title() where it is not str.upper()."))
    print(table("case_run", "small_letters", members(str.islower), 7, "str.islower()."))
    print(table("case_run", "capital_letters", members(str.isupper), 7, "str.isupper()."))
    print(table("case_run", "title_letters", members(lambda c: c.istitle() and not c.isupper()), 7, "Titlecase letters."))
    print(table("case_run", "case_ignorable", members(ignorable), 7, "What may stand between a letter and the final sigma that ends its word."))
    print("// clang-format on\n\n} // namespace llamavision::tokens::jinja")


main()

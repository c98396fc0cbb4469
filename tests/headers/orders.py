#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Headers compile whichever of two is included first: orders.py COMPILER INCLUDE_FOLDER NUMBER [FLAG...]

A name that one header declares may hide, or be ambiguous with, a name that another header uses. So both orders of every two
headers matter, unless one includes the other. Each NUMBER from 1 on is one order of all headers, as one translation unit for
the compiler's syntax check. A header stands behind those that it includes, as its text is read after theirs in any case. Order
1 covers half of all pairs; each further one is chosen so that it covers many that are left: four cover 98 %."""
import pathlib
import re
import subprocess
import sys


def headers_of(root):
    """Each header, and those that it includes, as paths below the root."""
    names = {path.relative_to(root).as_posix() for path in root.rglob("*.hpp")}
    include = re.compile(r"^\s*#\s*include\s*<(llamavision/[^>]+)>", re.MULTILINE)
    reads = {}
    for name in sorted(names):
        found = set(include.findall((root / name).read_text()))
        for body in [part for part in found if part.endswith((".ipp", ".inc"))]:  # it belongs to this header's text
            found |= set(include.findall((root / body).read_text()))
        reads[name] = sorted((found & names) - {name})
    return reads


def orders(reads, count):
    """So many orders, and for each the share of pairs that it and those before it cover."""
    below = {}  # what is read before a header, whatever the order

    def closure(name):
        if name not in below:
            below[name] = set()
            below[name].update(*({part} | closure(part) for part in reads[name]))
        return below[name]

    for name in reads:
        closure(name)
    missing = {(a, b) for a in reads for b in reads if a != b and a not in below[b] and b not in below[a]}
    total = len(missing)
    for _ in range(count):
        later = {name: {b for a, b in missing if a == name} for name in reads}  # what should stand behind it
        order = []

        def place(name):
            if name not in order:
                for part in reads[name]:
                    place(part)
                order.append(name)

        while len(order) < len(reads):
            placed = set(order)
            place(max((name for name in reads if name not in placed),
                      key=lambda name: len(later[name] - placed - below[name]) - len(below[name] - placed)))
        rank = {name: i for i, name in enumerate(order)}
        missing = {(a, b) for a, b in missing if rank[a] > rank[b]}
        yield order, 1 - len(missing) / total


if __name__ == "__main__":
    compiler, root, number, *flags = sys.argv[1:]
    *_, (order, share) = orders(headers_of(pathlib.Path(root)), int(number))
    print(f"order {number} of {len(order)} headers; so far {100 * share:.1f} % of all pairs are covered", flush=True)
    unit = "".join(f"#include <{name}>\n" for name in order)
    command = [compiler, "-std=c++20", "-fsyntax-only", *flags, f"-I{root}", "-x", "c++", "-"]
    sys.exit(subprocess.run(command, input=unit, text=True).returncode)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""count.py LOG... [--broken NAME...]: adds up what `ctest -V` logged. A doctest program counts by its cases, any other
test as one, and so does a broken build. Prints what failed, then `N passed, N failed`, which is also the exit status."""
import argparse
import re
import sys

END = re.compile(r"\s*\d+/\d+ Test +#(\d+): (\S+) [.\s]*(?:\*\*\*)?(.*\S)")
CASES = re.compile(r"(\d+): \[doctest\] test cases: +\d+ +\| +(\d+) passed +\| +(\d+) failed")


def count(log):
    output, cases, passed, failed = {}, {}, 0, 0
    for line in open(log, errors="replace"):
        number = line.split(":", 1)[0]
        if number.isdigit():
            output.setdefault(number, []).append(line.rstrip())
        if match := CASES.match(line):
            cases[match[1]] = (int(match[2]), int(match[3]))
        if not (match := END.match(line)):
            continue
        number, name, result = match.groups()
        good = result.startswith("Passed")
        right, wrong = cases.get(number, (0, 0))
        if not good and not wrong:  # it crashed, hung, was never built, or is no doctest program
            wrong = 1
        passed += right or good
        failed += wrong
        if not good:
            print(f"--- {log}: {name}: {result}", *output.get(number, [])[-40:], sep="\n")
    if not passed + failed:
        print(f"--- {log}: no test ran")
        failed = 1
    print(f"{log}: {passed} passed, {failed} failed", flush=True)
    return passed, failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--broken", nargs="*", default=[])
    arguments = parser.parse_args()
    passed, failed = map(sum, zip((0, len(arguments.broken)), *map(count, arguments.logs)))
    for name in arguments.broken:
        print(f"--- failed: {name}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a model loses when another program takes one core.

    beside_other_work.py [--rounds 3] [--peer-command CMD] PROGRAM [words of `llamavision bench`]
    beside_other_work.py build/release/bin/llamavision --config 11b --random --text q4 --vision bf16 --packed 11b.packed --tiles 1

Runs `PROGRAM bench ... --json` alone and beside a program that counts in an endless loop, in turn, and compares the
medians: of a picture, a prompt and a token. How much of the machine the other program took is measured, too (its processor
time over that of all cores); what is lost beyond that share was lost to waiting. CMD is a peer's benchmark, which prints one
object with any of the same keys (`image` and `prompts`: lists with `seconds`; `decode`: `seconds`), and is run the same way."""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

ALLOWED = 0.15  # beyond the share that was taken


class Neighbour:
    """One program that is never idle, at normal priority."""

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        self.begin = time.monotonic()
        return self

    def __exit__(self, *_):
        wall = time.monotonic() - self.begin
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.process.kill()
        self.process.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.share = taken / (wall * len(os.sched_getaffinity(0)))


def seconds(command):
    """{part: seconds} that the command prints."""
    out = subprocess.run(command, shell=isinstance(command, str), check=True, stdout=subprocess.PIPE, text=True).stdout
    said = json.loads(out[out.index("{"):])
    parts = {f"picture {i}" if "tiles" not in p else f"picture of {p['tiles']}": p["seconds"]
             for i, p in enumerate(said.get("image") or ())}
    parts |= {f"prompt of {p['tokens']}": p["seconds"] for p in said.get("prompts") or ()}
    return parts | ({"a token": said["decode"]["seconds"]} if said.get("decode") else {})


def compare(name, command, rounds):
    alone, beside, shares = [], [], []
    for i in range(2 * rounds):  # alone, beside, beside, alone, ...: what changes slowly cancels
        if (i + 1) // 2 % 2 == 0:
            alone.append(seconds(command))
        else:
            with Neighbour() as neighbour:
                beside.append(seconds(command))
            shares.append(neighbour.share)
    share = statistics.median(shares)
    print(f"{name}: the other program took {100 * share:.0f} % of {len(os.sched_getaffinity(0))} cores")
    for part in alone[0]:
        a, b = (statistics.median(run[part] for run in runs) for runs in (alone, beside))
        lost = 1 - a / b
        print(f"  {part:<15}{a:10.4f} s alone {b:10.4f} s beside it: {100 * lost:4.0f} % of the speed lost, "
              + (f"within {100 * (share + ALLOWED):.0f} %" if lost <= share + ALLOWED
                 else f"more than {100 * (share + ALLOWED):.0f} %"), flush=True)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--peer-command")
    words.add_argument("program")
    given, rest = words.parse_known_args()
    compare("llamavision", [given.program, "bench", *(rest or ["--config", "tiny", "--random"]), "--json"], given.rounds)
    if given.peer_command:
        compare("peer", given.peer_command, given.rounds)

# SPDX-License-Identifier: Apache-2.0
"""What every measurement here has around it: what the machine could do at that moment, and what other programs took of it."""
import json
import os
import subprocess
import sys
import time


class Absent(Exception):
    """Something that a measurement needs is not here; the message is for a person."""


def processors():
    return len(os.sched_getaffinity(0))


def available_memory():
    """Bytes that a program could take now."""
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def run_for_json(command):
    """What a program prints, as one JSON object; its progress goes on to stderr.
    @raises Absent where it is not there or fails, with its last word"""
    try:
        child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as fault:
        raise Absent(f"{command[0]}: {fault.strerror}") from None
    last = ""
    with child:
        for line in child.stderr:
            sys.stderr.write(line)
            last = line.strip() or last
        text = child.stdout.read()
    if child.returncode:
        raise Absent(last or f"{command[0]} ended with {child.returncode}")
    try:
        return json.loads(text)
    except ValueError:
        raise Absent(f"{command[0]} printed no JSON") from None


class Limits:
    """The same loops and the same plain read that `llamavision bench` puts beside its figures, measured by it on the bundled
    size. Without a program there are none."""

    def __init__(self, program, threads):
        self.command = program and [program, "bench", "--config", "tiny", "--random", "--tiles", 1, "--prompt", 1,
                                    "--answer", 0, "--threads", threads, "--json"]

    def now(self):
        return run_for_json(self.command)["limits"] if self.command else {}

    def around(self, measure):
        """What `measure` gives, and the mean of the limits just before and just after."""
        before = self.now()
        result = measure()
        after = self.now()
        return result, {name: (before[name] + after[name]) / 2 for name in before}


class Others:
    """Processors that other programs use: what the machine was busy with, less this process and its children that ended."""

    def __init__(self):
        self.start = self._now()

    @staticmethod
    def _now():
        with open("/proc/stat") as lines:
            user, nice, system, _, _, irq, softirq = map(int, lines.readline().split()[1:8])
        busy = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, sum(os.times()[:4])

    def share(self):
        wall, busy, own = (now - then for now, then in zip(self._now(), self.start))
        return max(0.0, busy - own) / wall


def say(*words):
    print(*words, file=sys.stderr, flush=True)

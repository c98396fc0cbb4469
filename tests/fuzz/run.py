# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzz targets one after the other, each for so many seconds of processor time: run.py FOLDER SECONDS [TARGET...]
FOLDER holds the built programs (build/sanitize/tests/fuzz). Prints a row of the table in README.md for each: inputs, seconds, finds.
What is found lies in FOLDER/found; the corpus grows in FOLDER/corpus."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
FOLDER, SECONDS = pathlib.Path(sys.argv[1]), float(sys.argv[2])
TICKS = os.sysconf("SC_CLK_TCK")


def processor_time(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fuzz(target):
    corpus, found = FOLDER / "corpus" / target, FOLDER / "found" / target
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = [str(f) for f in (HERE / "seeds" / target, HERE.parent / "data" / target, HERE.parent / "data" / "image" / target) if f.is_dir()]
    before, spent = len(list(found.iterdir())), 0.0
    log = FOLDER / f"{target}.log"
    with open(log, "wb") as said, subprocess.Popen(
            [FOLDER / f"fuzz_{target}", "-max_len=65536", "-rss_limit_mb=2048", "-timeout=100", "-print_final_stats=1",
             f"-artifact_prefix={found}/", corpus, *seeds], stderr=said) as process:
        while process.poll() is None and spent < SECONDS:
            time.sleep(1)
            spent = max(spent, processor_time(process))
        process.send_signal(signal.SIGINT)
    said = log.read_text(errors="replace")
    inputs = re.findall(r"number_of_executed_units: *(\d+)", said) or re.findall(r"#(\d+)\s", said) or ["0"]
    print(f"| {target} | {int(inputs[-1]):,} | {spent:.0f} | {len(list(found.iterdir())) - before} |".replace(",", " "), flush=True)


for name in sys.argv[3:] or sorted(p.name.removeprefix("fuzz_") for p in FOLDER.glob("fuzz_*") if p.is_file()):
    fuzz(name)

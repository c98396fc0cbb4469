#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same work through llamavision, Hugging Face transformers and llama.cpp, on this machine, in one run: seconds and ratios.

    python3 -m venv peers && peers/bin/pip install -r benchmarks/model/requirements.txt
    peers/bin/python benchmarks/model/compare.py

The 11B at its true size, with random weights. One round for each pair of formats: ours, then Hugging Face in bf16, then llama.cpp (text only) at the
text's format, one program at a time and each on all processors; ratios are of figures from one round. Whoever is not installed is left out, and said to
be. docs/13_beside_others.md explains the figures."""
import argparse
import json
import pathlib
import platform
import sys

import figures
from measuring import Absent, Limits, Others, processors, run_for_json, say

HERE = pathlib.Path(__file__).resolve().parent
ROUNDS = ["bf16/q4", "i8/q8", "bf16/bf16"]


def machine():
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def measured(command):
    """What a program measured and how much of the machine others took meanwhile, or why there is nothing."""
    others = Others()
    try:
        return {**run_for_json(command), "others": others.share()}
    except Absent as fault:
        return {"error": str(fault)}


def several(name, values):
    """An option that is given once for each value."""
    return [word for value in values for word in (name, value)]


def measure_round(this, tiles, options, keep):
    """`this`: the round, whose formats are there. `tiles`: the pictures that are measured; empty: one is looked at for the text's
    sake, and none at Hugging Face. `keep` is called after each program: what was measured outlives what goes wrong later."""
    vision, text = this["vision"], this["text"]
    common = ["--answer", options.answer, "--threads", options.threads]
    peer = [*common, "--prompt", *options.prompt, "--limits", options.program]
    commands = {
        "ours": [options.program, "bench", *common, "--config", options.config, "--random", "--vision", vision, "--text", text,
                 *several("--tiles", tiles or [max(options.tiles)]), *several("--prompt", options.prompt),
                 "--repeat", options.repeat, "--json"],
        "hf": [options.python, HERE / "hf.py", *peer, "--repeat", options.repeat, "--json", *["--whole"] * options.whole,
               *(["--tiles", *tiles] if tiles else ["--only", "text"])],
        "llama": [options.python, HERE / "llamacpp.py", *peer, "--format", text,
                  *(["--scratch", options.scratch] if options.scratch else [])]}
    for who, command in commands.items():
        if who != "ours" and "error" in this["ours"]:
            this[who] = {"error": "nothing to compare it with"}
        elif who in options.without:
            this[who] = {"error": "not asked for"}
        else:
            say(f"== {vision}/{text}: {who}")
            this[who] = measured(command)
        keep()


def compare(options):
    results = {"machine": machine(), "threads": options.threads, "runs": []}

    def keep():
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")

    seen = set()
    for vision, text in (pair.split("/") for pair in options.formats):
        this = {"vision": vision, "text": text, **{who: {"error": "not measured"} for who in ("ours", "hf", "llama")}}
        results["runs"].append(this)
        measure_round(this, [] if vision in seen else options.tiles, options, keep)
        if "error" not in this["ours"]:
            seen.add(vision)
    return results


def formats(text):
    vision, slash, words = text.partition("/")
    if not slash or vision not in ("stored", "bf16", "i8") or words not in ("stored", "bf16", "q8", "q4"):
        raise argparse.ArgumentTypeError(f"{text}: the tower's format (stored, bf16, i8), /, the text's (stored, bf16, q8, q4)")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=HERE.parents[1] / "build" / "release" / "bin" / "llamavision",
                        help="llamavision; by default build/release/bin/llamavision")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the others, by default this one")
    parser.add_argument("--without", nargs="+", choices=["hf", "llama"], default=[], help="leave these out")
    parser.add_argument("--formats", nargs="+", type=formats, default=ROUNDS, metavar="TOWER/TEXT",
                        help=f"ours, by default {' '.join(ROUNDS)}; the last takes 22 GB")
    parser.add_argument("--tiles", type=int, nargs="+", choices=[1, 2, 4], default=[1, 2, 4])
    parser.add_argument("--prompt", type=int, nargs="+", default=[64, 512], help="tokens; the answer follows the first")
    parser.add_argument("--answer", type=int, default=16, help="tokens that are measured")
    parser.add_argument("--repeat", type=int, default=1, help="the median of so many; odd")
    parser.add_argument("--threads", type=int, default=processors(), help="of every program; by default all")
    parser.add_argument("--whole", action="store_true", help="Hugging Face with all its layers: 23 GB, minutes a round")
    parser.add_argument("--config", default="11b", help=argparse.SUPPRESS)  # the others know no other
    parser.add_argument("--scratch", type=pathlib.Path, metavar="FOLDER", help="keeps llama.cpp's files, 12 GB, for the next time")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="writes all that was measured")
    parser.add_argument("--read", type=pathlib.Path, metavar="FILE", help="measures nothing: the tables of such a file")
    options = parser.parse_args()
    if options.read:
        print(figures.report(json.loads(options.read.read_text())), end="")
        return 0
    try:
        Limits(options.program, options.threads).now()
    except Absent as fault:
        raise SystemExit(f"compare.py needs llamavision, built in Release or named with --program: {fault}") from None
    results = compare(options)
    print(figures.report(results), end="")
    return int(all("error" in run["ours"] for run in results["runs"]))


if __name__ == "__main__":
    sys.exit(main())

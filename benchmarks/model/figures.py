# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the comparison: from layers that were timed to the whole model, from two runs to a ratio, and the table.

Figures have the shape of `llamavision bench --json` whoever they are about: `image` (of `tiles`), `prompts` (of `tokens`) and
`decode`, each with its `seconds` and with the `limits` of the machine just then. See docs/program.md."""

WIDTH, HIDDEN, KEYS = 4096, 14336, 1024
SELF_LAYERS, CROSS_LAYERS = 32, 8  # of the text
LOCAL_LAYERS, GLOBAL_LAYERS = 32, 8  # of the tower
VOCABULARY = 128256

# Weights of a layer: queries, output and the three of the feed-forward, and in self-attention keys and values. A cross
# layer has those, too, but multiplies the picture with them, once, and no text.
CROSS_WEIGHTS = WIDTH * (2 * WIDTH + 3 * HIDDEN)
SELF_WEIGHTS = CROSS_WEIGHTS + 2 * WIDTH * KEYS

ANSWER = 100  # tokens of the answer about a photo; the prompt gives the first

# Times as fast as Hugging Face, by the formats of tower and text.
PICTURE_AIMS = {(1, "bf16"): 8, (4, "bf16"): 3}
ANSWER_AIMS = {(1, "bf16", "q4"): 6, (4, "bf16", "q4"): 3.3, (1, "i8", "q4"): 7, (4, "i8", "q4"): 4}
# Times as fast as llama.cpp at the same format: a prompt, and an answer.
LLAMA_AIMS = {"q4": (2, 1.15), "q8": (5, 1.7)}


def median(values):
    return sorted(values)[len(values) // 2]


def deepened(seconds, layers):
    """The whole from a part of its depth: `seconds` of everything and, in `layers`, pairs of the seconds that layers of a kind
    took together and how many times as many the whole model has."""
    return seconds + sum(part * (times - 1) for part, times in layers)


def from_two_depths(shallow, deep, few, many, layers):
    """Seconds at `layers` layers, from those at `few` and at `many`: what two depths do not share is layers, the rest is paid
    once."""
    layer = (deep - shallow) / (many - few)
    return shallow + (layers - few) * layer


def text_layers_of_llama():
    """The text in layers of self-attention: a cross layer costs what its weights that multiply text cost."""
    return SELF_LAYERS + CROSS_LAYERS * CROSS_WEIGHTS / SELF_WEIGHTS


def find(parts, key, value):
    return next((part for part in parts or () if part[key] == value), None)


def products(figures):
    """The loop that tells how fast products could be: of 16-bit numbers where the machine has one."""
    return "bf16" if figures["limits"].get("bf16") else "f32"


def pair(ours, theirs, limit=None, times=1):
    """Two figures of the same work, which is done so many times, and the limit that bounds it."""
    return ours, theirs, limit or (ours and products(ours)), times


def row(what, pairs, aim=None):
    """One line of the table: work that one or several pairs make up; none where somebody has no figure.

    Times as fast: as the clock says, and at equal limits: had the machine been able to do as much when ours ran as when theirs
    did, by the loop or the plain read that bounds the work."""
    if not all(ours and theirs for ours, theirs, _, _ in pairs):
        return []
    our_seconds = sum(ours["seconds"] * times for ours, _, _, times in pairs)
    their_seconds = sum(theirs["seconds"] * times for _, theirs, _, times in pairs)
    equal = None
    if all(figure["limits"].get(limit) for ours, theirs, limit, _ in pairs for figure in (ours, theirs)):
        equal = their_seconds / sum(ours["seconds"] * times * ours["limits"][limit] / theirs["limits"][limit]
                                    for ours, theirs, limit, times in pairs)
    return [{"what": what, "ours": our_seconds, "theirs": their_seconds, "ratio": their_seconds / our_seconds,
             "at_equal_limits": equal, "aim": aim}]


def answer(tower, text, tiles):
    """A picture, the first of the prompts, which the answer follows, and the rest of the answer."""
    ours, theirs = text["ours"], text["hf"]
    prompt = ours["prompts"][0]
    return [pair(find(tower["ours"].get("image"), "tiles", tiles), find(tower["hf"].get("image"), "tiles", tiles)),
            pair(prompt, find(theirs.get("prompts"), "tokens", prompt["tokens"])),
            pair(ours["decode"], theirs.get("decode"), "read", ANSWER - 1)]


def tiles_in_words(tiles):
    return f"{tiles} tile" + "s" * (tiles > 1)


def text_rows(run, theirs, aims=(None, None)):
    ours, rows = run["ours"], []
    for prompt in ours["prompts"]:
        same = find(theirs.get("prompts"), "tokens", prompt["tokens"])
        rows += row(f"prompt of {prompt['tokens']}, {run['text']}", [pair(prompt, same)], aims[0])
    return rows + row(f"a token, {run['text']}", [pair(ours["decode"], theirs.get("decode"), "read")], aims[1])


def hugging_face_rows(runs):
    """Every ratio is of figures from one run. Answers also mix: a tower from one run and a text from another, each beside what
    was measured around it."""
    rows, towers, texts = [], {}, {}
    for run in runs:
        if "error" in run["hf"]:
            continue
        texts.setdefault(run["text"], run)
        if run["vision"] not in towers or len(run["ours"]["image"]) > len(towers[run["vision"]]["ours"]["image"]):
            towers[run["vision"]] = run
    for vision, run in towers.items():
        for picture in run["ours"]["image"]:
            tiles = picture["tiles"]
            same = find(run["hf"].get("image"), "tiles", tiles)
            rows += row(f"picture of {tiles_in_words(tiles)}, {vision}", [pair(picture, same)],
                        PICTURE_AIMS.get((tiles, vision)))
    for run in texts.values():
        rows += text_rows(run, run["hf"])
    pairs = [(vision, "q4") for vision in towers if "q4" in texts] + [(run["vision"], run["text"]) for run in runs]
    for vision, text in dict.fromkeys(pairs):
        if vision in towers and text in texts:
            for tiles in (1, 4):
                rows += row(f"{ANSWER} tokens about {tiles_in_words(tiles)}, {vision} and {text}",
                            answer(towers[vision], texts[text], tiles), ANSWER_AIMS.get((tiles, vision, text)))
    return rows


def llama_rows(runs):
    return [line for run in runs if "error" not in run["llama"]
            for line in text_rows(run, run["llama"], LLAMA_AIMS.get(run["text"], (None, None)))]


def seconds_in_words(seconds):
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def table(title, rows):
    """A table in Markdown."""
    text = f"| {title} | ours | theirs | times as fast | at equal limits | aim |\n|---|---:|---:|---:|---:|---:|\n"
    for r in rows:
        equal = "" if r["at_equal_limits"] is None else f"{r['at_equal_limits']:.2f}"
        text += (f"| {r['what']} | {seconds_in_words(r['ours'])} | {seconds_in_words(r['theirs'])} | {r['ratio']:.2f} | {equal} | "
                 f"{'' if r['aim'] is None else r['aim']} |\n")
    return text


def report(results):
    """All tables, what was left out and why, and how far the figures are to be trusted."""
    runs = [run for run in results["runs"] if "error" not in run["ours"]]
    parts = []
    hugging_face, llama = hugging_face_rows(runs), llama_rows(runs)
    if hugging_face:
        parts.append(table("Beside Hugging Face, bf16", hugging_face))
    if llama:
        parts.append(table("Beside llama.cpp, text at the same format", llama))
    notes = []
    for run in results["runs"]:
        name = f"{run['vision']}/{run['text']}"
        for who, figures in (("ours", run["ours"]), ("Hugging Face", run["hf"]), ("llama.cpp", run["llama"])):
            if "error" in figures:
                notes.append(f"{name}, {who}: left out: {figures['error']}")
            elif figures["others"] > 0.1:
                notes.append(f"{name}, {who}: other programs took {figures['others']:.1f} processors meanwhile.")
    for run in runs:
        memory = run["ours"]["memory"]
        notes.append(f"{run['vision']}/{run['text']}: ours took {memory['peak'] / 1e9:.1f} GB at the peak.")
    engines = dict.fromkeys(figures["engine"] for run in runs for figures in (run["hf"], run["llama"]) if "engine" in figures)
    parts.append("\n".join([f"{results['machine']}; {results['threads']} threads."] + [f"{e}." for e in engines] + notes) + "\n")
    return "\n".join(parts)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the tokenizers package finds added tokens: added_tokens.py > tests/data/tokens/added_token_vectors.json

The bundled model's tokenizer.json with entries of added_tokens changed or appended, and what tokenizers 0.21.4 (pip install
tokenizers==0.21.4) makes of texts. `ids` recognises special tokens, `as_text` does not (encode_special_tokens); `decoded` is
decode(ids, skip_special_tokens=True). Ids beyond the bundled vocabulary begin at 769."""
import json
import pathlib

import tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]


def word(content, number, **flags):
    plain = {"special": False, "lstrip": False, "rstrip": False, "single_word": False, "normalized": True}
    return {"id": number, "content": content, **plain, **flags}


SETS = {
    "a word": [word("<loc_1>", 769)],
    "a word and a longer one": [word("<loc_1>", 769), word("<loc_12>", 770), word("<loc_123", 771), word("oc_1", 772)],
    "stripped on the left": [word("<m>", 769, lstrip=True), word("<n>", 770)],
    "stripped on the right": [word("<m>", 769, rstrip=True), word("<n>", 770)],
    "stripped on both sides": [word("<m>", 769, lstrip=True, rstrip=True), word("<n>", 770, lstrip=True)],
    "single words": [word("circle", 769, single_word=True), word("red", 770, single_word=True, lstrip=True), word("ci", 771)],
    "plain before normalized": [word("abc", 769), word("bcd", 770, normalized=False), word("cd e", 771)],
    "a special one of one's own": [word("<|mine|>", 769, special=True, normalized=False), word("|min", 770),
                                   word("<m>", 771, special=True, lstrip=True, rstrip=True)],
    "words that are no ASCII": [word("Σber", 769), word("日本", 770, single_word=True), word("\u00a0x", 771, lstrip=True)],
    "a word of spaces": [word("  ", 769), word("\n<n>", 770, rstrip=True), word("<n>", 771, rstrip=True)],
}
TEXTS = ["", "<loc_1>", "a <loc_1> large<loc_1><loc_12> <loc_123 <loc_1234>", "x <m>  y\n\n<m> \t<n>  <m><m>  <m>", "<m>", " <m> ", "<n> <m>  <n>",
         "a circle, circles circle's _circle circle_ circle1 (circle)circle", " red  redred red\nred", "abcd bcd e abcde abc d", "abccd e",
         "<|mine|>  <|eot_id|><|mine|x|min", "ein Σber Σberall 日本語 日本 日本", "a \u00a0x  \u00a0x", "a  b   c    \n<n>   \n<n>\n", "what <|eot_id|> is<loc_1>",
         "é circle é_circle \u2003<m>\u2003\u3000y", "<|begin_of_text|> <m> <|end_of_text|>"]


def main():
    assert tokenizers.__version__ == "0.21.4", "another version"
    source = json.loads((ROOT / "examples/tiny/checkpoint/tokenizer.json").read_text())
    sets = []
    for name, entries in SETS.items():
        changed = json.loads(json.dumps(source))
        changed["added_tokens"] += entries
        t = tokenizers.Tokenizer.from_str(json.dumps(changed))
        cases = []
        for text in TEXTS:
            t.encode_special_tokens = False
            ids = t.encode(text, add_special_tokens=False).ids
            t.encode_special_tokens = True
            as_text = t.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids, "as_text": as_text, "decoded": t.decode(ids, skip_special_tokens=True)})
        sets.append({"name": name, "added": entries, "cases": cases})
    print(json.dumps({"tokenizers": tokenizers.__version__, "sets": sets}, ensure_ascii=False, separators=(",", ":")))


main()

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tokenizers 0.21.4 gives a token of `added_tokens` the next free id, whatever `id` tokenizer.json says, if the model's
# vocabulary does not have its text: Tokenizer.from_str accepts the file without a word, and token_to_id and encode tell
# another number than the file. A model whose row was trained under the file's id then reads a wrong row. And where the
# decoder is ByteLevel, an added word with letters outside ASCII does not survive decode(encode(text)): its letters are
# taken for the byte-level alphabet, in which ü stands for a single byte.
# Ends with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.21.4
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys
import tokenizers
from tokenizers import Tokenizer, pre_tokenizers

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())  # 256 letters, one for each byte


def added(word, number):
    return {"id": number, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": False}


file = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
    "added_tokens": [added("<loc>", 300), added("über", 301)],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
              "vocab": {letter: i for i, letter in enumerate(alphabet)}, "merges": []},
}
tokenizer = Tokenizer.from_str(json.dumps(file))
ids = tokenizer.encode("<loc>").ids
word = tokenizer.decode(tokenizer.encode("über").ids)
print("tokenizers", tokenizers.__version__)
print(f"the file says that <loc> is 300; encode says {ids}, token_to_id {tokenizer.token_to_id('<loc>')}")
print(f"decode(encode('über')): {word!r}")
sys.exit(ids != [256] or tokenizer.token_to_id("<loc>") != 256 or word == "über")
PYTHON

# SPDX-License-Identifier: Apache-2.0
"""`tokenize`: text, ids and conversations; with the real tokenizer where LLAMAVISION_TOKENIZER_MODEL names it."""
import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, MODEL, TEMPORARY, main, run

REAL = os.environ.get("LLAMAVISION_TOKENIZER_MODEL")
TEXTS = ["What is in this picture?", "", " ", "Größe: 3 m²\n\n", "日本語 😀", "<|eot_id|>", "a\u0000b", "it's  DON'T 12345",
         "a line\u2028another\u2029a third\u0085a fourth"]


def tokenize(*arguments, stdin="", file=MODEL):
    return run("tokenize", "--tokenizer", file, *arguments, stdin=stdin)


def lines(values):
    return "".join(json.dumps(v) + "\n" for v in values)


class Tokenize(Case):
    def converted(self, values, *arguments, file=MODEL):
        out = self.succeeds(tokenize("--jsonl", *arguments, stdin=lines(values), file=file))
        return [json.loads(line) for line in out.splitlines()]

    def test_there_and_back(self):
        ids = self.converted(TEXTS)
        self.assertEqual(self.converted(ids, "--decode"), TEXTS)
        self.assertEqual(ids[1], [])
        with_bos = self.converted(TEXTS, "--bos")
        self.assertEqual([i[1:] for i in with_bos], ids)
        self.assertEqual(len({i[0] for i in with_bos}), 1)

    def test_special_text(self):
        plain, special = self.converted(["<|eot_id|>"])[0], self.converted(["<|eot_id|>"], "--special")[0]
        self.assertGreater(len(plain), 1)
        self.assertEqual(len(special), 1)
        self.assertEqual(self.converted([special], "--decode"), ["<|eot_id|>"])

    def test_plain(self):
        (ids,) = self.converted([TEXTS[0]])
        typed = self.succeeds(tokenize(TEXTS[0])).split()
        self.assertEqual(typed, [str(i) for i in ids])
        self.assertEqual(self.succeeds(tokenize(stdin=TEXTS[0])).split(), typed)
        self.assertEqual(self.succeeds(tokenize("--decode", *typed)), TEXTS[0] + "\n")
        self.assertEqual(self.succeeds(tokenize("--decode", stdin=",".join(typed))), TEXTS[0] + "\n")
        self.assertEqual(len(self.succeeds(tokenize("one", "two")).splitlines()), 2)

    def test_conversations(self):
        user = {"role": "user", "content": "Hello"}
        pictured = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hello"}]}
        plain, seen = self.converted([{"messages": [user]}, {"messages": [pictured]}], "--chat")
        self.assertEqual(len(seen), len(plain) + 1)
        (image,) = set(seen) - set(plain)
        vocabulary = json.loads((MODEL / "config.json").read_text())["text_config"]["vocab_size"]
        self.assertEqual(image, vocabulary)
        self.assertEqual(self.succeeds(tokenize("--chat", stdin=json.dumps({"messages": [user]}))).split(),
                         [str(i) for i in plain])
        self.assertEqual(self.converted([{"messages": [user]}], "--chat", "--bos"), [plain])  # one is enough

    def test_broken_lines(self):
        for arguments, good, bad in (([], "text", "[1"), ([], "text", "1"), ([], "text", ""), (["--decode"], [1], "[-1]"),
                                     (["--decode"], [1], "[99999999999]"), (["--decode"], [1], "[1.5]"),
                                     (["--decode"], [1], "[9999999]"), (["--decode"], [1], '"a"'), ([], "text", '"\xff'),
                                     (["--chat"], {"messages": []}, "{}"), (["--chat"], {"messages": []}, "[" * 100000),
                                     (["--chat"], {"messages": []}, '{"messages": [{"role": "king", "content": "a"}]}')):
            r = tokenize("--jsonl", *arguments, stdin=json.dumps(good) + "\n" + bad + "\n")
            self.fails(r, "line 2")
            self.assertEqual(len(r.stdout.splitlines()), 1)  # the line before it was answered

    def test_bad_files(self):
        self.fails(tokenize("a", file=TEMPORARY / "missing"), "missing")
        self.fails(tokenize("a", file=TEMPORARY), TEMPORARY)
        for name, text in (("empty", ""), ("text", "hello\n"), ("broken.json", "{"), ("html", "<html>"),
                           ("lfs", "version https://git-lfs.github.com/spec/v1\n")):
            (TEMPORARY / name).write_text(text)
            self.fails(tokenize("a", file=TEMPORARY / name), name)

    def test_what_is_wrong_with_a_tokenizer(self):
        whole = json.loads((MODEL / "tokenizer.json").read_text())
        name = next(n for n, rank in whole["model"]["vocab"].items() if rank == 300)
        without = lambda key: {k: v for k, v in whole.items() if k != key}
        short = {**whole, "model": {**whole["model"], "vocab": {n: i for n, i in whole["model"]["vocab"].items() if n != name}}}
        file = TEMPORARY / "tokenizer.json"
        for content, words in (([], "holds a JSON list"), ({}, 'the key "model" is missing'), (short, "rank 300 is missing"),
                               (without("added_tokens"), 'the key "added_tokens" is missing'),
                               (without("pre_tokenizer"), 'the key "pre_tokenizer" is missing')):
            file.write_text(json.dumps(content))
            self.fails(tokenize("a", file=file), f"{file}: ", words)

    @unittest.skipUnless(REAL, "LLAMAVISION_TOKENIZER_MODEL names no tokenizer.model")
    def test_vectors(self):
        vectors = json.loads((DATA / "tokens" / "tokenizer_vectors.json").read_text())
        encode = [e for e in vectors["encode"] if "text" in e and "ids" in e]
        self.assertEqual(self.converted([e["text"] for e in encode], file=REAL), [e["ids"] for e in encode])
        decode = [d for d in vectors["decode"] if "text" in d]
        self.assertEqual(self.converted([d["ids"] for d in decode], "--decode", file=REAL), [d["text"] for d in decode])
        dialogs = [d for d in json.loads((DATA / "tokens" / "chat_vectors.json").read_text())["dialogs"]
                   if "ids" in d and "messages" in d]
        self.assertEqual(self.converted([{"messages": d["messages"]} for d in dialogs], "--chat", file=REAL),
                         [d["ids"] for d in dialogs])
        self.assertGreater(min(len(encode), len(decode), len(dialogs)), 5)


main()

# SPDX-License-Identifier: Apache-2.0
"""GGUF on the command line: what `inspect` says of it, the choice of a dialect, and files that lie."""
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, MODEL, TEMPORARY, main, read_safetensors, run

FILES = DATA / "checkpoint" / "gguf"


class Gguf(Case):
    def report(self, path, *arguments, status=0):
        r = run("inspect", path, "--json", *arguments)
        self.assertEqual(r.returncode, status, r.stderr)
        return json.loads(r.stdout)

    def test_one_file(self):
        page = self.succeeds(run("inspect", FILES / "ollama.gguf"))
        for word in ("a GGUF file", "dialect", "ollama", "256 ordinary tokens", "BF16 F32", "id 257, 264, 265"):
            self.assertIn(word, page)
        self.assertIn("read it in the dialect ollama-0.7.0", page)
        self.assertNotIn("Wrong:", page)
        report = self.report(FILES / "ollama.gguf")
        self.assertEqual((report["dialect"], report["stop_ids"], report["widened_types"]), ("ollama", [257, 264, 265], []))
        hf = {p["name"]: p for p in self.report(FILES / "hf")["parts"]}
        for part in report["parts"]:
            self.assertEqual((part["tensors"], part["parameters"]), (hf[part["name"]]["tensors"], hf[part["name"]]["parameters"]))
        self.assertEqual(self.report(FILES / "ollama.gguf", "--gguf-dialect", "ollama-0.7.0")["dialect"], "ollama-0.7.0")

    def test_pair(self):
        report = self.report(FILES / "pair", status=1)
        self.assertIn("pair-permuted", report["problems"][0])
        for name in ("pair", "pair-permuted"):
            self.assertEqual(self.report(FILES / "pair", "--gguf-dialect", name)["dialect"], name)
        self.refuses(run("inspect", FILES / "pair", "--gguf-dialect", "ollama3"), "ollama3")
        self.fails(run("describe", "--model", FILES / "pair", "--prompt", "Hello"), "name the dialect")

    def test_a_configuration_from_keys(self):
        header = self.succeeds(run("inspect", FILES / "ollama.gguf", "--config-header"))
        self.assertIn("struct ", header)
        self.assertIn("width = 16", header)

    def test_words_and_tiles(self):
        file = TEMPORARY / "words.gguf"
        self.succeeds(run("convert", MODEL, file, "--to", "gguf"))
        asked = json.dumps({"messages": [{"role": "user", "content": "Hello"}]})
        for arguments in (["Größe: 3 m²"], ["--chat"]):
            found = [self.succeeds(run("tokenize", "--tokenizer", path, *arguments, stdin=asked)) for path in (MODEL, file)]
            self.assertEqual(*found)
        picture = DATA / "image" / "rgb8.png"
        found = [self.succeeds(run("preprocess", "--model", path, "--json", picture)) for path in (MODEL, file)]
        self.assertEqual(*found)
        self.assertEqual(self.succeeds(run("tokenize", "--tokenizer", FILES / "ollama.gguf", "a")), "97\n")
        of_28 = self.succeeds(run("preprocess", "--model", FILES / "ollama.gguf", "--json", picture))
        self.assertEqual(of_28, self.succeeds(run("preprocess", "--tile-size", 28, "--json", picture)))
        self.fails(run("tokenize", "--tokenizer", FILES / "pair", "a"), "name the dialect")
        self.assertEqual(self.succeeds(run("tokenize", "--tokenizer", FILES / "pair", "--gguf-dialect", "pair", "a")), "97\n")
        self.fails(run("tokenize", "--tokenizer", FILES / "blocks.gguf", "a"), "blocks.gguf")

    def test_conversion_checks_the_tensors(self):
        file, out = TEMPORARY / "whole.gguf", TEMPORARY / "converted"
        self.succeeds(run("convert", MODEL, file, "--to", "gguf"))
        whole = file.read_bytes()
        for old, new, word in ((b"blk.0.attn_q.weight", b"blk.0.attn_x.weight", "blk.0.attn_x.weight"),
                               (b"blk.0.attn_q.weight", b"blk.9.attn_q.weight", "layers.0.self_attn.q_proj.weight")):
            at = whole.rindex(old, 0, whole.index(b"blk.0.attn_v.weight"))
            file.write_bytes(whole[:at] + new + whole[at + len(new):])
            for form in ("huggingface", "gguf", "meta"):
                self.fails(run("convert", file, out, "--to", form), word)
                self.assertFalse(out.exists())

    def test_every_dialect_converts_to_the_same_tensors(self):
        def floats(source, *arguments):
            self.succeeds(run("convert", source, TEMPORARY / "floats", "--to", "huggingface", "--dtype", "f32", "--force", *arguments))
            return read_safetensors(TEMPORARY / "floats" / "model.safetensors")
        wanted = floats(FILES / "hf")
        self.assertEqual(floats(FILES / "ollama.gguf"), wanted)
        self.assertEqual(floats(FILES / "pair", "--gguf-dialect", "pair"), wanted)

    def test_a_file_in_parts(self):
        raw = (FILES / "ollama.gguf").read_bytes()
        count = int.from_bytes(raw[16:24], "little")
        key = b"\x0b\0\0\0\0\0\0\0split.count\x02\0\0\0\x02\0"
        at = raw.index(b"\x14\0\0\0\0\0\0\0general.architecture")
        file = TEMPORARY / "model-00001-of-00002.gguf"
        file.write_bytes(raw[:16] + (count + 1).to_bytes(8, "little") + raw[24:at] + key + raw[at:])
        self.assertIn("is one of 2 files; join them first", self.report(file, status=1)["problems"][0])

    def test_hostile(self):
        file = TEMPORARY / "x.gguf"
        whole = (FILES / "ollama.gguf").read_bytes()
        for data, word in ((whole[:5000], "file ends"), (whole[:-2000], "is it cut off?"), (b"GGUF", "the version"),
                           (whole[:4] + b"\x01" + whole[5:], "version 1"), (b"<html>", "web page"),
                           (whole[:8] + b"\xff" * 8 + whole[16:], "more than the file has room for")):
            file.write_bytes(data)
            self.assertIn(word, self.report(file, status=1)["problems"][0])
        shutil.copy(FILES / "pair" / "model.gguf", file)
        self.assertIn("only the text's half", self.report(file, status=1)["problems"][0])


if __name__ == "__main__":
    main()

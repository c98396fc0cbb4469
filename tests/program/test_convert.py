# SPDX-License-Identifier: Apache-2.0
"""`convert`: the same tensors in every form; `--adapter`; a text model alone. What can go wrong: test_convert_faults.py."""
import io
import json
import pathlib
import pickletools
import struct
import sys
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from converting import Converting, all_tensors, flat_model
from harness import (Case, DATA, GIVEN, MODEL, TEMPORARY, copy_of_model, main, read_safetensors, run, scenes,
                     write_safetensors)


class Convert(Converting):
    def test_hugging_face_to_itself(self):
        self.assertEqual(self.converts(MODEL, "--to", "huggingface"), "")
        self.assertEqual(all_tensors(self.out), all_tensors(MODEL))
        for path in MODEL.iterdir():
            if path.suffix == ".json":
                self.assertEqual((self.out / path.name).read_bytes(), path.read_bytes(), path.name)
        self.assertEqual([p.name for p in self.around.iterdir()], ["out"])

    def test_shards(self):
        size = sum(len(raw) for _, _, raw in all_tensors(MODEL).values())
        for shards, least, most in (("3", 3, 3), ("1MB", size // 1_000_000, size // 1_000_000 + 3), ("100 GB", 1, 1)):
            out = self.around / shards
            self.converts(MODEL, "--to", "huggingface", "--shards", shards, out=out)
            files = sorted(p.name for p in out.glob("*.safetensors"))
            self.assertTrue(least <= len(files) <= most, files)
            self.assertEqual(all_tensors(out), all_tensors(MODEL))
            if len(files) == 1:
                continue
            index = json.loads((out / "model.safetensors.index.json").read_text())
            self.assertEqual(index["metadata"]["total_size"], size)
            self.assertEqual(sorted(set(index["weight_map"].values())), files)
            self.assertEqual(json.loads(self.succeeds(run("inspect", out, "--json")))["problems"], [])
        self.assertEqual(self.answer(self.around / "3"), self.answer(MODEL))
        for wrong in ("0", "-1", "5G", "GB", ""):
            self.fails(run("convert", MODEL, self.out, "--to", "huggingface", f"--shards={wrong} "), "--shards")

    def test_types(self):
        self.assertEqual(self.converts(MODEL, "--to", "huggingface", "--dtype", "f32"), "")
        self.assertEqual({t[0] for t in all_tensors(self.out).values()}, {"F32"})
        config = json.loads((self.out / "config.json").read_text())
        self.assertEqual((config["torch_dtype"], config["text_config"]["torch_dtype"]), ("float32", "float32"))
        self.assertEqual(self.answer(self.out), self.answer(MODEL))
        back = self.around / "back"
        self.assertEqual(self.converts(self.out, "--to", "huggingface", "--dtype", "bf16", out=back), "")
        self.assertEqual(all_tensors(back), all_tensors(MODEL))
        self.assertEqual(json.loads((back / "config.json").read_text()), json.loads((MODEL / "config.json").read_text()))

        folder = copy_of_model("huge values")
        tensors = read_safetensors(MODEL / "model.safetensors")
        name = "multi_modal_projector.bias"
        tensors[name] = ("F32", tensors[name][1], struct.pack("<f", 1e6) + struct.pack("<f", 1.001) * (tensors[name][1][0] - 1))
        write_safetensors(folder / "model.safetensors", tensors)
        for form in ("huggingface", "gguf"):
            out = self.around / "f16" / form
            out.parent.mkdir(exist_ok=True)
            self.fails(run("convert", folder, out, "--to", form, "--dtype", "f16"),
                       "1 value is too large for F16; --dtype f32 keeps it")
            self.assertEqual(list(out.parent.iterdir()), [])
        said = self.converts(folder, "--to", "huggingface", "--dtype", "bf16", out=self.around / "bf16")
        self.assertIn("rounded to BF16", said)

    def test_meta_and_back(self):
        source = flat_model("flat")
        for shards in ("1", "2"):
            meta, back = self.around / f"meta{shards}", self.around / f"back{shards}"
            self.assertIn("the vision tower", self.converts(source, "--to", "meta", "--shards", shards, out=meta))
            files = sorted(meta.glob("*.pth"))
            self.assertEqual([f.name for f in files], [f"consolidated.0{i}.pth" for i in range(int(shards))])
            for file in files:
                archive = zipfile.ZipFile(file)
                self.assertIsNone(archive.testzip())
                self.assertTrue(all(i.compress_type == zipfile.ZIP_STORED for i in archive.infolist()))
                pickletools.dis(archive.read(f"{file.stem}/data.pkl"), out=io.StringIO())
                self.assertEqual(archive.read(f"{file.stem}/version"), b"3\n")
            params = json.loads((meta / "params.json").read_text())
            self.assertEqual((params["dim"], params["n_layers"], params["vision_num_cross_attention_layers"]), (128, 4, 2))
            self.assertEqual(json.loads(self.succeeds(run("inspect", meta, "--json")))["problems"], [])
            self.assertEqual(self.answer(meta), self.answer(source))
            self.converts(meta, "--to", "huggingface", "--config", MODEL / "config.json", out=back)
            self.assertEqual(all_tensors(back), all_tensors(source))
            self.assertEqual(self.answer(back), self.answer(source))
            again = self.around / f"again{shards}"
            self.converts(back, "--to", "meta", "--shards", shards, out=again)
            for file in files + [meta / "params.json", meta / "tokenizer.model"]:
                self.assertEqual((again / file.name).read_bytes(), file.read_bytes(), file.name)
        self.fails(run("convert", source, self.out, "--to", "meta", "--shards", "3"), "cannot be divided among 3 files")
        self.fails(run("convert", source, self.out, "--to", "meta", "--shards", "5GB"), "--shards")
        self.assertFalse(self.out.exists())

    def test_tables_that_meta_cannot_hold(self):
        for model in (MODEL, DATA / "golden" / "g1_ids" / "hf"):
            self.fails(run("convert", model, self.out, "--to", "meta"), "Meta's form cannot express")
            self.nothing_left()

    def test_a_size_of_no_configuration(self):
        source, meta = DATA / "golden" / "p1" / "hf", self.around / "meta"
        self.converts(source, "--to", "meta", out=meta)
        self.converts(meta, "--to", "huggingface", "--config", source / "config.json")
        self.assertEqual(all_tensors(self.out), all_tensors(source))

    def test_gguf_and_back(self):
        file, back = self.around / "tiny.gguf", self.around / "back"
        self.assertEqual(self.converts(MODEL, "--to", "gguf", out=file), "")
        self.assertEqual(file.read_bytes()[:4], b"GGUF")
        self.assertEqual(self.answer(file), self.answer(MODEL))
        self.assertEqual(self.converts(file, "--to", "huggingface", out=back), "")
        self.assertEqual(all_tensors(back), all_tensors(MODEL))
        for path in MODEL.glob("*.json"):
            self.assertEqual((back / path.name).read_bytes(), path.read_bytes(), path.name)
        self.fails(run("convert", MODEL, file, "--to", "gguf"), file, "already")
        self.converts(MODEL, "--to", "gguf", "--dtype", "f32", "--force", out=file)
        self.converts(file, "--to", "huggingface", "--dtype", "bf16", "--force", out=back)
        self.assertEqual(all_tensors(back), all_tensors(MODEL))
        self.fails(run("convert", MODEL, self.out, "--to", "gguf", "--shards", "2"), "one file")
        meta = self.around / "meta"
        self.converts(flat_model("flat for gguf"), "--to", "meta", out=meta)
        self.converts(meta, "--to", "gguf", "--config", MODEL / "config.json", "--force", out=file)
        self.assertEqual(self.answer(file), self.answer(meta))
        again = self.around / "meta of gguf"
        self.converts(file, "--to", "meta", out=again)
        for name in ("consolidated.00.pth", "params.json", "tokenizer.model"):
            self.assertEqual((again / name).read_bytes(), (meta / name).read_bytes(), name)

    def test_nothing_is_overwritten_unasked(self):
        self.converts(MODEL, "--to", "huggingface")
        before = (self.out / "model.safetensors").stat().st_ino
        self.fails(run("convert", MODEL, self.out, "--to", "huggingface"), self.out, "already")
        self.assertEqual((self.out / "model.safetensors").stat().st_ino, before)
        self.converts(flat_model("flat too"), "--to", "meta", "--force")
        self.assertEqual(list(self.out.glob("*.safetensors")), [])
        (self.out / "notes.txt").write_text("mine")
        self.fails(run("convert", MODEL, self.out, "--to", "huggingface", "--force"), "notes.txt")
        self.assertEqual((self.out / "notes.txt").read_text(), "mine")
        self.assertEqual([p.name for p in self.around.iterdir()], ["out"])

    def test_a_source_that_is_none(self):
        self.fails(run("convert", TEMPORARY / "nowhere", self.out, "--to", "meta"), "nowhere")
        self.refuses(run("convert", MODEL, self.out, "--to", "onnx"))
        self.refuses(run("convert", MODEL, self.out))
        self.nothing_left()


class Adapters(Case):
    def adapter(self, name, value):
        folder = TEMPORARY / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1}))
        module = "base_model.model.model.language_model.layers.0.self_attn.v_proj.lora_"
        write_safetensors(folder / "adapter_model.safetensors", {
            module + "A.weight": ("F32", [1, 128], struct.pack("<f", value) * 128),
            module + "B.weight": ("F32", [64, 1], struct.pack("<f", value) * 64)})
        return folder

    def test_described_and_converted(self):
        ask = ["describe", *GIVEN, "--prompt", "How many shapes are there?", "--json"]
        plain = json.loads(self.succeeds(run(*ask)))["tokens"]
        self.assertEqual(json.loads(self.succeeds(run(*ask, "--adapter", self.adapter("none", 0.0))))["tokens"], plain)
        strong = self.adapter("strong", 1.0)
        changed = json.loads(self.succeeds(run(*ask, "--adapter", strong)))["tokens"]
        self.assertNotEqual(changed, plain)
        merged = TEMPORARY / "merged"
        self.succeeds(run("convert", MODEL, merged, "--to", "huggingface", "--adapter", strong))
        ask[1:1 + len(GIVEN)] = ["--model", merged]
        self.assertEqual(json.loads(self.succeeds(run(*ask)))["tokens"], changed)
        before, after = all_tensors(MODEL), all_tensors(merged)
        self.assertEqual([n for n in before if before[n] != after[n]],
                         ["language_model.model.layers.0.self_attn.v_proj.weight"])

    def test_one_that_does_not_fit(self):
        folder = self.adapter("wrong", 1.0)
        tensors = read_safetensors(folder / "adapter_model.safetensors")
        write_safetensors(folder / "adapter_model.safetensors", {n.replace("layers.0", "layers.77"): t for n, t in tensors.items()})
        self.fails(run("describe", *GIVEN, "--prompt", "?", "--adapter", folder), folder, "layers.77", "not in the model")
        self.fails(run("describe", *GIVEN, "--prompt", "?", "--adapter", MODEL), "adapter_config.json")


class TextAlone(Case):
    """The text model as transformers' MllamaForCausalLM saves it."""

    def setUp(self):
        self.folder = TEMPORARY / self.id().rsplit(".", 1)[1]
        self.folder.mkdir()
        tensors = read_safetensors(MODEL / "model.safetensors")
        prefix = "language_model."
        write_safetensors(self.folder / "model.safetensors",
                          {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
        config = json.loads((MODEL / "config.json").read_text())["text_config"]
        config |= {"model_type": "mllama_text_model", "architectures": ["MllamaForCausalLM"]}
        (self.folder / "config.json").write_text(json.dumps(config))
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            (self.folder / name).write_bytes((MODEL / name).read_bytes())

    def test_asked_and_inspected(self):
        ask = ["--prompt", "How many shapes are there?", "--json", "--greedy"]
        found = [json.loads(self.succeeds(run("describe", "--model", m, *ask)))["tokens"] for m in (self.folder, MODEL)]
        self.assertEqual(*found)
        folder, list_of = scenes()
        photo = folder / next(s["image"] for s in list_of if s["image"])
        self.fails(run("describe", "--model", self.folder, photo), "sees no pictures")
        page = self.succeeds(run("inspect", self.folder))
        self.assertIn("none: the text model alone", page)
        self.assertNotIn("for each image", page)
        report = json.loads(self.succeeds(run("inspect", self.folder, "--json")))
        self.assertEqual((report["pictures"], report["problems"], report["memory"]["image"]), (None, [], 0))

    def test_converted(self):
        file, back = TEMPORARY / "alone.gguf", TEMPORARY / "alone again"
        self.succeeds(run("convert", self.folder, file, "--to", "gguf"))
        self.succeeds(run("inspect", file))
        self.succeeds(run("convert", file, back, "--to", "huggingface"))
        self.assertEqual(all_tensors(back), all_tensors(self.folder))
        self.assertEqual({p.name for p in back.iterdir()} - {p.name for p in self.folder.iterdir()}, {"chat_template.json"})
        self.fails(run("convert", self.folder, TEMPORARY / "alone meta", "--to", "meta"), "text model alone")

    def test_a_broken_one(self):
        tensors = read_safetensors(self.folder / "model.safetensors")
        tensors.pop("model.norm.weight")
        for more, missing in (({}, "language_model.model.norm.weight"),
                              ({"vision_model.class_embedding": ("F32", [1], bytes(4))}, "vision_model.patch_embedding.weight")):
            write_safetensors(self.folder / "model.safetensors", tensors | more)
            r = run("describe", "--model", self.folder, "--prompt", "Hello")
            self.fails(r, self.folder)
            self.assertIn(missing, r.stderr)


main()

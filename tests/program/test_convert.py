# SPDX-License-Identifier: Apache-2.0
"""`convert`: the same tensors in every form, nothing half-written, memory that does not grow with the file; `--adapter`."""
import io
import json
import os
import pathlib
import pickletools
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import (Case, DATA, GIVEN, MODEL, PROGRAM, TEMPORARY, copy_of_model, main, read_safetensors, run, scenes,
                     write_safetensors)

QUESTION = "What is in this picture?"


def all_tensors(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(read_safetensors(path))
    return tensors


def large_model(name, tensors, rows):
    """A folder whose weights are zeros, most of them never written to the disk."""
    folder = copy_of_model(name)
    header, at = {}, 0
    for i in range(tensors):
        header[f"vision_model.transformer.layers.{i}.mlp.fc1.weight"] = {"dtype": "BF16", "shape": [rows, 1024],
                                                   "data_offsets": [at, at + 2048 * rows]}
        at += 2048 * rows
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return folder, at


def flat_model(name):
    """The model with tile tables that Meta's form can hold: a vector for each cell, whatever the arrangement; none for padding."""
    folder = copy_of_model(name)
    tensors = read_safetensors(folder / "model.safetensors")
    shapes = [(h, w) for h in range(1, 5) for w in range(1, 5) if h * w <= 4]
    for tensor in [n for n in tensors if "tile_embedding.weight" in n or "tile_positional_embedding.embedding.weight" in n]:
        dtype, shape, raw = tensors[tensor]
        slot = len(raw) // 36
        cell = {(h, w): raw[(4 * (i + 1) + h * w - 1) * slot:][:slot] for i, (h, w) in enumerate(shapes)}
        rows = [bytes(4 * slot)]
        for h, w in shapes:
            tiles = [cell[t // w + 1, t % w + 1] for t in range(h * w)]
            rows.append(b"".join(tiles) + bytes((4 - h * w) * slot))
        tensors[tensor] = (dtype, shape, b"".join(rows))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


class Convert(Case):
    def setUp(self):
        self.around = TEMPORARY / self.id().rsplit(".", 1)[1]
        self.around.mkdir()
        self.out = self.around / "out"

    def converts(self, source, *arguments, out=None):
        r = run("convert", source, out or self.out, *arguments)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(r.stdout, f"{out or self.out}\n")
        return r.stderr

    def answer(self, model, *arguments):
        folder, list_of = scenes()
        photo = folder / next(s["image"] for s in list_of if s["image"])
        return self.succeeds(run("describe", "--model", model, *arguments, "--prompt", QUESTION, photo))

    def nothing_left(self):
        self.assertEqual([p.name for p in self.around.iterdir()], [])

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
        said = self.converts(folder, "--to", "huggingface", "--dtype", "f16", out=self.around / "f16")
        self.assertIn("rounded to F16", said)
        self.assertIn("1 values are too large for F16", said)
        said = self.converts(folder, "--to", "huggingface", "--dtype", "bf16", out=self.around / "bf16")
        self.assertIn("rounded to BF16", said)
        self.assertNotIn("infinite", said)

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

    def test_a_full_disk_leaves_nothing(self):
        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        source = flat_model("flat for a full disk")
        for form in ("huggingface", "meta", "gguf"):
            self.fails(run("convert", source, self.out, "--to", form, preexec_fn=limited), "cannot be written")
            self.nothing_left()
        self.converts(source, "--to", "gguf")
        before = self.out.read_bytes()
        self.fails(run("convert", source, self.out, "--to", "gguf", "--dtype", "f32", "--force", preexec_fn=limited),
                   "cannot be written")
        self.assertEqual(self.out.read_bytes(), before)
        self.assertEqual([p.name for p in self.around.iterdir()], ["out"])

    def test_a_file_system_that_is_full(self):
        """A real one, of so many kB; where that may not be mounted, the limit above has to do."""
        source = flat_model("flat for a small file system")
        inside = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c",
                  'mount -t tmpfs -o size="$1"k tmpfs "$2" && cd "$2" && shift 2 && { "$@"; echo "status $?"; ls -A; }', "sh"]
        self.around.joinpath("disk").mkdir()

        def tried(kilobytes, *command):
            return subprocess.run([*inside, str(kilobytes), self.around / "disk", *map(str, command)], capture_output=True, text=True,
                                  timeout=120)
        if shutil.which("unshare") is None or "status 0" not in tried(64, "true").stdout:
            self.skipTest("no file system can be mounted here")
        refused = ran_out = 0
        for form in ("huggingface", "meta", "gguf"):
            whole = sum(p.stat().st_size for p in self.files_of(source, form))
            for kilobytes in (4, 64, 3000, whole // 1024 - 100, whole // 1024 - 4, whole // 1024 + 400):
                r = tried(kilobytes, PROGRAM, "convert", source, "out", "--to", form)
                if "status 0" in r.stdout:
                    self.assertEqual(r.stdout.splitlines()[1:], ["status 0", "out"], r.stderr)
                else:
                    self.assertEqual(r.stdout.splitlines(), ["status 1"], (form, kilobytes, r.stderr))
                    self.assertRegex(r.stderr, "No space left on device|the disk has .* left, and the result takes")
                    ran_out += "No space" in r.stderr
                    refused += "the disk has" in r.stderr
            self.assertIn("status 0", r.stdout, (form, r.stderr))
        self.assertGreaterEqual(min(refused, ran_out), 1, (refused, ran_out))

    def files_of(self, source, form):
        out = self.around / f"whole {form}"
        self.converts(source, "--to", form, out=out)
        return [out] if out.is_file() else sorted(out.iterdir())

    def test_killed_at_any_moment(self):
        """What is there afterwards is the old checkpoint or the new one, whole."""
        source = flat_model("flat to be killed")
        cut_short = 0
        for form in ("meta", "huggingface", "gguf"):
            begun = time.monotonic()
            new = {p.name: p.read_bytes() for p in self.files_of(source, form)}
            lasted = time.monotonic() - begun
            place = self.around / form
            place.mkdir()
            out = place / "out"
            for step in range(24):
                with subprocess.Popen([PROGRAM, "convert", source, out, "--to", form, "--force"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL) as process:
                    time.sleep(lasted * (step + 1) / 20)
                    process.kill()
                if out.exists():
                    files = [out] if out.is_file() else sorted(out.iterdir())
                    self.assertEqual([p.read_bytes() for p in files], list(new.values()), (form, step))
                left = [p for p in place.iterdir() if p.name != "out"]
                cut_short += len(left)
                for part in left:
                    self.assertIn(".part", part.name)
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
        self.assertGreater(cut_short, 3, "every conversion had ended or not begun when it was killed")

    def test_signals(self):
        source, _ = large_model("large", 16, 1 << 16)
        for form, number, status in (("huggingface", signal.SIGTERM, 1), ("gguf", signal.SIGINT, 1), ("huggingface", signal.SIGINT, 1),
                                     ("gguf", signal.SIGKILL, -signal.SIGKILL), ("huggingface", signal.SIGKILL, -signal.SIGKILL)):
            with subprocess.Popen([PROGRAM, "convert", source, self.out, "--to", form, "--dtype", "f32"],
                                  stderr=subprocess.PIPE, text=True) as process:
                deadline = time.monotonic() + 60
                while not any(size > 1 << 20 for size in self.sizes_of_parts()):
                    self.assertIsNone(process.poll(), "ended before it could be interrupted")
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.002)
                process.send_signal(number)
                self.assertEqual(process.wait(60), status)
                if status == 1:
                    self.assertIn("interrupted", process.stderr.read())
                    self.nothing_left()
            self.assertFalse(self.out.exists())

    def sizes_of_parts(self):
        for path in self.around.rglob("*.part*"):
            try:
                if path.is_file():
                    yield path.stat().st_size
            except FileNotFoundError:
                pass

    def test_memory_is_bounded(self):
        source, size = large_model("larger", 24, 1 << 13)
        room, step = 48 << 20, 16 << 20
        self.assertGreaterEqual(size, 6 * (room + step))

        def limited_to(limit):
            return lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        # What it takes to start, with the libraries and shadows that a build may bring.
        start = next(n for n in range(step, 64 * step, step) if run("--help", preexec_fn=limited_to(n)).returncode == 0)
        for arguments in (["huggingface"], ["huggingface", "--dtype", "f32"]):
            r = run("convert", source, self.out, "--to", *arguments, "--force", preexec_fn=limited_to(start + room))
            self.assertEqual(r.returncode, 0, r.stderr)
            written = sum(p.stat().st_size for p in self.out.glob("*.safetensors"))
            self.assertGreaterEqual(written, size)

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


class Truncated(Case):
    """A file that shrinks while it is mapped is an error that names it, in every form."""

    def shrinks(self, model, file):
        with subprocess.Popen([PROGRAM, "chat", "--model", model], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            process.stdin.write("How many shapes are there?\n")
            process.stdin.flush()
            process.stdout.read(1)  # the model is loaded
            os.truncate(file, 4096)
            _, said = process.communicate("What is in this picture?\n", timeout=60)
        self.assertEqual(process.returncode, 1, said)
        self.assertIn(f"{file}: became shorter", said)

    def test_while_a_model_is_asked(self):
        folder = copy_of_model("shrinking")
        self.shrinks(folder, folder / "model.safetensors")
        file = TEMPORARY / "shrinking.gguf"
        self.succeeds(run("convert", MODEL, file, "--to", "gguf"))
        self.shrinks(file, file)
        meta = TEMPORARY / "shrinking meta"
        self.succeeds(run("convert", flat_model("flat to shrink"), meta, "--to", "meta"))
        self.shrinks(meta, meta / "consolidated.00.pth")

    def test_while_a_model_is_converted(self):
        around = TEMPORARY / "converted while shrinking"
        around.mkdir()
        source, size = large_model("large and shrinking", 16, 1 << 16)
        with subprocess.Popen([PROGRAM, "convert", source, around / "out", "--to", "huggingface", "--dtype", "f32"],
                              stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 60
            while not any(p.stat().st_size > 1 << 20 for p in around.rglob("*.safetensors.part*")):
                self.assertIsNone(process.poll())
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.002)
            os.truncate(source / "model.safetensors", 1 << 20)
            _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, said)
        self.assertIn("became shorter", said)
        self.assertFalse((around / "out").exists())


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

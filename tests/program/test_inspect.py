# SPDX-License-Identifier: Apache-2.0
"""`inspect` and `architecture`: what is in a checkpoint, and what is wrong with it."""
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, GIVEN, MODEL, TEMPORARY, copy_of_model, main, read_safetensors, run, write_safetensors

GOLDEN = DATA / "golden"


def look(path, *arguments):
    return run("inspect", path, *arguments)


class Inspect(Case):
    def report(self, path, status=0):
        r = look(path, "--json")
        self.assertEqual(r.returncode, status, r.stderr)
        return json.loads(r.stdout)

    def test_page(self):
        page = self.succeeds(look(MODEL))
        for word in (str(MODEL), "Hugging Face", "tiny", "tokenizer.json", "vision tower", "projector", "self-attention layers",
                     "cross-attention layers", "embeddings, head", "BF16", "q8", "q4", "This machine has", "tile tables"):
            self.assertIn(word, page)
        self.assertNotIn("Wrong:", page)
        self.assertLess(page.count("\n"), 60)

    def test_counts(self):
        report = self.report(MODEL)
        tensors = read_safetensors(MODEL / "model.safetensors")
        parts = {p["name"]: p for p in report["parts"]}
        whole = parts.pop("whole model")
        self.assertEqual(whole["tensors"], len(tensors))
        self.assertEqual(whole["bytes"], sum(len(raw) for _, _, raw in tensors.values()))
        for key in ("tensors", "parameters", "bytes"):
            self.assertEqual(sum(p[key] for p in parts.values()), whole[key])
        cost = whole["cost"]
        self.assertEqual((cost["f32"], cost["f16/bf16"]), (4 * whole["parameters"], 2 * whole["parameters"]))
        self.assertAlmostEqual(cost["q8"] / whole["parameters"], 34 / 32, 5)
        self.assertAlmostEqual(cost["q4"] / whole["parameters"], 18 / 32, 5)
        self.assertGreater(report["memory"]["token"], 0)
        self.assertEqual(report["problems"], [])

    def test_documentation(self):
        for path in (MODEL, DATA / "checkpoint" / "adapter", DATA / "checkpoint" / "gguf" / "ollama.gguf"):
            self.documented("inspect", self.report(path))

    def test_tile_tables(self):
        self.assertFalse(self.report(GOLDEN / "p1" / "hf")["tile_tables"]["say_more_than_two_dimensions"])
        tables = self.report(GOLDEN / "g1_ids" / "hf")["tile_tables"]
        self.assertEqual((len(tables["padded_tiles"]), len(tables["by_arrangement"])), (3, 3))
        self.assertIn("more than Meta's", self.succeeds(look(GOLDEN / "g1_ids" / "hf")))

    def test_other_sizes(self):
        for name in ("p1", "g1_ids"):
            folder = GOLDEN / name / "hf"
            self.assertIn("--config-header", self.succeeds(look(folder)))
            self.assertIsNone(self.report(folder)["configuration"])
            header = self.succeeds(look(folder, "--config-header"))
            self.assertEqual(header, self.succeeds(look(folder / "config.json", "--config-header")))
            for word in ("#pragma once", "struct hf_config {", "#define LLAMAVISION_PROGRAM_CONFIG_TYPES hf_config"):
                self.assertIn(word, header)
        self.fails(look(TEMPORARY, "--config-header"), "config.json")

    def test_a_published_model_before_its_weights(self):
        folder = TEMPORARY / "Llama-3.2-11B-Vision-Instruct"
        folder.mkdir()
        rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192}
        (folder / "config.json").write_text(json.dumps({"model_type": "mllama", "text_config": {"rope_scaling": rope},
                                                        "vision_config": {"image_size": 560}}))
        r = look(folder)
        self.fails(r, folder, "no model.safetensors")
        for word in ("llama-3.2-11b-vision\n", "10'670'220'835", "21.3 GB", "Built with Llama", "Community License"):
            self.assertIn(word, r.stdout)
        self.assertEqual(set(self.report(folder, 1)["fits"]), {"f32", "f16/bf16", "q8", "q4"})
        self.assertIn("struct llama_3_2_11b_vision_instruct_config {", self.succeeds(look(folder, "--config-header")))

    def test_newer_transformers(self):
        folder = copy_of_model("newer")
        config = json.loads((folder / "config.json").read_text())
        config["transformers_version"] = "4.57.1"
        (folder / "config.json").write_text(json.dumps(config))
        page = self.succeeds(look(folder))
        self.assertIn("Warning:", page)
        self.assertIn("one layer later", page)

    def test_every_problem_is_listed(self):
        folder = copy_of_model("broken")
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-7])
        (folder / "generation_config.json").write_text('{"temperature": "hot"}')
        (folder / "tokenizer.json").write_text("<html>")
        problems = self.report(folder, 1)["problems"]
        self.assertEqual(len(problems), 3)
        for name in ("model.safetensors", "generation_config.json", "tokenizer.json"):
            self.assertTrue([p for p in problems if name in p], problems)
        r = look(folder)
        self.fails(r, "2 more")
        self.assertEqual(r.stdout.count("Wrong:"), 3)

    def test_wrong_tensors(self):
        folder = copy_of_model("misshapen")
        tensors = read_safetensors(MODEL / "model.safetensors")
        dtype, shape, raw = tensors.pop("multi_modal_projector.bias")
        write_safetensors(folder / "model.safetensors", tensors)
        self.fails(look(folder), folder, "multi_modal_projector.bias", "missing")
        tensors["multi_modal_projector.bias"] = ("I16", shape, raw)
        write_safetensors(folder / "model.safetensors", tensors)
        self.fails(look(folder), "multi_modal_projector.bias", "I16")

    def test_wrong_tensors_of_any_size(self):
        """The numbers of no configuration that the program was built for."""
        folder = copy_of_model("of another size")

        def says(change):
            config = json.loads((MODEL / "config.json").read_text())
            config["text_config"]["rms_norm_eps"] = 2e-5
            change(config["text_config"])
            (folder / "config.json").write_text(json.dumps(config))
        says(lambda text: None)
        self.assertIn("it takes the model as f32", self.succeeds(look(folder)))
        report = self.report(folder)
        self.assertEqual((report["configuration"], report["problems"]), (None, []))
        self.assertEqual(set(report["fits"]), {"f32", "f16/bf16", "q8", "q4"})

        last = "language_model.model.layers.6"
        for change, words in ((lambda text: text.update(num_hidden_layers=7), [f"{last}.self_attn.q_proj.weight [128, 128]", "9 missing"]),
                              (lambda text: text.pop("hidden_size"), ["is [128], the model's is [4096]", "misshapen"]),
                              (lambda text: text.update(cross_attention_layers=[1]), ["4.self_attn.q_proj", "4.cross_attn.q_proj"]),
                              (lambda text: text.update(vocab_size=767), ["embed_tokens.weight is [776, 128], the model's is [775, 128]"])):
            says(change)
            report = self.report(folder, 1)
            self.assertEqual(report["fits"], {})
            for word in words:
                self.assertIn(word, "".join(report["problems"]))
            r = look(folder)
            self.fails(r, folder)
            self.assertIn("Wrong:", r.stdout)
            self.assertNotIn("it takes the model", r.stdout)

        says(lambda text: None)
        tensors = read_safetensors(MODEL / "model.safetensors")
        del tensors["vision_model.transformer.layers.2.mlp.fc1.bias"]
        tensors["more"] = ("F32", [1], bytes(4))
        dtype, _, raw = tensors["vision_model.class_embedding"]
        tensors["vision_model.class_embedding"] = (dtype, [2, 64], raw)
        write_safetensors(folder / "model.safetensors", tensors)
        problems = "".join(self.report(folder, 1)["problems"])
        for word in ("1 missing:\n    vision_model.transformer.layers.2.mlp.fc1.bias [512]", "1 surplus:\n    more [1]",
                     "1 misshapen:\n    vision_model.class_embedding is [2, 64], the model's is [128]"):
            self.assertIn(word, problems)

    def test_other_forms_of_any_size(self):
        gguf = DATA / "checkpoint" / "gguf"
        for source, *dialect in ((DATA / "meta" / "1",), (gguf / "ollama.gguf",), (gguf / "pair", "--gguf-dialect", "pair")):
            report = json.loads(self.succeeds(look(source, "--json", *dialect)))
            self.assertEqual((report["configuration"], report["problems"]), (None, []))
        folder = TEMPORARY / "p1 in other forms"
        folder.mkdir()
        for form in ("meta", "gguf"):
            out = folder / f"p1.{form}"
            self.succeeds(run("convert", GOLDEN / "p1" / "hf", out, "--to", form))
            self.assertEqual(self.report(out)["problems"], [])

    def test_links_that_lead_nowhere(self):
        for name in ("generation_config.json", "chat_template.json", "preprocessor_config.json", "tokenizer.json"):
            folder = copy_of_model("half fetched")
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to("../../blobs/0123")
            self.fails(look(folder), f"{folder / name}: is a link to a file that is not there")
            self.fails(run("describe", "--prompt", "Hello", "--model", folder), f"{folder / name}: is a link to a file that is not")

    def test_what_should_not_be_there(self):
        folder = copy_of_model("cluttered")
        (folder / "config (1).json").write_text("{}")
        (folder / "other.safetensors").write_bytes(b"")
        (folder / "model.safetensors.part").write_bytes(bytes(2500))
        cache = folder / ".cache" / "huggingface" / "download"
        cache.mkdir(parents=True)
        (cache / "abc.incomplete").write_bytes(b"")
        page = self.succeeds(look(folder))
        for word in ("config (1).json: looks like config.json", "other.safetensors: weights that no index names",
                     "model.safetensors.part: a download that was not finished (2.5 kB", "abc.incomplete: a download"):
            self.assertIn(word, page)
        self.assertEqual(len(self.report(folder)["warnings"]), 4)
        empty = TEMPORARY / "nothing but a download"
        empty.mkdir()
        (empty / "model-00001-of-00005.safetensors.incomplete").write_bytes(b"")
        r = look(empty)
        self.fails(r, empty, "no checkpoint")
        self.assertIn("not finished", r.stderr)

    def test_a_shard_that_is_not_there(self):
        folder = copy_of_model("half")
        tensors = read_safetensors(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        names = sorted(tensors)
        parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {n: file for file, of in parts.items() for n in of}}))
        write_safetensors(folder / "a.safetensors", {n: tensors[n] for n in parts["a.safetensors"]})
        report = self.report(folder, 1)
        self.assertEqual((report["missing_files"], report["fits"]), (["b.safetensors"], {}))
        self.assertEqual(len(report["problems"]), 1)
        self.fails(look(folder), "1 of the 2 files that it names are missing: b.safetensors")
        (folder / "b.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
        self.fails(look(folder), "b.safetensors", "Git LFS")

    def test_a_base_model(self):
        folder = copy_of_model("base")
        for name in folder.glob("chat_template*"):
            name.unlink()
        words = json.loads((folder / "tokenizer_config.json").read_text())
        words.pop("chat_template", None)
        (folder / "tokenizer_config.json").write_text(json.dumps(words))
        for name in ("config.json", "generation_config.json"):
            said = json.loads((folder / name).read_text())
            ends = said.get("text_config", said)["eos_token_id"]
            for part in (said, said.get("text_config", {})):
                if "eos_token_id" in part:
                    part["eos_token_id"] = ends[0]
            (folder / name).write_text(json.dumps(said))
        r = run("inspect", folder, "--json")
        report = json.loads(self.succeeds(r))
        self.assertTrue(report["base"])
        self.assertIn("base model", report["conversations"])
        self.assertIn("base model", self.succeeds(run("inspect", folder)))
        self.assertFalse(json.loads(self.succeeds(run("inspect", MODEL, "--json")))["base"])
        for command in (["describe", "--prompt", "Hello", "--max-tokens", "2"], ["chat", "--max-tokens", "2"]):
            self.assertIn("this is a base model", run(*command, "--model", folder, stdin="Hello\n").stderr)
            self.assertNotIn("base model", run(*command, *GIVEN, stdin="Hello\n").stderr)
        ids = self.succeeds(run("tokenize", "Hello", "--tokenizer", folder)).split()
        for model, arguments in ((folder, []), (MODEL, ["--format", "base"])):  # begin of text, and the prompt as it stands
            r = run("describe", "--json", "--prompt", "Hello", "--max-tokens", "1", "--model", model, *arguments)
            self.assertEqual(json.loads(self.succeeds(r))["timing"]["prompt_tokens"], 1 + len(ids))
        r = run("describe", "--json", "--prompt", "Hello", "--max-tokens", "1", "--model", folder, "--format", "meta")
        self.assertGreater(json.loads(self.succeeds(r))["timing"]["prompt_tokens"], 1 + len(ids))
        self.fails(run("describe", "--prompt", "Hello", "--system", "Be brief.", "--model", folder), "system prompt")

    def test_an_adapter(self):
        report = self.report(DATA / "checkpoint" / "adapter")
        adapter = report["adapter"]
        self.assertEqual((adapter["rank"], adapter["alpha"], adapter["rslora"]), (4, 6, True))
        self.assertTrue({"q_proj", "fc1", "lm_head"} <= set(adapter["modules"]))
        page = self.succeeds(look(DATA / "checkpoint" / "adapter"))
        for word in ("an adapter (PEFT)", "rank 4, alpha 6.0 over the rank's root", "q_proj", "--adapter"):
            self.assertIn(word, page)
        odd = TEMPORARY / "odd adapter"
        shutil.copytree(DATA / "checkpoint" / "adapter", odd)
        config = json.loads((odd / "adapter_config.json").read_text())
        (odd / "adapter_config.json").write_text(json.dumps(config | {"mixing": 0.5}))
        self.assertIn("is not obeyed in: mixing 0.5", self.succeeds(look(odd)))
        broken = TEMPORARY / "broken adapter"
        broken.mkdir()
        (broken / "adapter_config.json").write_text('{"peft_type": "LORA", "use_dora": true}')
        self.fails(look(broken), "DoRA")
        (broken / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        whole = (DATA / "checkpoint" / "adapter" / "adapter_model.safetensors").read_bytes()
        (broken / "adapter_model.safetensors").write_bytes(whole[:-100])
        self.fails(look(broken), "adapter_model.safetensors", "cut off")

    def test_the_hub_s_cache(self):
        repository = TEMPORARY / "models--somebody--something"
        snapshot = repository / "snapshots" / "abc"
        (repository / "blobs").mkdir(parents=True)
        snapshot.mkdir(parents=True)
        for i, path in enumerate(MODEL.iterdir()):
            (repository / "blobs" / str(i)).write_bytes(path.read_bytes())
            (snapshot / path.name).symlink_to(pathlib.Path("..", "..", "blobs", str(i)))
        report = self.report(repository)
        self.assertEqual((report["path"], report["configuration"]), (str(snapshot), "tiny"))
        self.assertEqual(self.succeeds(run("describe", "--model", repository, "--prompt", "Hello", "--greedy")),
                         self.succeeds(run("describe", "--model", MODEL, "--prompt", "Hello", "--greedy")))
        self.assertIn("struct ", self.succeeds(look(repository, "--config-header")))

    def test_tensors_at_odd_bytes(self):
        folder = copy_of_model("odd")
        tensors = read_safetensors(folder / "model.safetensors")
        write_safetensors(folder / "model.safetensors", tensors)
        raw = (folder / "model.safetensors").read_bytes()
        length = int.from_bytes(raw[:8], "little")
        odd = length + (length % 2 == 0)
        (folder / "model.safetensors").write_bytes(odd.to_bytes(8, "little") + raw[8:8 + length] + b" " * (odd - length) + raw[8 + length:])
        self.assertTrue([w for w in self.report(folder)["warnings"] if "at odd bytes" in w])
        ask = ["--prompt", "How many shapes are there?", "--greedy"]
        self.assertEqual(self.succeeds(run("describe", "--model", folder, *ask)), self.succeeds(run("describe", "--model", MODEL, *ask)))

    def test_any_name_of_a_folder(self):
        folder = copy_of_model("Größe 模型 (2) 'x'")
        self.assertEqual(self.report(folder)["path"], str(folder))
        self.assertIn(str(folder), self.succeeds(look(folder)))

    def test_this_machine(self):
        report = self.report(MODEL)
        self.assertLessEqual(report["available_memory"], report["machine_memory"])
        self.assertEqual(set(report["fits"]), {"f32", "f16/bf16", "q8", "q4"})
        self.assertEqual(report["licence"], None)
        self.assertEqual([pathlib.Path(f).name for f in report["files"]], ["model.safetensors"])
        self.assertIn("it takes the model as f32", self.succeeds(look(MODEL)))

    def test_other_forms(self):
        for name, word in (("consolidated.00.pth", "params.json"), ("model.gguf", "is empty"), ("pytorch_model.bin", "PyTorch"),
                           ("adapter_config.json", "adapter"), ("readme.txt", "no checkpoint")):
            folder = TEMPORARY / f"form-{name}"
            folder.mkdir()
            (folder / name).write_bytes(b"")
            r = look(folder)
            self.fails(r, folder, word)
            read = name.endswith((".pth", ".gguf"))  # forms that are read say what else is known
            self.assertEqual(r.stdout == "", not read)
            self.assertGreaterEqual(len(self.report(folder, 1)["problems"]), 1)
        self.fails(look(TEMPORARY / "nowhere"), "nowhere")


class Architecture(Case):
    def test_bundled(self):
        tree = self.succeeds(run("architecture", "--model", MODEL))
        self.assertEqual(tree, self.succeeds(run("architecture", "--config", "tiny")))
        for word in ("tiny: ", "patch_embedding", "cross_attn", "lm_head", "FLOP", "an image of 4 tiles"):
            self.assertIn(word, tree)

    def test_published(self):
        for name, parameters, tensors, f32, bf16 in (("llama-3.2-11b-vision", "10'670'220'835", "906", "42.7", "21.3"),
                                                     ("llama-3.2-11b-vision-448", "10'642'941'475", "906", "42.6", "21.3"),
                                                     ("llama-3.2-90b-vision", "88'593'355'323", "1'494", "354", "177")):
            tree = self.succeeds(run("architecture", "--config", name))
            self.assertTrue(tree.startswith(f"{name}: {parameters} parameters in {tensors} tensors; "
                                            f"{f32} GB in f32, {bf16} GB in f16 or bf16\n"), tree[:100])

    def test_faults(self):
        self.fails(run("architecture", "--config", "huge"), "huge", "tiny")
        for other in (GOLDEN / "p1" / "hf", DATA / "meta" / "1", DATA / "checkpoint" / "gguf" / "ollama.gguf"):
            self.fails(run("architecture", "--model", other), other.name, "--config-header")
        self.fails(run("architecture", "--model", TEMPORARY / "nowhere"), "nowhere")


main()

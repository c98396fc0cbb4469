# SPDX-License-Identifier: Apache-2.0
"""The published models in every form they are handed out in, as files of zeros: names, shapes, counts and sizes are the real ones."""
import json
import pathlib
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
import published
from harness import Case, TEMPORARY, main, run

PARAMETERS = {"11b": 10_670_220_835, "11b-448": 10_642_941_475, "90b": 88_593_355_323}
NAMES = {"11b": "llama-3.2-11b-vision", "11b-448": "llama-3.2-11b-vision-448", "90b": "llama-3.2-90b-vision"}
INSTRUCT, BASE = [128001, 128008, 128009], 128001
GUARD = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>Task: Check if there is unsafe content in <|image|> <|eot_id|>"
MEMORY = 1 << 30  # bytes that looking at any of them may take


class Published(Case):
    def report(self, path, status=0):
        r = run("inspect", path, "--json", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)))
        self.assertEqual(r.returncode, status, r.stderr)
        return json.loads(r.stdout)

    def whole(self, name, report, bytes_of=2):
        self.assertEqual(report["problems"], [])
        self.assertEqual(report["configuration"], NAMES[name])
        whole = report["parts"][-1]
        self.assertEqual((whole["tensors"], whole["parameters"]), (1494 if name == "90b" else 906, PARAMETERS[name]))
        if bytes_of:
            self.assertEqual(whole["bytes"], bytes_of * PARAMETERS[name])
        self.assertIn("Built with Llama", report["licence"])

    def folder(self, name, stop_ids, template=""):
        folder = TEMPORARY / self.id().rsplit(".", 1)[1] / name
        folder.mkdir(parents=True)
        size = published.SIZES[name]
        (folder / "config.json").write_text(json.dumps(published.config(size, stop_ids)))
        picture = {"size": {"height": size.tile, "width": size.tile}, "max_image_tiles": 4}
        (folder / "preprocessor_config.json").write_text(json.dumps(picture))
        if template:
            (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
        return folder, size

    def test_hugging_face(self):
        for name, stop_ids, shards in (("11b", INSTRUCT, 5), ("11b-448", BASE, 5), ("90b", INSTRUCT, 37)):
            folder, size = self.folder(name, stop_ids)
            self.assertIn(published.write_shards(folder, published.hugging_face(size)) - shards, (0, 1))
            self.whole(name, self.report(folder))
        last = sorted(folder.glob("*.safetensors"))[-1]
        last.unlink()
        self.assertIn(f"files that it names are missing: {last.name}", self.report(folder, 1)["problems"][0])

    def test_newer_names_in_one_file(self):
        folder, size = self.folder("11b", INSTRUCT)
        published.write_safetensors(folder / "model.safetensors", {published.newer_name(n): t for n, t in published.hugging_face(size).items()})
        self.whole("11b", self.report(folder))

    def test_a_guard(self):
        folder, size = self.folder("11b", INSTRUCT, GUARD)
        published.write_shards(folder, published.hugging_face(size))
        report = self.report(folder)
        self.whole("11b", report)
        self.assertTrue([w for w in report["warnings"] if "Llama Guard" in w])

    def test_a_wrong_shape_among_thousands(self):
        folder, size = self.folder("90b", INSTRUCT)
        tensors = published.hugging_face(size)
        tensors["language_model.model.layers.57.mlp.down_proj.weight"] = [8192, 28671]
        tensors["language_model.model.layers.100.mlp.down_proj.weight"] = [1]
        published.write_shards(folder, tensors)
        problem, = self.report(folder, 1)["problems"]
        self.assertIn("layers.57.mlp.down_proj.weight is [8192, 28671], the model's is [8192, 28672]", problem)
        self.assertIn("layers.100.mlp.down_proj.weight", problem)

    def test_meta(self):
        for name, files in (("11b", ["consolidated.pth"]), ("11b-448", ["consolidated.00.pth"]),
                            ("90b", [f"consolidated.0{i}.pth" for i in range(8)])):
            folder, size = TEMPORARY / "meta" / name / "original", published.SIZES[name]
            folder.mkdir(parents=True)
            (folder / "params.json").write_text(json.dumps(published.params(size)))
            for file in files:
                published.write_pth(folder / file, published.meta(size))
            self.whole(name, self.report(folder.parent))
        (folder / "consolidated.05.pth").unlink()
        self.assertIn("but not consolidated.05.pth", self.report(folder, 1)["problems"][0])

    def test_ollama(self):
        for name in ("11b", "90b"):
            file = TEMPORARY / f"{name}.gguf"
            self.assertEqual(published.write_gguf(file, published.SIZES[name]), 1496 if name == "90b" else 908)
            report = self.report(file)
            self.whole(name, report, None)
            self.assertEqual((report["dialect"], report["widened_types"]), ("ollama", ["Q4_K", "Q6_K"]))


if __name__ == "__main__":
    main()

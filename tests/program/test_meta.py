# SPDX-License-Identifier: Apache-2.0
"""Meta's own form: what `inspect` says about it, and files that are none."""
import json
import os
import pathlib
import pickle
import shutil
import sys
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, TEMPORARY, main, run

PUBLISHED = {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "ffn_dim_multiplier": 1.3,
             "multiple_of": 1024, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": True, "vision_chunk_size": 560,
             "vision_max_num_chunks": 4, "vision_num_cross_attention_layers": 8}


class Hostile:
    def __reduce__(self):
        return os.system, ("touch " + str(TEMPORARY / "executed"),)


class Meta(Case):
    def folder(self, name):
        folder = TEMPORARY / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(DATA / "meta" / "1", folder)
        return folder

    def test_page(self):
        page = self.succeeds(run("inspect", DATA / "meta" / "1"))
        for word in ("Meta's form", "temperature 0.60, top-p 0.90", "end with id 9, 16, 17", "vision tower", "BF16",
                     "as Meta's two-dimensional tables", "does not say its heads"):
            self.assertIn(word, page)
        report = json.loads(self.succeeds(run("inspect", DATA / "meta" / "1", "--json")))
        self.assertEqual(report["problems"], [])
        self.assertEqual(report["parts"][-1]["tensors"], 75)
        self.fails(run("inspect", DATA / "meta" / "1", "--config-header"), "does not say vision.heads, vision.taps")

    def test_a_published_model_before_its_weights(self):
        folder = TEMPORARY / "Llama-3.2-11B-Vision-Instruct" / "original"
        folder.mkdir(parents=True)
        (folder / "params.json").write_text(json.dumps(PUBLISHED))
        r = run("inspect", folder.parent, "--json")
        self.assertEqual(r.returncode, 1)
        report = json.loads(r.stdout)
        self.assertEqual(report["configuration"], "llama-3.2-11b-vision")
        self.assertEqual(report["parts"][-1]["parameters"], 10670220835)
        self.assertIn("holds no consolidated.pth", report["problems"][0])

    def test_nothing_is_executed(self):
        folder = self.folder("hostile")
        with zipfile.ZipFile(folder / "consolidated.pth", "w") as file:
            file.writestr("x/data.pkl", pickle.dumps({"a": Hostile()}, protocol=2))
        for command in (["inspect", folder], ["describe", "--model", folder, DATA / "image" / "rgb8.png"]):
            r = run(*command)
            self.fails(r, "system")
            self.assertIn("nothing was executed", r.stderr)
        self.assertFalse((TEMPORARY / "executed").exists())

    def test_packed_again(self):
        folder = self.folder("deflated")
        with zipfile.ZipFile(DATA / "meta" / "1" / "consolidated.pth") as old:
            for method, name in ((zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "deflated")):
                with zipfile.ZipFile(folder / "consolidated.pth", "w", method) as new:
                    for member in old.namelist():
                        new.writestr(member, old.read(member))
                r = run("inspect", folder)
                if name == "stored":
                    self.succeeds(r)
                else:
                    self.fails(r, "is deflated")

    def test_cut_off(self):
        folder = self.folder("cut")
        whole = (folder / "consolidated.pth").read_bytes()
        (folder / "consolidated.pth").write_bytes(whole[:-1000])
        self.fails(run("inspect", folder), "cut off")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The bundled model is right about scenes that it was not trained with."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, GIVEN, main, run, scenes


class Answers(Case):
    def test_held_out_scenes(self):
        folder, asked = scenes(count=100, seed=12345)
        wrong = []
        for s in asked:
            photo = [folder / s["image"]] if s["image"] else []
            out = self.succeeds(run("describe", *GIVEN, "--json", "--greedy", "--prompt", s["question"], *photo))
            text = json.loads(out)["text"]
            if text != s["answer"]:
                wrong.append((s["kind"], s["question"], s["answer"], text))
        self.assertLessEqual(len(wrong), 10, "\n".join(map(str, wrong)))


main()

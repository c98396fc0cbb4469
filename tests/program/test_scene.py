# SPDX-License-Identifier: Apache-2.0
"""`scene`: pictures with questions and true answers, the same for the same seed."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, GIVEN, TEMPORARY, main, run, scenes


class Scene(Case):
    def drawn(self, name, seed, count):
        folder = TEMPORARY / name
        self.succeeds(run("scene", "--seed", seed, "--count", count, "--out", folder))
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def test_same_seed_same_bytes(self):
        first, again, other = self.drawn("a", 1, 60), self.drawn("b", 1, 60), self.drawn("c", 2, 60)
        self.assertEqual(first, again)
        self.assertNotEqual(first["scenes.jsonl"], other["scenes.jsonl"])
        longer = self.drawn("d", 1, 70)
        self.assertTrue(longer["scenes.jsonl"].startswith(first["scenes.jsonl"]))

    def test_lines(self):
        files = self.drawn("e", 3, 100)
        lines = [json.loads(line) for line in files["scenes.jsonl"].splitlines()]
        self.assertEqual(len(lines), 100)
        for line in lines:
            self.assertEqual(list(line), ["image", "question", "answer", "kind"])
            self.assertTrue(line["question"] and line["answer"] and line["kind"])
        named = [line["image"] for line in lines if line["image"]]
        self.assertLess(len(named), 100)  # some questions are about nothing to see
        self.assertEqual(sorted(named), sorted(name for name in files if name.endswith(".png")))
        for line in lines:
            self.assertEqual(line["image"] is None, line["kind"] == "no image")

    def test_pictures_can_be_read(self):
        folder = TEMPORARY / "f"
        self.drawn("f", 4, 20)
        shapes = json.loads(self.succeeds(run("preprocess", "--tile-size", 84, "--json", *sorted(folder.glob("*.png")))))
        self.assertIn([1, 1], [o["canvas"] for o in shapes])
        self.assertGreater(len({tuple(o["canvas"]) for o in shapes}), 1)  # wide ones, too

    def test_asking(self):
        table = self.succeeds(run("scene", "--seed", 5, "--count", 30, "--ask", *GIVEN)).splitlines()
        rows = {line[:16].strip(): list(map(int, line[16:].split()[:2])) for line in table[1:]}
        together = self.succeeds(run("scene", "--seed", 5, "--count", 30, "--ask", "--batch", 7, *GIVEN))
        self.assertEqual(together.splitlines(), table)
        right, asked = rows.pop("all of them")
        self.assertEqual(asked, 30)
        self.assertEqual([sum(column) for column in zip(*rows.values())], [right, asked])
        folder, drawn = scenes(30, 5)
        by_describe = 0
        for s in drawn:
            photo = [folder / s["image"]] if s["image"] else []
            out = self.succeeds(run("describe", *GIVEN, "--json", "--greedy", "--prompt", s["question"], *photo))
            by_describe += json.loads(out)["text"] == s["answer"]
        self.assertEqual(right, by_describe)

    def test_faults(self):
        self.refuses(run("scene", "--seed", "1"), "--out or --ask")
        (TEMPORARY / "file").touch()
        self.fails(run("scene", "--out", TEMPORARY / "file"), TEMPORARY / "file")
        self.fails(run("scene", "--out", "/proc/nowhere"), "/proc/nowhere")
        self.refuses(run("scene", "--count", "0", "--out", TEMPORARY / "g"))


main()

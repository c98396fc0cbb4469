# SPDX-License-Identifier: Apache-2.0
"""`--image-cache`: a picture is looked at once, by this process or one before it; the answer is the same to the letter."""
import json
import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, GIVEN, TEMPORARY, main, run, scenes

SCENES, LIST = scenes(8, 31)
PICTURES = [SCENES / s["image"] for s in LIST if s["image"]]


def describe(cache, *arguments):
    """The objects that `describe --json` prints."""
    made = run("describe", *GIVEN, "--greedy", "--json", *(("--image-cache", cache) if cache else ()), *arguments)
    assert made.returncode == 0, made.stderr
    return [json.loads(line) for line in made.stdout.splitlines()]


class ImageCache(Case):
    def test_the_second_run_does_not_encode(self):
        cache = TEMPORARY / "seen" / "images"  # made with its parents
        plain, = describe(None, PICTURES[0])
        first, = describe(cache, PICTURES[0])
        second, = describe(cache, PICTURES[0])
        self.assertEqual([r["timing"]["cached"] for r in (plain, first, second)], [False, False, True])
        for key in ("text", "tokens", "stop"):
            self.assertEqual(plain[key], first[key])
            self.assertEqual(plain[key], second[key])
        self.assertEqual(len(list(cache.iterdir())), 1)

    def test_what_decides_the_encoding(self):
        cache = TEMPORARY / "several"
        for more in ((), ("--parity", "hf"), ("--taps-after-layer",), ("--vision", "bf16"), ("--text", "q8")):
            cached = [describe(cache, PICTURES[0], *more)[0]["timing"]["cached"] for _ in range(2)]
            self.assertEqual(cached, [False, True], more)
        self.assertTrue(describe(cache, PICTURES[0], "--threads", "1")[0]["timing"]["cached"])
        self.assertTrue(describe(cache, PICTURES[0], "--prompt", "How many objects are there?")[0]["timing"]["cached"])

    def test_within_one_run(self):
        cache = TEMPORARY / "within"
        said = describe(cache, PICTURES[0], PICTURES[1], PICTURES[0])
        self.assertEqual([r["timing"]["cached"] for r in said], [False, False, True])
        self.assertEqual(said[0]["tokens"], said[2]["tokens"])
        self.assertFalse(describe(cache, "--prompt", "Hello")[0]["timing"]["cached"])

    def test_words(self):
        cache = TEMPORARY / "words"
        said = [run("describe", *GIVEN, "--image-cache", cache, PICTURES[0]) for _ in range(2)]
        self.assertNotIn("cached", said[0].stderr)
        self.assertIn("s (cached) | prompt", said[1].stderr)
        talk = run("chat", *GIVEN, "--image-cache", cache, PICTURES[0], stdin="Describe this image.\n")
        self.assertIn("(cached)", talk.stderr)

    def test_the_limit(self):
        cache = TEMPORARY / "limited"
        describe(cache, PICTURES[0])
        size = next(cache.iterdir()).stat().st_size
        limit = f"{2 * size // 1000 + 1}KB"
        for picture in PICTURES[:4]:
            describe(cache, "--image-cache-limit", limit, picture)
        self.assertLessEqual(len(list(cache.iterdir())), 2)
        self.assertTrue(describe(cache, PICTURES[3])[0]["timing"]["cached"])
        self.assertFalse(describe(cache, PICTURES[0])[0]["timing"]["cached"])

    def test_files_that_are_wrong(self):
        cache = TEMPORARY / "wrong"
        wanted, = describe(cache, PICTURES[0])
        file, = cache.iterdir()
        whole = file.read_bytes()
        for content in (b"", whole[:-1], whole[:100], bytes(len(whole)), whole[:-4] + b"\xff\xff\xff\x7f"):
            file.write_bytes(content)
            said, = describe(cache, PICTURES[0])
            self.assertFalse(said["timing"]["cached"])
            self.assertEqual(said["tokens"], wanted["tokens"])
            self.assertEqual(file.read_bytes(), whole)

    def test_command_lines(self):
        file = TEMPORARY / "no folder"
        file.write_text("x")
        self.fails(run("describe", *GIVEN, "--image-cache", file, PICTURES[0]), file, "folder")
        for wrong in ("4", "GB", "-1GB", "4XB"):
            self.refuses(run("describe", *GIVEN, "--image-cache", file, "--image-cache-limit", wrong, PICTURES[0]))
        self.refuses(run("describe", *GIVEN, "--image-cache-limit", "4GB", PICTURES[0]))


main()

# SPDX-License-Identifier: Apache-2.0
"""What goes wrong while `convert` writes, and while a file is read that another program cuts: nothing half-written is left, and
memory does not grow with the file."""
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from converting import Converting, flat_model, large_model
from harness import Case, MODEL, PROGRAM, TEMPORARY, copy_of_model, main, run


class Faults(Converting):
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


main()

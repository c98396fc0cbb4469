# SPDX-License-Identifier: Apache-2.0
"""`chat`: through a pipe, and at a terminal with Ctrl-C and Ctrl-D."""
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, GIVEN, MODEL, PROGRAM, TEMPORARY, copy_of_model, main, run, scenes


def chat(lines, *arguments):
    return run("chat", *GIVEN, *arguments, stdin="".join(line + "\n" for line in lines))


class Piped(Case):
    def setUp(self):
        folder, self.scenes = scenes()
        self.photos = [folder / s["image"] for s in self.scenes if s["image"]]

    def described(self, photo, question):
        return self.succeeds(run("describe", *GIVEN, "--prompt", question, photo))

    def test_questions_about_pictures(self):
        question = "What is in this picture?"
        first, second = (self.described(p, question) for p in self.photos[:2])
        self.assertEqual(self.succeeds(chat([question], self.photos[0])), first)
        for blank in (" ", "\t"):
            out = self.succeeds(chat([f"/image{blank}{self.photos[0]}", question, "/reset", f"/image {blank}{self.photos[1]}{blank}",
                                      question]))
            self.assertEqual(out, first + second)

    def test_frames(self):
        folder = TEMPORARY / "frames of chat"
        folder.mkdir()
        for i, photo in enumerate(self.photos[:2]):
            (folder / f"frame{i}.png").write_bytes(photo.read_bytes())
        question = "What is in this picture?"
        both = self.succeeds(run("describe", *GIVEN, "--frames", 2, "--prompt", question, folder))
        self.assertEqual(self.succeeds(chat([question], "--frames", 2, folder)), both)
        self.assertEqual(self.succeeds(chat([f"/image {folder}", question], "--frames", 2)), both)
        self.fails(chat([f"/image {folder}"]), "is a folder, not a picture")

    def test_reset_forgets(self):
        question = "How many shapes are there?"
        blind = self.succeeds(run("describe", *GIVEN, "--prompt", question))
        out = self.succeeds(chat([question, "/reset", question], self.photos[0])).splitlines()
        self.assertEqual(out[1] + "\n", blind)

    def test_a_conversation_goes_on(self):
        r = chat(["What is in this picture?", "How many shapes are there?"], self.photos[0])
        self.assertEqual(len(self.succeeds(r).splitlines()), 2)
        self.assertEqual(r.stderr.count("tok/s"), 4)

    def test_commands(self):
        out = self.succeeds(chat(["/help", "/quit", "never asked"]))
        for word in ("/image", "/reset", "/help", "/quit", "Ctrl-C"):
            self.assertIn(word, out)
        for leaving in ("/quit \t", " /exit"):
            self.assertEqual(self.succeeds(chat([leaving, "never asked"])), "")
        self.assertEqual(self.succeeds(chat([])), "")
        self.assertEqual(self.succeeds(chat(["", " ", "\t"])), "")

    def test_faults_do_not_end_it(self):
        question = "How many shapes are there?"
        r = chat(["/image /nowhere.png", "/image", "/dance", question])
        self.assertEqual(r.returncode, 1)
        for word in ("/nowhere.png", "/image needs", "/dance: no such command"):
            self.assertIn("llamavision: " + word, r.stderr)
        self.assertEqual(len(r.stdout.splitlines()), 1)
        self.fails(chat([question], TEMPORARY / "missing.png"), "missing.png")
        r = chat([question * 100, question], "--context", 60)
        self.assertEqual(r.returncode, 1)
        self.assertIn("/reset", r.stderr)
        self.assertEqual(len(r.stdout.splitlines()), 1)


    def test_ctrl_c_ends_a_script_as_it_ends_any_program(self):
        with subprocess.Popen([PROGRAM, "chat", *GIVEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as process:
            process.stdin.write("/help\n")
            process.stdin.flush()
            self.assertIn("/image", process.stdout.readline())  # all is loaded
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), -signal.SIGINT)


class Terminal(Case):
    def setUp(self):
        # A model that never ends its answers, so that there is something to stop.
        folder = copy_of_model("endless")
        for name in ("config.json", "generation_config.json"):
            said = json.loads((folder / name).read_text())
            for part in (said, said.get("text_config", {})):
                if "eos_token_id" in part:
                    part["eos_token_id"] = [700]
            (folder / name).write_text(json.dumps(said))
        self.terminal, inner = pty.openpty()
        self.process = subprocess.Popen([PROGRAM, "chat", "--model", folder, "--max-tokens", "1000000"], stdin=inner,
                                        stdout=inner, stderr=inner, start_new_session=True,
                                        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(inner)
        self.seen = b""

    def tearDown(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.terminal)

    def wait_for(self, text, seconds=60):
        """Until `text` appears after what was waited for before."""
        end = time.time() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.time()))
            self.assertTrue(ready, f"no {text!r} in {self.seen!r}")
            try:
                self.seen += os.read(self.terminal, 65536)
            except OSError:  # the program has left
                self.fail(f"no {text!r} in {self.seen!r}")
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def type(self, text):
        os.write(self.terminal, text)

    def leaves(self):
        try:
            while os.read(self.terminal, 65536):
                pass
        except OSError:
            pass
        self.assertEqual(self.process.wait(30), 0)

    def test_ctrl_c_stops_the_answer_and_ctrl_d_leaves(self):
        self.wait_for(b"> ")
        for _ in range(2):
            self.type(b"What is in this picture?\n")
            self.wait_for(b"picture?\r\n")
            self.wait_for(b" ")  # the answer has begun
            self.type(b"\x03")
            self.wait_for(b"(stopped)")
            self.wait_for(b"> ")
            self.assertIsNone(self.process.poll())
        self.type(b"\x04")
        self.leaves()

    def test_ctrl_c_twice_at_the_prompt_leaves(self):
        self.wait_for(b"> ")
        self.type(b"/dance")
        self.type(b"\x03")
        self.wait_for(b"(Ctrl-C again or /quit leaves)")
        self.wait_for(b"> ")
        self.type(b"/help\n")  # what was typed before is gone, and the first Ctrl-C no longer counts
        self.wait_for(b"/image FILE")
        self.wait_for(b"pressed twice")
        self.wait_for(b"> ")
        self.type(b"\x03")
        self.wait_for(b"(Ctrl-C again or /quit leaves)")
        self.wait_for(b"> ")
        self.assertIsNone(self.process.poll())
        self.type(b"\x03")
        self.leaves()

    def test_quit(self):
        self.wait_for(b"> ")
        self.type(b"/dance\n")
        self.wait_for(b"no such command")
        self.wait_for(b"> ")
        self.type(b"/quit\n")
        self.leaves()


main()

# SPDX-License-Identifier: Apache-2.0
"""The progress bar: on a terminal that can erase a line, as wide as the terminal, and nowhere else."""
import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import GIVEN, PROGRAM, Case, main, run

WORK = ["scene", "--ask", "--seed", "5", "--count", "300"]  # seconds: no bar appears in the first half of one


def on_terminal(columns, kind):
    """Standard error of the program on a terminal."""
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([PROGRAM, *WORK, *GIVEN], stdout=subprocess.DEVNULL, stderr=inner,
                               env={**os.environ, "TERM": kind})
    os.close(inner)
    seen = b""
    try:
        while part := os.read(terminal, 65536):
            seen += part
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return process.wait(), seen.decode()


class Progress(Case):
    def test_shows_share_and_time_left(self):
        status, seen = on_terminal(100, "xterm")
        self.assertEqual(status, 0)
        self.assertRegex(seen, r"\rAsking \[#+ +\] \d+ %, \d+ s left\x1b\[K")
        self.assertTrue(seen.endswith("\r\x1b[K"), seen[-100:])  # and vanishes

    def test_never_wraps(self):
        for columns in (20, 1):
            status, seen = on_terminal(columns, "xterm")
            self.assertEqual(status, 0)
            bars = re.findall(r"\r([^\r]*)\x1b\[K", seen)
            self.assertTrue(bars)
            self.assertLess(max(map(len, bars)), columns)

    def test_no_bar_without_such_a_terminal(self):
        status, seen = on_terminal(100, "dumb")
        self.assertEqual(status, 0)
        self.assertNotIn("\x1b", seen)
        self.assertNotIn("Asking", seen)
        self.assertNotIn("Asking", run(*WORK, *GIVEN).stderr)


main()

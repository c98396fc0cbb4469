# SPDX-License-Identifier: Apache-2.0
"""Scenes from the C++ generator, in the chat format, in batches of one arrangement of tiles."""
import os
import random
import struct
import subprocess
import tempfile

import numpy as np

from folder import BOS, EOT, HEADER, HEADER_END, IMAGE, PAD, PATCH, RATIOS, TILE

HERE = os.path.dirname(os.path.abspath(__file__))


def build():
    """Compiles stream.cpp into a temporary folder and returns the program."""
    program = os.path.join(tempfile.mkdtemp(prefix="tiny-"), "stream")
    subprocess.run([os.environ.get("CXX", "g++"), "-std=c++20", "-O2", os.path.join(HERE, "stream.cpp"), "-o", program], check=True)
    return program


def stream(program, *arguments):
    """Yields (rgb array or None, [(question, answer, kind), ...])."""
    process = subprocess.Popen([program, *map(str, arguments)], stdout=subprocess.PIPE, bufsize=1 << 20)
    source = process.stdout

    def text():
        return source.read(struct.unpack("<H", source.read(2))[0]).decode()
    try:
        while len(head := source.read(6)) == 6:
            width, height, questions = struct.unpack("<3H", head)
            rgb = np.frombuffer(source.read(width * height * 3), np.uint8).reshape(height, width, 3)
            yield (rgb if width else None), [(text(), text(), text()) for _ in range(questions)]
    finally:
        process.kill()


def ratio_of(rgb):
    return 0 if rgb is None else RATIOS.index((rgb.shape[0] // TILE, rgb.shape[1] // TILE)) + 1


def patches_of(rgb):
    """(height, width, 3) -> (tiles, patches of a tile, 3 * 14 * 14), tiles and patches row by row."""
    h, w, p = rgb.shape[0] // TILE, rgb.shape[1] // TILE, TILE // PATCH
    x = rgb.reshape(h, p, PATCH, w, p, PATCH, 3).transpose(0, 3, 1, 4, 6, 2, 5)
    return np.ascontiguousarray(x).reshape(h * w, p * p, 3 * PATCH * PATCH)


class Writer:
    """Meta's chat format: header, two line breaks and content are encoded each by itself."""

    def __init__(self, tokenizer):
        self.tokenizer, self.known = tokenizer, {}
        self.breaks = self.encode("\n\n")

    def encode(self, text):
        if text not in self.known:
            if len(self.known) > 200000:
                self.known.clear()
            self.known[text] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return self.known[text]

    def header(self, role):
        return [HEADER, *self.encode(role), HEADER_END, *self.breaks]

    def turn(self, question, image=False, after=False):
        """A user's turn and the assistant's header."""
        body = self.encode(question)
        body = body + [IMAGE] if image and after else [IMAGE] + body if image else body
        return self.header("user") + body + [EOT] + self.header("assistant")

    def prompt(self, question, image):
        return [BOS] + self.turn(question, image)


SYSTEMS = ["You are a helpful assistant.", "Answer in English.", "Be brief.", "You look at pictures."]


def rough(rng, question):
    """Now and then as people type: without the last mark, without a capital."""
    if rng.random() < 0.06:
        question = question.rstrip(".?!")
    if rng.random() < 0.06:
        question = question[0].lower() + question[1:]
    return question


def conversations(rng, writer, questions, image, earlier):
    """Token segments (ids, learn) of the questions about a picture: mostly single turns, some dialogues of two."""
    questions = list(questions)
    while questions:
        count = 2 if len(questions) > 1 and rng.random() < 0.14 else 1
        turns, questions = questions[:count], questions[count:]
        ids, learn = [BOS], [False]

        def add(tokens, flag):
            ids.extend(tokens)
            learn.extend([flag] * len(tokens))
        if rng.random() < 0.04:
            add([HEADER, *writer.encode("system"), HEADER_END, *writer.breaks, *writer.encode(rng.choice(SYSTEMS)), EOT], False)
        if image and earlier and rng.random() < 0.03:  # words before the picture comes
            question, answer, _ = rng.choice(earlier)
            add(writer.turn(question), False)
            add(writer.encode(answer) + [EOT], True)
        for i, (question, answer, _) in enumerate(turns):
            add(writer.turn(rough(rng, question), image and i == 0, rng.random() < 0.03), False)
            add(writer.encode(answer) + [EOT], True)
        yield ids, learn


def pack(rows, pictures):
    """[[(ids, learn), ...] a row] -> arrays: ids, place, segment, sees, target (-1 where nothing is learned)."""
    length = max(sum(len(ids) for ids, _ in row) for row in rows)
    length += -length % 8
    shape = (len(rows), length)
    ids, place = np.full(shape, PAD, np.int64), np.zeros(shape, np.int64)
    segment, sees, target = np.full(shape, -1, np.int64), np.zeros(shape, bool), np.full(shape, -1, np.int64)
    for r, row in enumerate(rows):
        at = 0
        for s, (tokens, learn) in enumerate(row):
            n = len(tokens)
            ids[r, at:at + n], place[r, at:at + n], segment[r, at:at + n] = tokens, np.arange(n), s
            if IMAGE in tokens:
                sees[r, at + tokens.index(IMAGE):at + n] = True
            following = np.array(tokens[1:])
            target[r, at:at + n - 1] = np.where(learn[1:], following, -1)
            at += n
    return dict(ids=ids, place=place, segment=segment, sees=sees, target=target, patches=None if pictures is None else np.stack(pictures))


def batches(source, writer, seed, tiles_a_batch):
    """Endless batches (ratio, arrays); each holds pictures of one arrangement, about `tiles_a_batch` tiles."""
    rng = random.Random(seed)
    waiting, earlier = {}, []
    for rgb, questions in source:
        if rgb is None:
            earlier = (earlier + questions)[-256:]
        ratio = ratio_of(rgb)
        tiles = 1 if rgb is None else RATIOS[ratio - 1][0] * RATIOS[ratio - 1][1]
        line = waiting.setdefault(ratio, [])
        line.append((list(conversations(rng, writer, questions, rgb is not None, earlier)), None if rgb is None else patches_of(rgb)))
        if len(line) * (tiles + 1) >= tiles_a_batch * 2:
            waiting[ratio] = []
            yield ratio, pack([row for row, _ in line], None if ratio == 0 else [p for _, p in line])

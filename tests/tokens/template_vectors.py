#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders chat templates as transformers does: template_vectors.py > tests/data/tokens/template_vectors.json

Every tests/data/template/*.jinja with every dialog of tests/data/tokens/template_dialogs.json, and every line of
tests/data/tokens/template_constructs.txt with one dialog. The templates are this project's own, after what families of
published models use. Needs jinja2 3.1.6 and transformers 4.54.1 (pip install jinja2==3.1.6 transformers==4.54.1; no torch).
A result is the text, or {"raised": what raise_exception was given}, or {"error": the kind of Python's or Jinja's error}.
"""
import datetime
import json
import pathlib
import platform
import sys

import jinja2
import transformers
import transformers.utils.chat_template_utils as chat

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
NOW = (2025, 3, 9, 14, 5, 7)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
ONE_DIALOG = {"add_generation_prompt": True, "messages": [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello <|eot_id|> wörld"},
    {"role": "assistant", "content": "  Hi there\n"}, {"role": "user", "content": "Bye"}]}


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(*NOW)


def rendered(source, dialog):
    try:
        template = chat._compile_jinja_template(source)
        return template.render(messages=dialog["messages"], tools=dialog.get("tools"), documents=dialog.get("documents"),
                               **{"add_generation_prompt": dialog["add_generation_prompt"], **TOKENS, **dialog.get("variables", {})})
    except Exception as fault:
        if type(fault) is jinja2.exceptions.TemplateError:  # what raise_exception throws; others are of derived classes
            return {"raised": str(fault)}
        return {"error": type(fault).__name__}


def main():
    assert (jinja2.__version__, transformers.__version__) == ("3.1.6", "4.54.1"), "other versions"
    chat.datetime = FixedClock
    dialogs = json.loads((DATA / "tokens/template_dialogs.json").read_text())
    constructs = (DATA / "tokens/template_constructs.txt").read_text().rstrip("\n").split("\n")
    templates = {path.stem: path.read_bytes().decode() for path in sorted((DATA / "template").glob("*.jinja"))}
    result = {
        "jinja2": jinja2.__version__, "transformers": transformers.__version__, "python": platform.python_version(),
        "now": NOW, "tokens": TOKENS, "dialog": ONE_DIALOG,
        "constructs": [rendered(line, ONE_DIALOG) for line in constructs],
        "templates": {name: [rendered(source, d) for d in dialogs] for name, source in templates.items()},
    }
    json.dump(result, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    print()


main()

# SPDX-License-Identifier: Apache-2.0
"""Chat templates: a checkpoint's own is interpreted; one that cannot be is named wherever a conversation is written, and only there."""
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, GIVEN, MODEL, copy_of_model, main, run

CHATML = ("{%- for m in messages %}{{- '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{%- endfor %}"
          "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")
HUB_LIKE = ("{{- bos_token }}{{- '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\n\\n"
            "You read meters.<|eot_id|>' }}{%- for m in messages %}{{- '<|image|>' }}{%- endfor %}")
METERS = ("{{- bos_token }}{%- if messages[0]['role'] != 'system' %}{{- '<|start_header_id|>system<|end_header_id|>\\n\\nYou read meters."
          "<|eot_id|>' }}{%- endif %}{%- for m in messages %}{{- m['content'] }}{%- endfor %}")
DIALOG = json.dumps({"messages": [{"role": "user", "content": "Hello"}]})


def with_template(name, text):
    folder = copy_of_model(name)
    (folder / "chat_template.json").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(text)
    return folder


def original():
    return json.loads((MODEL / "chat_template.json").read_text())["chat_template"]


def commands(folder):
    """What writes conversations, and the text that each prints to standard error or, `inspect`, to standard output."""
    model = ["--model", folder] if folder else GIVEN
    yield run("describe", *model, "--prompt", "Hello", "--max-tokens", 1).stderr
    yield run("chat", *model, "--max-tokens", 1, stdin="Hello\n").stderr
    yield run("tokenize", "--tokenizer", folder or MODEL, "--chat", DIALOG).stderr
    yield run("inspect", folder or MODEL).stdout


class Templates(Case):
    def test_the_bundled_model_has_one_that_is_known(self):
        for text in commands(None):
            self.assertNotIn("template is not", text)
        report = json.loads(self.succeeds(run("inspect", MODEL, "--json")))
        self.assertIn("conversion script (chat_template.json)", report["conversations"])
        self.assertEqual(report["warnings"], [])

    def test_own_templates_are_interpreted(self):
        for name, text, expected in (
                ("chatml", CHATML, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"),
                ("meters", METERS, "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou read meters.<|eot_id|>Hello"),
                ("changed", original().replace("\\n\\n", "\\n"), "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\nHello<|eot_id|>"
                 "<|start_header_id|>assistant<|end_header_id|>\n")):
            folder = with_template(name, text)
            for said in commands(folder):
                self.assertNotIn("the chat template is not", said)
            ids = self.succeeds(run("tokenize", "--tokenizer", folder, "--chat", DIALOG))
            self.assertEqual(run("tokenize", "--tokenizer", folder, "--decode", ids).stdout, expected + "\n")
            report = json.loads(self.succeeds(run("inspect", folder, "--json")))
            self.assertIn("the checkpoint's own chat template (chat_template.jinja)", report["conversations"])

    def test_what_is_not_interpreted_is_named(self):
        for name, text, form in (("include", "{{ bos_token }}\n  {% include 'x' %}", "meta"),
                                 ("hub-like", HUB_LIKE + "{% extends 'x' %}", "hub"), ("broken", "{% for m in messages %}", "meta")):
            folder = with_template(name, text)
            for said in commands(folder):
                self.assertEqual(said.count("the chat template is not used"), 1, (name, said))
                self.assertRegex(said, r"chat_template\.jinja:\d+:\d+: ")
                self.assertIn(f'"{form}"', said)
            report = json.loads(self.succeeds(run("inspect", folder, "--json")))
            self.assertIn("a chat template that is not interpreted (chat_template.jinja)", report["conversations"])

    def test_what_the_template_refuses_is_an_error(self):
        folder = with_template("refuses", "{{ raise_exception('Only pictures.') }}")
        r = run("describe", "--model", folder, "--prompt", "Hello")
        self.assertEqual(r.returncode, 1)
        self.assertIn("Only pictures.", r.stderr)

    def test_dates(self):
        folder = with_template("dates", "{{ strftime_now('%d %b %Y') }}")
        def date(*options):
            ids = self.succeeds(run("tokenize", "--tokenizer", folder, "--chat", DIALOG, *options))
            return run("tokenize", "--tokenizer", folder, "--decode", ids).stdout
        before = time.strftime("%d %b %Y\n")
        self.assertIn(date(), (before, time.strftime("%d %b %Y\n")))
        self.assertEqual(date("--date", "2024-07-26"), "26 Jul 2024\n")
        self.assertEqual(run("tokenize", "--tokenizer", folder, "--chat", DIALOG, "--date", "2024-02-30").returncode, 2)

    def test_another_spelling_is_the_same_template(self):
        spaced = original().replace("{%-", "\n  {%-").replace("{{-", "\n{#- a comment #}\n    {{-").replace("'", '"')
        folder = with_template("spaced", spaced)
        for text in commands(folder):
            self.assertNotIn("template is not", text)
        self.assertEqual(run("tokenize", "--tokenizer", folder, "--chat", DIALOG).stdout,
                         run("tokenize", "--tokenizer", MODEL, "--chat", DIALOG).stdout)

    def test_whoever_names_a_format_is_not_warned(self):
        folder = with_template("chatml", CHATML)
        self.assertNotIn("template", run("describe", "--model", folder, "--format", "meta", "--prompt", "Hello", "--max-tokens", 1).stderr)
        self.assertNotIn("template", run("tokenize", "--tokenizer", folder, "--format", "hub", "--chat", DIALOG).stderr)
        self.assertEqual(run("tokenize", "--tokenizer", folder, "Hello").stderr, "")  # no conversation


main()

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# transformers 4.54.1 (5.24.0's source says the same) replaces jinja2's filter tojson by one whose first argument is
# ensure_ascii, where jinja2's is indent. So `x | tojson(4)`, which indents in jinja2, does not in a chat template: 4
# counts as true, everything that is not ASCII becomes \u escapes, and the text stays on one line. `tojson(indent=4)` is
# the same in both.
# Ends with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jinja2==3.1.6 transformers==4.54.1
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import sys
import jinja2
import transformers
from transformers.utils.chat_template_utils import render_jinja_template

tool = {"type": "function", "function": {"name": "wetter", "description": "Zürich"}}


def in_transformers(template):
    return render_jinja_template(conversations=[[]], tools=[tool], chat_template=template)[0][0]


def in_jinja2(template):
    environment = jinja2.Environment()
    environment.policies["json.dumps_kwargs"] = {}
    return environment.from_string(template).render(tools=[tool])


template = "{{ tools[0].function | tojson(4) }}"
seen = ('{"name": "wetter", "description": "Z\\u00fcrich"}',
        '{\n    "name": "wetter",\n    "description": "Z\\u00fcrich"\n}')
now = (in_transformers(template), in_jinja2(template))
print("transformers", transformers.__version__, "and jinja2", jinja2.__version__, "\n" + template)
print("transformers:", now[0], "\njinja2:", now[1])
named = in_transformers("{{ tools[0].function | tojson(indent=4) }}")
print("transformers, tojson(indent=4):", named)
sys.exit(now != seen or named != '{\n    "name": "wetter",\n    "description": "Zürich"\n}')
PYTHON

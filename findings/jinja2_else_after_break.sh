#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# jinja2 3.1.6 (with its extension loopcontrols, which transformers switches on) runs the else branch of a loop although
# the loop had items, if no turn reached the end of its body: after a break in the first turn, or when every turn
# continues. Its documentation says: "If no iteration took place because the sequence was empty or the filtering removed
# all the items from the sequence, you can render a default block by using else". (Python's own for ... else, which is
# not meant here, would skip the branch after a break and run it after continues.)
# Ends with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jinja2==3.1.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import jinja2

environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
cases = {  # template: what jinja2 3.1.6 prints
    "{% for x in [1, 2] %}{{ x }}{% break %}{% else %}no items{% endfor %}": "1no items",
    "{% for x in [1, 2] %}{{ x }}{% continue %}{% else %}no items{% endfor %}": "12no items",
    "{% for x in [1, 2] %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% else %}no items{% endfor %}": "12",
    "{% for x in [] %}{{ x }}{% else %}no items{% endfor %}": "no items",
}
print("jinja2", jinja2.__version__)
changed = False
for template, seen in cases.items():
    now = environment.from_string(template).render()
    print(f"{template}\n    {now!r}" + ("" if now == seen else f", no longer {seen!r}"))
    changed |= now != seen
sys.exit(changed)
PYTHON

# SPDX-License-Identifier: Apache-2.0
"""Code in the documentation stands word for word in the file that the comment before it names: check.py PROJECT_ROOT

    <!-- code: include/llamavision/model/text.hpp -->
    ```cpp
    ...
    ```

Blocks of C++ without such a comment are refused, and so are links to files that do not exist."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
faults, blocks = [], 0
for page in sorted([root / "README.md", *root.glob("docs/**/*.md"), *root.glob("examples/**/*.md")]):
    if not page.exists():
        continue
    text, where = page.read_text(), page.relative_to(root)
    for match in re.finditer(r"(<!-- code: (\S+) -->\n)?```cpp\n(.*?)```", text, re.DOTALL):
        blocks += 1
        _, name, code = match.groups()
        line = text[:match.start()].count("\n") + 1
        if not name:
            faults.append(f"{where}:{line}: C++ that names no file")
        elif not (root / name).is_file():
            faults.append(f"{where}:{line}: {name} does not exist")
        else:
            lines = [s.strip() for s in (root / name).read_text().splitlines()]
            wanted = [s.strip() for s in code.splitlines()]
            if not any(lines[i:i + len(wanted)] == wanted for i in range(len(lines) - len(wanted) + 1)):
                faults.append(f"{where}:{line}: this is not what {name} says:\n{code}")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)  # a lambda is no link
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if "://" not in target and not (page.parent / target).exists():
            faults.append(f"{where}: the link to {target} leads nowhere")
print("\n".join(faults) or f"{blocks} blocks of code stand in the files they name")
sys.exit(bool(faults) or not blocks)

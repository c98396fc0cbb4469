# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows and names is what the project holds: check.py PROJECT_ROOT

- C++ in a page stands word for word in the file that the comment before it names:

      <!-- code: include/llamavision/model/text.hpp -->
      ```cpp
      ...
      ```

- A link leads to a file, and to a heading of it.
- A block after `<!-- folders: FOLDER -->` is that folder's tree: every folder on a line of its own, with what it is for.
- A source file that a page, or a comment in a source file, names exists."""
import pathlib
import re
import sys

CPP = {".hpp", ".ipp", ".inc", ".cuh", ".cpp", ".cu"}
SCRIPTS = {".py", ".sh", ".cmake"}
# A file by its name or the end of its path; {a,b} stands for several.
NAMED = re.compile(r"[\w./-]*(?:\{[\w,]+\}|\w)\.(?:%s)\b" % "|".join(e[1:] for e in sorted(CPP | SCRIPTS)))
OF_OTHERS = {"llama/mllama.cpp", "chat_format.py"}  # ollama's, Meta's


def all_files(root):
    """Those of the project, but for the ones that are wrong on purpose."""
    yield from (path for path in root.iterdir() if path.is_file())
    for folder in (".ci", "include", "examples", "tests", "benchmarks", "docs", "findings"):
        yield from sorted(path for path in (root / folder).rglob("*")
                          if path.is_file() and "wrong" not in path.relative_to(root).parts)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def code_faults(root, text):
    """C++ that does not stand in the file that is named before it."""
    for match in re.finditer(r"(<!-- code: (\S+) -->\n)?```cpp\n(.*?)```", text, re.DOTALL):
        _, name, code = match.groups()
        line = line_of(text, match.start())
        if not name:
            yield line, "C++ that names no file"
        elif not (root / name).is_file():
            yield line, f"{name} does not exist"
        else:
            lines = [s.strip() for s in (root / name).read_text().splitlines()]
            wanted = [s.strip() for s in code.splitlines()]
            if not any(lines[i:i + len(wanted)] == wanted for i in range(len(lines) - len(wanted) + 1)):
                yield line, f"this is not what {name} says:\n{code}"


def anchors(page):
    """The headings of a page, as GitHub makes links of them."""
    headings = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_faults(page, text):
    prose = re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), text, flags=re.DOTALL)  # a lambda is no link
    for match in re.finditer(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", prose):
        target, heading = match.groups()
        if "://" in target:
            continue
        to = page.parent / target if target else page
        if not to.exists():
            yield line_of(prose, match.start()), f"the link to {target} leads nowhere"
        elif heading and heading not in anchors(to):
            yield line_of(prose, match.start()), f"{to.name} has no heading {heading}"


def tree_faults(root, text):
    """Folders that a page's tree lacks, and those that it makes up."""
    for match in re.finditer(r"<!-- folders: (\S+) -->\n```\w*\n(.*?)```", text, re.DOTALL):
        top, path, shown = root / match[1], [], set()
        for number, line in enumerate(match[2].splitlines(), line_of(text, match.start()) + 2):
            entry = re.fullmatch(r"((?:  )*)(\w+)/ +\S.*", line)
            if not entry:
                yield number, f"no folder with what it is for: {line}"
                continue
            path[len(entry[1]) // 2:] = [entry[2]]
            shown.add("/".join(path))
        there = {folder.relative_to(top).as_posix() for folder in top.rglob("*") if folder.is_dir()}
        for name in sorted(there ^ shown):
            yield line_of(text, match.start()), f"{match[1]}/{name} " + ("is not shown" if name in there else "does not exist")


def names_in(text):
    """Names of source files in a text, with the place of each."""
    for match in NAMED.finditer(text):
        several = re.search(r"\{([\w,]+)\}", match[0])
        for one in several[1].split(",") if several else [""]:
            name = match[0].replace(several[0], one) if several else match[0]
            yield match.start(), name.lstrip("/")


def name_faults(path, text, known):
    """@param known: the end of every path in the project, from each of its folders on"""
    is_page = path.suffix == ".md"
    comment = "" if is_page else "//" if path.suffix in CPP else "#"
    for start, name in names_in(text):
        before = text[text.rfind("\n", 0, start) + 1:start]
        if comment not in before or name in OF_OTHERS or name in known or (path.parent / name).exists():
            continue
        if is_page or "." + name.rsplit(".", 1)[1] in CPP:  # comments name scripts of other projects as their sources
            yield line_of(text, start), f"there is no {name}"


def main(root):
    faults, blocks = [], 0
    files = list(all_files(root))
    parts = [path.relative_to(root).parts for path in files]
    known = {"/".join(p[i:]) for p in parts for i in range(len(p))}
    for path in files:
        is_page = path.suffix == ".md"
        if not is_page and path.suffix not in CPP | SCRIPTS and path.name != "CMakeLists.txt":
            continue
        text = path.read_text()
        found = list(name_faults(path, text, known))
        if is_page:
            blocks += text.count("```cpp\n")
            found += [*code_faults(root, text), *link_faults(path, text), *tree_faults(root, text)]
        faults += [f"{path.relative_to(root)}:{line}: {fault}" for line, fault in sorted(found)]
    print("\n".join(faults) or f"{blocks} blocks of code, and every file and folder that is named, are there")
    return bool(faults) or not blocks


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))

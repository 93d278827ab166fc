#!/usr/bin/env python3
"""Writes charts/failback/README.md from README.head.md and the comments of values.yaml.

    python3 charts/readme.py           writes it
    python3 charts/readme.py --check   fails when it is not up to date, or when a value has no comment
"""

import json
import pathlib
import re
import sys

import yaml

CHART = pathlib.Path(__file__).parent / "failback"


def rows(text):
    """Every leaf of values.yaml with its default and the comments above it and above its parents."""
    values = yaml.safe_load(text)
    path, comments, comment, inside = [], {}, [], None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if inside is not None and (indent > inside or line.lstrip().startswith("- ")):
            continue  # within a default that is not a value of its own
        inside = None
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip("# ").rstrip())
            continue
        found = re.match(r"^(\s*)([A-Za-z]\w*):(.*)$", line)
        if not found:
            comment = []
            continue
        path = path[: indent // 2] + [found[2]]
        comments[tuple(path)] = " ".join(comment)
        comment = []
        if is_leaf(path):
            inside = indent
    out = []
    for path in comments:
        if is_leaf(path):
            value = values
            for key in path:
                value = value[key]
            out.append((f"`{'.'.join(path)}`", f"`{json.dumps(value)}`", comments[path]))
        else:
            out.append((f"**{'.'.join(path)}**", "", comments[path]))
    missing = [".".join(path) for path, comment in comments.items() if not comment]
    if missing:
        sys.exit(f"values.yaml: no comment above {', '.join(missing)}")
    return out


# Values that are handed on as they are.
WHOLE = {("resources",), ("policies", "requiredApprovals", "steps"), ("metrics", "dashboard", "labels")}
TEXT = (CHART / "values.yaml").read_text()
VALUES = yaml.safe_load(TEXT)


def is_leaf(path):
    value = VALUES
    for key in path:
        value = value[key]
    return tuple(path) in WHOLE or not (isinstance(value, dict) and value)


def readme():
    lines = [(CHART / "README.head.md").read_text().rstrip(), "", "## Values", "", "| value | default | meaning |", "|---|---|---|"]
    for name, default, meaning in rows(TEXT):
        lines.append(f"| {name} | {default} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def main():
    target = CHART / "README.md"
    if "--check" in sys.argv[1:]:
        if not target.exists() or target.read_text() != readme():
            sys.exit("charts/failback/README.md is not up to date: run python3 charts/readme.py")
        return
    target.write_text(readme())


if __name__ == "__main__":
    main()

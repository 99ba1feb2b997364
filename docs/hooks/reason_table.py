"""The reason codes of ingest within another page: the table of ``docs/reason_codes.md``, not a second one."""

import re
from pathlib import Path

ROW = re.compile(r"^\| `(\w+)` \|.*$", re.M)


def reasons(root: Path) -> str:
    """The table's head and a row for each code, as Markdown."""
    text = (root / "docs/reason_codes.md").read_text(encoding="utf-8")
    head = next(line for line in text.splitlines() if line.startswith("| Code |"))
    table = text[text.index(head) :].split("\n\n", 1)[0]
    return "\n".join([head, "|---|---|---|", *(row[0] for row in ROW.finditer(table))])

"""The reason codes of ingest within another page: the table of ``docs/reason_codes.md``, not a second one."""

from pathlib import Path


def reasons(root: Path) -> str:
    """The first table of the page, as Markdown."""
    text = (root / "docs/reason_codes.md").read_text(encoding="utf-8")
    return text[text.index("| Code |") :].split("\n\n", 1)[0]

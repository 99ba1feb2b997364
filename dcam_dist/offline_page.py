"""Pages that open offline: templates that escape all, names of own styles and scripts for the policy, the file."""

import base64
import hashlib
from contextlib import suppress
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment(package: str) -> Environment:
    """The templates of a package, in its folder ``templates``; whatever is put into them is escaped.

    Args:
        package: Its name.
    """
    return Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def policy_hash(text: str) -> str:
    """The source expression by which a content security policy allows an inline style or script, without quotes."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def write_page(path: Path, text: str) -> None:
    """Write a page: the file is the old or the new one, never half of it. What UTF-8 does not have becomes ``?``.

    Args:
        path: The file.
        text: The page.

    Raises:
        OSError: When the file cannot be written; nothing is left of the new one.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8", errors="replace")
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise

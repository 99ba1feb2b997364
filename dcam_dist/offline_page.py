"""Pages that open offline: templates that escape everything, and names of own styles and scripts for the policy."""

import base64
import hashlib

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

"""The diagram of the architecture as a drawing: what draws Mermaid in a browser would be loaded from elsewhere."""

import re
from pathlib import Path

from mkdocs.exceptions import PluginError

MERMAID = re.compile(r"^```mermaid\n(?P<source>.*?)^```\n", re.M | re.S)
DRAWN = {"architecture.md": "docs/images/data_flow.svg"}


def with_diagrams(markdown: str, page: str, root: Path) -> str:
    """A page with the drawing of its diagram.

    Args:
        markdown: The page.
        page: Its path in ``docs/``.
        root: Of the repository.

    Raises:
        PluginError: It has a diagram that nobody has drawn, or a name in it is not in the drawing.
    """
    if not (match := MERMAID.search(markdown)):
        return markdown
    if page not in DRAWN:
        raise PluginError(f"{page}: has a Mermaid diagram without a drawing; see docs/hooks/diagram.py")
    drawing = (root / DRAWN[page]).read_text(encoding="utf-8")
    if missing := [name for name in labels(match["source"]) if name not in drawing]:
        raise PluginError(f"{DRAWN[page]}: lacks what the diagram of {page} has: {', '.join(missing)}; draw it")
    figure = f'<figure class="diagram">\n{drawing.strip()}\n</figure>\n'
    return markdown[: match.start()] + figure + markdown[match.end() :]


def labels(source: str) -> list[str]:
    """Every line of text in the boxes and on the arrows of a Mermaid flow chart."""
    quoted = re.findall(r'"([^"]+)"', source)
    return [line.strip() for text in quoted for line in re.split(r"<br/>", text)]

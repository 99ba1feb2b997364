"""Numbers and tables as Markdown."""

from collections.abc import Sequence

from dcam_dist.maps.faithfulness.summary import Difference, Estimate

NONE = "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column of words and the others of numbers."""
    alignment = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, alignment, *rows))


def cell(found: Estimate, digits: int = 2) -> str:
    """Median and interval."""
    if not found.n:
        return NONE
    return f"{plain(found.median, digits)} [{plain(found.low, digits)}, {plain(found.high, digits)}]"


def difference_cell(found: Difference, digits: int = 2) -> str:
    """Median difference, interval and p-value; bold where both speak against 0."""
    if not found.n:
        return NONE
    interval = f"{signed(found.median, digits)} [{signed(found.low, digits)}, {signed(found.high, digits)}]"
    return f"{f'**{interval}**' if apart(found) else interval}, {p_value(found.p_value)}"


def apart(found: Difference) -> bool:
    """Whether the interval leaves 0 out and the test rejects at 5 %: of few cases the interval alone is too narrow."""
    return found.n > 0 and (found.low > 0 or found.high < 0) and found.p_value < 0.05


def p_value(value: float) -> str:
    """As printed; nothing differs: no test."""
    if value != value:  # noqa: PLR0124
        return "no test"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def plain(value: float, digits: int = 2) -> str:
    """A number with a real minus sign, and no minus before a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """The same with its sign."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")

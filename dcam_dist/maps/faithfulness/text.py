"""Numbers and tables as Markdown."""

import math
from collections.abc import Sequence

from dcam_dist.maps.faithfulness.summary import Difference, Estimate

NONE = "–"
DIGITS = 2
"""Significant ones, of every number."""
SMALL = 1e-4
"""Below it, powers of ten: zeros after the point are not to be counted."""
WORTH = 0.01
"""Of AUPRC, Dice, a probability or a margin: a difference of less is of no use, however sure it is."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column of words and the others of numbers."""
    alignment = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, alignment, *rows))


def cell(found: Estimate) -> str:
    """Median and interval, where there is one."""
    if not found.n:
        return NONE
    if math.isnan(found.low):
        return plain(found.median)
    return f"{plain(found.median)} [{plain(found.low)}, {plain(found.high)}]"


def difference_cell(found: Difference) -> str:
    """Median difference, interval and p-value; bold where it is more than chance and large enough to be of use."""
    text = difference_text(found)
    number, _, test = text.partition("], ")
    return f"**{number}]**, {test}" if apart(found) and abs(found.median) >= WORTH else text


def difference_text(found: Difference) -> str:
    """The same, never bold."""
    if not found.n:
        return NONE
    if math.isnan(found.low):
        return signed(found.median)
    return f"{signed(found.median)} [{signed(found.low)}, {signed(found.high)}], {p_value(found.p_value)}"


def apart(found: Difference) -> bool:
    """Whether the interval leaves 0 out and the test rejects at 5 %: of few cases the interval alone is too narrow."""
    return found.n > 0 and (found.low > 0 or found.high < 0) and found.p_value < 0.05


def p_value(value: float) -> str:
    """As printed; nothing differs: no test."""
    if math.isnan(value):
        return "no test"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def plain(value: float) -> str:
    """A number in significant digits, with a real minus sign."""
    return _written(value).replace("-", "−")


def signed(value: float) -> str:
    """The same with its sign; 0 has none."""
    return f"{'+' if value > 0 else ''}{plain(value)}"


def whole(value: float) -> str:
    """A number without a fraction."""
    return f"{value:.0f}".replace("-", "−")


def listed(words: Sequence[str]) -> str:
    """Words as in a sentence that denies."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _written(value: float) -> str:
    mantissa, exponent = f"{value:.{DIGITS - 1}e}".split("e")
    if value == 0:
        return "0"
    if abs(value) < SMALL:
        return f"{mantissa}e{int(exponent)}"
    return f"{float(f'{mantissa}e{exponent}'):.{max(0, DIGITS - 1 - int(exponent))}f}"

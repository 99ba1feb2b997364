"""How numbers are written in the report's sentences and tables."""

from math import isfinite


def percent(share: float | None) -> str:
    """A share in whole percent; a dash for none."""
    return "–" if share is None or not isfinite(share) else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def number(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign; a dash for none."""
    if value is None or not isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def p_in_words(value: float) -> str:
    """A p-value or a false discovery rate with its sign: ``= 0.03`` or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


def p_value(value: float) -> str:
    """The same for a table: without the sign of equality, and a dash for none."""
    return p_in_words(value).removeprefix("= ") if isfinite(value) else "–"


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Some names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

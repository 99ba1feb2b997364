"""Small charts as SVG within the page: real text, colours from the page's style, no script.

Every text goes through ``Markup.format``, which escapes it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10

from markupsafe import Markup

from dcam_dist.report.words import number


@dataclass(frozen=True)
class Frame:
    """A plot's axes in the SVG's own units.

    Attributes:
        left: Where x begins.
        right: Where it ends.
        top: Where y ends.
        bottom: Where it begins.
        x: Range of x.
        y: Range of y.
    """

    left: float
    right: float
    top: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at_x(self, value: float) -> float:
        """Place of a value along x."""
        low, high = self.x
        return self.left + (self.right - self.left) * (value - low) / ((high - low) or 1.0)

    def at_y(self, value: float) -> float:
        """Place of a value along y; y grows upwards."""
        low, high = self.y
        return self.bottom - (self.bottom - self.top) * (value - low) / ((high - low) or 1.0)


def joined(parts: Iterable[Markup]) -> Markup:
    """Several elements as one."""
    return Markup("").join(parts)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers within a range, about so many."""
    span = high - low
    if not (isfinite(span) and span > 0):
        return [low] if isfinite(low) else []
    raw = span / count
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = -floor(-low / step + 1e-9)
    return [round(k * step, 12) for k in range(first, first + 2 * count + 2) if k * step <= high + 1e-9 * span]


def padded(values: Sequence[float], share: float) -> tuple[float, float]:
    """The range of some values with this share of it as room on either side."""
    low, high = min(values), max(values)
    room = share * (high - low) or max(abs(high), 1.0) * share
    return low - room, high + room


def axis_y(frame: Frame, at: Sequence[float]) -> Markup:
    """Faint lines across the plot with numbers at their left, all with the decimals that one of them needs."""
    digits = max((len(f"{y:.6g}".partition(".")[2]) for y in at), default=0)
    lines = (
        Markup(
            '<line class="rule" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="end" x="{}" y="{}" dy=".32em">{}</text>'
        ).format(
            *(_n(v) for v in (frame.left, frame.right, frame.at_y(y), frame.at_y(y), frame.left - 6, frame.at_y(y))),
            number(y, digits),
        )
        for y in at
    )
    return joined(lines)


def axis_x(frame: Frame, at: Sequence[tuple[float, str]]) -> Markup:
    """A line below the plot with texts under it."""
    base = Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        _n(frame.left), _n(frame.right), _n(frame.bottom), _n(frame.bottom)
    )
    texts = (
        Markup('<text class="mid" x="{}" y="{}">{}</text>').format(_n(frame.at_x(x)), _n(frame.bottom + 15), text)
        for x, text in at
    )
    return base + joined(texts)


def polyline(frame: Frame, points: Sequence[tuple[float, float | None]], style: str) -> Markup:
    """A line through the points that have a value, broken where one has none."""
    path, pen = [], "M"
    for x, y in points:
        if y is None or not isfinite(y):
            pen = "M"
            continue
        path.append(f"{pen}{_n(frame.at_x(x))} {_n(frame.at_y(y))}")
        pen = "L"
    return Markup('<path class="{}" d="{}"/>').format(style, "".join(path))


def picture(width: float, height: float, label: str, content: Markup) -> Markup:
    """The whole SVG. ``label`` is what a screen reader says of it."""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _n(width), _n(height), label, content
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

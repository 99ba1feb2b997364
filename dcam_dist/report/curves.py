"""How training went: one small chart for each figure that an epoch has told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from markupsafe import Markup

from dcam_dist.report import svg, words

WIDTH, HEIGHT = 340.0, 190.0
UNIT = {"nmi_previous", "accuracy"}
"""Figures from 0 to 1, drawn so: a range of their own would make noise of a small change look like a rise."""
# key in metrics.jsonl, title, how to read it
CURVES = (
    ("loss", "Loss", "cross-entropy on the pseudo-labels; they change with every epoch, so it need not fall"),
    ("validation_loss", "Validation loss", "on the cases kept out of training; lower is better"),
    ("nmi_previous", "NMI to the epoch before", "near 1: the clusters have settled"),
    ("silhouette", "Silhouette", "higher is tidier, which is not truer"),
    ("davies_bouldin", "Davies-Bouldin", "lower is tidier"),
    ("accuracy", "Accuracy on the labels", "of the training cases; never used by training, but of a supervised run"),
)
MOST_BARS = 120


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart with its title and how to read it."""

    title: str
    note: str
    picture: Markup


def charts(
    metrics: Sequence[Mapping[str, Any]], titles: Sequence[str], closing_sizes: Sequence[int] = ()
) -> tuple[Chart, ...]:
    """The charts of all figures that were told; an epoch that was run again counts as its last line says.

    Args:
        metrics: The lines of ``metrics.jsonl``.
        titles: What the classes are called.
        closing_sizes: Of the closing clustering, after the last epoch; none of a supervised run.
    """
    lines = list({line["epoch"]: line for line in metrics}.values())
    lines.sort(key=lambda line: int(line["epoch"]))
    found = [_curve(lines, key, title, note) for key, title, note in CURVES]
    return tuple(chart for chart in (*found, _sizes(lines, titles, closing_sizes)) if chart is not None)


def last_value(metrics: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """What the newest epoch told of a figure, ``None`` where it told nothing."""
    if not metrics:
        return None
    return _number(max(enumerate(metrics), key=lambda pair: (int(pair[1]["epoch"]), pair[0]))[1].get(key))


def _curve(lines: Sequence[Mapping[str, Any]], key: str, title: str, note: str) -> Chart | None:
    points = [(float(line["epoch"] + 1), _number(line.get(key))) for line in lines]
    known = [(x, y) for x, y in points if y is not None]
    if not known:
        return None
    frame = _frame(lines, (0.0, 1.0) if key in UNIT else svg.padded([y for _, y in known], 0.1))
    (last_x, last_y), (_, first_y) = known[-1], known[0]
    drawn = svg.joined(
        [
            svg.axis_y(frame, svg.ticks(*frame.y)),
            _epochs(frame, lines),
            svg.polyline(frame, points, "curve"),
            Markup(
                '<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.5"/>'
                '<text class="strong" x="{:.1f}" y="{:.1f}" dy=".32em">{}</text>'
            ).format(
                frame.at_x(last_x),
                frame.at_y(last_y),
                frame.at_x(last_x) + 8,
                frame.at_y(last_y),
                words.number(last_y, 2),
            ),
        ]
    )
    label = f"{title} over {len(lines)} epochs: from {first_y:.3g} to {last_y:.3g}"
    return Chart(title, note, svg.picture(WIDTH, HEIGHT, label, drawn))


def _sizes(lines: Sequence[Mapping[str, Any]], titles: Sequence[str], closing: Sequence[int]) -> Chart | None:
    told = [line for line in lines if _is_sizes(line.get("cluster_sizes"), len(titles))]
    told = told[:: -(-len(told) // MOST_BARS) or 1]
    if not told:
        return None
    if len(closing) == len(titles):
        told = [*told, {"epoch": told[-1]["epoch"] + 1, "cluster_sizes": list(closing)}]
        lines = [*lines, told[-1]]
    most = max(sum(line["cluster_sizes"]) for line in told)
    frame = _frame(lines, (0.0, float(most)))
    width = max(1.0, min(26.0, 0.8 * (frame.right - frame.left) / max(1, len(told))))
    bars = []
    for line in told:
        below = 0
        for number, size in enumerate(line["cluster_sizes"]):
            y, height = frame.at_y(below + size), frame.at_y(below) - frame.at_y(below + size)
            x = frame.at_x(line["epoch"] + 1) - width / 2
            bars.append(
                Markup('<rect class="c{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    number, x, y, width, height
                )
            )
            below += size
    ends = _end_labels(frame, told[-1]["cluster_sizes"], titles)
    drawn = svg.joined([svg.axis_y(frame, svg.ticks(*frame.y)), *bars, ends, _epochs(frame, lines)])
    last = ", ".join(map(str, told[-1]["cluster_sizes"]))
    label = f"Cases of each cluster at the last clustering: {last}"
    note = "from below, cluster 1 first, the closing clustering last; one that swallows the others is a collapse"
    return Chart("Cluster sizes", note, svg.picture(WIDTH, HEIGHT, label, drawn))


def _end_labels(frame: svg.Frame, sizes: Sequence[int], titles: Sequence[str]) -> Markup:
    """The numbers of the clusters beside the last bar, where they have room."""
    below, texts = 0, []
    for number, size in enumerate(sizes):
        if frame.at_y(0) - frame.at_y(size) >= 10 and len(titles) <= 20:
            y = frame.at_y(below + size / 2)
            texts.append(
                Markup('<text x="{:.1f}" y="{:.1f}" dy=".32em">{}</text>').format(frame.right + 20, y, number + 1)
            )
        below += size
    return svg.joined(texts)


def _frame(lines: Sequence[Mapping[str, Any]], y: tuple[float, float]) -> svg.Frame:
    epochs = [line["epoch"] + 1 for line in lines]
    return svg.Frame(48, WIDTH - 44, 10, HEIGHT - 36, (min(epochs) - 0.5, max(epochs) + 0.5), y)


def _epochs(frame: svg.Frame, lines: Sequence[Mapping[str, Any]]) -> Markup:
    numbers = sorted({int(line["epoch"]) + 1 for line in lines})
    step = -(-len(numbers) // 7)
    axis = svg.axis_x(frame, [(float(number), str(number)) for number in numbers[::step]])
    middle = (frame.left + frame.right) / 2
    return axis + Markup('<text class="mid" x="{:.1f}" y="{:.1f}">epoch</text>').format(middle, frame.bottom + 31)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


def _is_sizes(value: object, classes: int) -> bool:
    return isinstance(value, list) and len(value) == classes and all(isinstance(size, int) for size in value)

"""Table 1 in the report: the table that ``evaluate`` wrote, and its accuracies beside their nulls as a picture."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from dcam_dist.evaluation.scoring import MethodScores
from dcam_dist.evaluation.stored import StoredEvaluation
from dcam_dist.evaluation.table import ScoreTable, score_table
from dcam_dist.report import svg
from dcam_dist.types import Split

_WIDTH, _LEFT, _ROW = 720.0, 210.0, 30.0
_LONGEST = 30


@dataclass(frozen=True, eq=False)
class SplitTable:
    """One split.

    Attributes:
        split: Which one.
        table: The texts.
        forest: Accuracies with intervals and nulls, an SVG; ``None`` without labels.
    """

    split: Split
    table: ScoreTable
    forest: Markup | None


def read_scores(evaluation: StoredEvaluation | None) -> dict[str, MethodScores]:
    """The rows of an evaluation by name; empty without one."""
    return {} if evaluation is None else evaluation.rows


def split_tables(scores: Mapping[str, MethodScores]) -> tuple[SplitTable, ...]:
    """Test first, for the matching was fitted on train; a split without a case is left out."""
    splits: tuple[Split, ...] = ("test", "train")
    return tuple(
        SplitTable(split, score_table(scores, split), forest(scores, split))
        for split in splits
        if any(method.of(split).n for method in scores.values())
    )


def forest(scores: Mapping[str, MethodScores], split: Split) -> Markup | None:
    """A dot with its 95 % interval for each method, over the range that chance reaches."""
    rows = [(name, found) for name in scores if (found := scores[name].of(split)).clustering_accuracy is not None]
    if not rows:
        return None
    frame = svg.Frame(_LEFT, _WIDTH - 56, 8, 8 + _ROW * len(rows), (0, 1), (0, 1))
    marks = [svg.axis_x(frame, [(x / 4, f"{25 * x} %") for x in range(5)])]
    marks += [
        Markup('<line class="rule" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
            round(frame.at_x(x / 4), 1), frame.top, frame.bottom
        )
        for x in range(5)
    ]
    for place, (name, found) in enumerate(rows):
        y, low_high = frame.top + _ROW * (place + 0.5), found.accuracy_interval or (0.0, 0.0)
        x = [round(frame.at_x(value or 0.0), 1) for value in (*low_high, found.clustering_accuracy, found.null_p95)]
        marks.append(
            Markup(
                '<text class="end strong" x="{}" y="{}" dy=".32em"><title>{}</title>{}</text>'
                '<rect class="null" x="{}" y="{}" width="{}" height="14"/>'
                '<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/><circle class="dot" cx="{}" cy="{}" r="5"/>'
                '<text x="{}" y="{}" dy=".32em">{} %</text>'
            ).format(
                *(_LEFT - 10, y, name, shortened(name, _LONGEST)),
                *(_LEFT, y - 7, round(x[3] - _LEFT, 1)),
                *(x[0], x[1], y, y, x[2], y),
                *(_WIDTH - 48, y, f"{100 * (found.clustering_accuracy or 0.0):.0f}"),
            )
        )
    label = f"Clustering accuracy on the {split} split with 95 % intervals; the table below has the numbers"
    return svg.picture(_WIDTH, frame.bottom + 24, label, svg.joined(marks))


def shortened(text: str, longest: int) -> str:
    """A text that fits, with an ellipsis where it was cut."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"

"""The comparison table: the paper's Table 1 with what its reader needs beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcam_dist.evaluation.scoring import MethodScores, SplitScores
from dcam_dist.types import Split

NONE = "–"
NO_LABELS = "no labels to fit and score a matching on, so no accuracy."
LEARNT = "It learnt from the labels of this split, so read its row on the test split."


@dataclass(frozen=True)
class _Column:
    """One metric: its text, and the number by which rows are compared where a direction is known.

    Attributes:
        header: As printed.
        text: As printed.
        value: The number, or None where the column has no best entry.
        sign: 1 where bigger is better, -1 where smaller is.
        digits: Decimals that are printed; values that read the same are equally good.
        internal: Comparable in one space, rather than over equally many labelled cases.
    """

    header: str
    text: Callable[[SplitScores], str]
    value: Callable[[SplitScores], float | None] = lambda _: None
    sign: int = 1
    digits: int = 2
    internal: bool = False


@dataclass(frozen=True)
class Cell:
    """One entry: its text, and whether it is the best of its column among the rows it may be compared with."""

    text: str
    best: bool


@dataclass(frozen=True)
class ScoreTable:
    """The table of one split as text.

    Attributes:
        caption: Split, majority share and spaces.
        columns: Headers of the columns that hold anything.
        rows: Entries of each method by its name.
        verdicts: One line a method.
    """

    caption: str
    columns: tuple[str, ...]
    rows: Mapping[str, Sequence[Cell]]
    verdicts: tuple[str, ...]


def score_table(results: Mapping[str, MethodScores], split: Split) -> ScoreTable:
    """The comparison as texts, for whoever lays it out; what is best is as in `render_markdown`.

    Raises:
        ValueError: Without a method.
    """
    return ScoreTable(
        caption(results, split),
        tuple(column.header for column in _columns(results, split)),
        _rows(results, split),
        tuple(_verdicts(results, split)),
    )


def render_markdown(results: Mapping[str, MethodScores], split: Split) -> str:
    """The table of one split in Markdown: caption, one row a method, one verdict a method.

    The best entry of each metric is bold among the rows it may be compared between: unsupervised methods, with equally
    many labelled cases for the scores against labels, in the space of the same name for silhouette and Davies-Bouldin.

    Args:
        results: The scores of each method by its name, in the order of the rows.
        split: Which split.

    Raises:
        ValueError: Without a method.
    """
    table = score_table(results, split)
    rows = [
        [_escaped(name), *(f"**{cell.text}**" if cell.best else cell.text for cell in cells)]
        for name, cells in table.rows.items()
    ]
    header = ["method", *table.columns]
    lines = table_lines(header, rows)
    verdicts = [f"- {_escaped(line)}" for line in table.verdicts]
    return "\n".join([_escaped(table.caption), "", *lines, "", *verdicts, ""])


def table_lines(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown; the first column is text, the others are figures."""
    alignment = ["---", *("---:" for _ in header[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (header, alignment, *body)]


def render_console(results: Mapping[str, MethodScores], split: Split, console: Console) -> None:
    """The same on a terminal; see `render_markdown`.

    Raises:
        ValueError: Without a method.
    """
    found, table = score_table(results, split), Table()
    table.add_column("method")
    for header in found.columns:
        table.add_column(Text(header), justify="right")
    for name, cells in found.rows.items():
        table.add_row(Text(name), *(Text(cell.text, style="bold" if cell.best else "") for cell in cells))
    console.print(table)
    console.print(Text(found.caption))
    for line in found.verdicts:
        console.print(Text(line))


def caption(results: Mapping[str, MethodScores], split: Split) -> str:
    """Split, majority share and the spaces of the internal scores, in one line.

    Raises:
        ValueError: Without a method.
    """
    if not results:
        raise ValueError("a table needs at least one method")
    line = f"{split.capitalize()} split."
    shares = {name: _percent(scores.of(split).majority_share) for name, scores in results.items()}
    if set(shares.values()) != {NONE}:
        line += f" Majority share (a constant answer): {_grouped(shares)}."
    spaces = {name: scores.space for name, scores in results.items() if scores.of(split).silhouette is not None}
    if spaces:
        line += f" Silhouette and Davies-Bouldin in the space: {_grouped(spaces)}."
    return line


def verdict(scores: SplitScores) -> str:
    """In plain words, whether an accuracy is above what chance reaches."""
    accuracy, p95, majority = scores.clustering_accuracy, scores.null_p95, scores.majority_share
    if accuracy is None or p95 is None:
        return NO_LABELS
    position = "above" if accuracy > p95 else "not above"
    line = f"{_percent(accuracy)} is {position} its permutation 95th percentile ({_percent(p95)}, {_p_value(scores)})"
    if majority is not None and accuracy <= majority:
        line += f", and not above the majority share ({_percent(majority)})"
    return line + "."


def _rows(results: Mapping[str, MethodScores], split: Split) -> dict[str, list[Cell]]:
    columns = [_cells(column, list(results.values()), split) for column in _columns(results, split)]
    return {name: [cells[row] for cells in columns] for row, name in enumerate(results)}


def _columns(results: Mapping[str, MethodScores], split: Split) -> list[_Column]:
    """The columns that hold anything: without labels, most would be dashes."""
    return [c for c in COLUMNS if any(c.text(method.of(split)) != NONE for method in results.values())]


def _verdicts(results: Mapping[str, MethodScores], split: Split) -> list[str]:
    lines = {
        name: verdict(scores.of(split)) + (f" {LEARNT}" if scores.supervised and split == "train" else "")
        for name, scores in results.items()
    }
    if set(lines.values()) == {NO_LABELS}:
        return [f"all rows: {NO_LABELS}"]
    return [f"{name}: {line}" for name, line in lines.items()]


def _cells(column: _Column, methods: list[MethodScores], split: Split) -> list[Cell]:
    ranks = [_rank(column, method, split) for method in methods]
    groups = [method.space if column.internal else str(method.of(split).labelled) for method in methods]
    peers: dict[str, list[float]] = {}
    for rank, group in zip(ranks, groups, strict=True):
        peers.setdefault(group, []).extend([] if rank is None else [rank])
    return [
        Cell(column.text(method.of(split)), len(peers[group]) > 1 and rank == max(peers[group]))
        for method, rank, group in zip(methods, ranks, groups, strict=True)
    ]


def _rank(column: _Column, method: MethodScores, split: Split) -> float | None:
    """None for what is compared with nothing: a method that learnt from labels, a score that is missing."""
    value = column.value(method.of(split))
    return None if method.supervised or value is None or isnan(value) else column.sign * round(value, column.digits)


def _accuracy(scores: SplitScores) -> str:
    if scores.clustering_accuracy is None or scores.accuracy_interval is None:
        return NONE
    low, high = scores.accuracy_interval
    return f"{_percent(scores.clustering_accuracy)} [{100 * low:.1f}, {100 * high:.1f}]"


def _null(scores: SplitScores) -> str:
    if scores.null_mean is None or scores.null_p95 is None:
        return NONE
    return f"{100 * scores.null_mean:.1f} / {_percent(scores.null_p95)}"


def _cases(scores: SplitScores) -> str:
    return str(scores.n) if scores.labelled in (0, scores.n) else f"{scores.n} ({scores.labelled} labelled)"


def _p_value(scores: SplitScores) -> str:
    return f"p = {scores.null_p_value:.2g}"


def _percent(share: float | None) -> str:
    return NONE if share is None or isnan(share) else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    if value is None or isnan(value):
        return NONE
    return f"{value:z.2f}" if isfinite(value) else "∞"


def _grouped(text_of: Mapping[str, str]) -> str:
    """One text where all methods share it, else each text with its methods."""
    texts = list(dict.fromkeys(text_of.values()))
    if len(texts) == 1:
        return texts[0]
    return "; ".join(f"{text} ({' · '.join(name for name in text_of if text_of[name] == text)})" for text in texts)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("\n", " ")


COLUMNS = (
    _Column("ACC [95 % CI]", _accuracy, lambda scores: scores.clustering_accuracy, digits=3),
    _Column("null mean / p95", _null),
    _Column("ARI", lambda scores: _number(scores.adjusted_rand), lambda scores: scores.adjusted_rand),
    _Column("NMI", lambda scores: _number(scores.nmi), lambda scores: scores.nmi),
    _Column("κ", lambda scores: _number(scores.weighted_kappa), lambda scores: scores.weighted_kappa),
    _Column(
        "±1 grade", lambda scores: _percent(scores.within_one_grade), lambda scores: scores.within_one_grade, digits=3
    ),
    _Column("silhouette", lambda scores: _number(scores.silhouette), lambda scores: scores.silhouette, internal=True),
    _Column(
        "DB",
        lambda scores: _number(scores.davies_bouldin),
        lambda scores: scores.davies_bouldin,
        sign=-1,
        internal=True,
    ),
    _Column("n", _cases),
)

"""What ``select-k`` leaves: every figure as JSON, one row a K as CSV, a picture; and a table for the console."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dcam_dist.analysis.k_choice import CRITERIA, choices, verdict
from dcam_dist.analysis.k_figures import KFigures, KSelection
from dcam_dist.clustering.gap import GapPoint
from dcam_dist.runs.provenance import versions
from dcam_dist.runs.run_config import replace_file

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, float | int | None]

COLUMNS = (
    "clusters",
    "gap",
    "gap_error",
    "silhouette",
    "davies_bouldin",
    "calinski_harabasz",
    "inertia",
    "ari_seeds",
    "ari_seeds_low",
    "ari_seeds_high",
    "ari_resamples",
    "ari_resamples_low",
    "ari_resamples_high",
    "least_jaccard",
    "ambiguous_share",
    "smallest_cluster",
)


def write_selection(selection: KSelection, out: Path) -> list[Path]:
    """Write ``select_k.json``, ``select_k.csv`` and ``select_k.png``; older ones are replaced.

    Raises:
        OSError: When the folder cannot be written.
    """
    from dcam_dist.analysis.select_k_figure import draw_selection

    out.mkdir(parents=True, exist_ok=True)
    content = {
        out / "select_k.json": json.dumps(as_tree(selection), indent=1, allow_nan=False).encode(),
        out / "select_k.csv": _as_csv(selection).encode(),
        out / "select_k.png": draw_selection(selection),
    }
    for file, what in content.items():
        replace_file(file, what)
    return list(content)


def as_tree(selection: KSelection) -> dict[str, Any]:
    """Everything that was found but the consensus, JSON-ready; ``None`` for what is not a finite number."""
    settings = selection.settings.model_dump(mode="json", exclude={"clusters"})
    first = [] if selection.gap_of_one is None else [_gap_row(selection.gap_of_one)]
    return {
        "cases": selection.cases,
        "channels": selection.channels,
        "space": selection.space,
        "backend": selection.figures[0].stability.reference.backend,
        "settings": settings,
        "seed": selection.seed,
        "effort": vars(selection.effort),
        "choices": choices(selection),
        "verdict": list(verdict(selection)),
        "rows": [*first, *({**row_of(one), **_by_cluster(one)} for one in selection.figures)],
        "versions": versions(),
    }


def row_of(figures: KFigures) -> Row:
    """One number of clusters in one row."""
    again, fit = figures.stability, figures.stability.reference
    seeds, resamples = again.over_seeds, again.over_resamples
    return {
        **_gap_row(figures.gap),
        "silhouette": _finite(figures.silhouette),
        "davies_bouldin": _finite(figures.davies_bouldin),
        "calinski_harabasz": _finite(figures.calinski_harabasz),
        "inertia": fit.inertia,
        "ari_seeds": _finite(seeds.median),
        "ari_seeds_low": _finite(seeds.low),
        "ari_seeds_high": _finite(seeds.high),
        "ari_resamples": _finite(resamples.median),
        "ari_resamples_low": _finite(resamples.low),
        "ari_resamples_high": _finite(resamples.high),
        "least_jaccard": _finite(figures.least_jaccard),
        "ambiguous_share": _finite(again.consensus.ambiguous_share),
        "smallest_cluster": int(fit.size_K.min()),
    }


def console_table(selection: KSelection) -> "Table":
    """A short table; an asterisk stands at what each criterion takes."""
    from rich.table import Table

    taken = choices(selection)
    table = Table("K", "gap ± s", *list(CRITERIA.values())[1:4], "ARI, seeds", "ARI, resamples", "least Jaccard")
    if selection.gap_of_one is not None:
        one = selection.gap_of_one
        table.add_row("1", _marked(f"{one.gap:.3f} ± {one.error:.3f}", 1, taken["gap"]))
    for figures in selection.figures:
        table.add_row(*_cells(figures, taken))
    return table


def _cells(figures: KFigures, taken: Mapping[str, int | None]) -> list[str]:
    k, again = figures.clusters, figures.stability.over_resamples
    return [
        str(k),
        _marked(f"{figures.gap.gap:.3f} ± {figures.gap.error:.3f}", k, taken["gap"]),
        _marked(f"{figures.silhouette:.3f}", k, taken["silhouette"]),
        _marked(f"{figures.davies_bouldin:.3f}", k, taken["davies_bouldin"]),
        _marked(f"{figures.calinski_harabasz:.1f}", k, taken["calinski_harabasz"]),
        f"{figures.stability.over_seeds.median:.2f}",
        _marked(f"{again.median:.2f} ({again.low:.2f} to {again.high:.2f})", k, taken["stability"]),
        f"{figures.least_jaccard:.2f}",
    ]


def _marked(text: str, clusters: int, taken: int | None) -> str:
    return f"{text} *" if clusters == taken else text


def _gap_row(point: GapPoint) -> Row:
    return {"clusters": point.clusters, "gap": _finite(point.gap), "gap_error": _finite(point.error)}


def _by_cluster(figures: KFigures) -> dict[str, Any]:
    jaccard_K, size_K = figures.stability.jaccard_mean, figures.stability.reference.size_K
    return {"cluster_sizes": size_K.tolist(), "jaccard": [_finite(value) for value in jaccard_K.tolist()]}


def _as_csv(selection: KSelection) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    first = [] if selection.gap_of_one is None else [_gap_row(selection.gap_of_one)]
    table.writerows([*first, *map(row_of, selection.figures)])
    return text.getvalue()


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

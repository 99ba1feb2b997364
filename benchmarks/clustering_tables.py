"""The tables of ``benchmarks.clustering``: contenders down, sizes across, medians with the lowest and highest."""

from collections.abc import Callable, Sequence

from benchmarks.clustering_cases import PIPELINE, SKLEARN_PIPELINE, Plan, contenders, rank_name
from benchmarks.clustering_samples import Found, Samples
from benchmarks.harness import Series
from benchmarks.report import number, table

Key = tuple[str, int, int, int]
Taken = Callable[[Samples], Series]


def tables(found: Found, plan: Plan) -> dict[str, str]:
    """By heading."""
    more, made = plan.iterations[1], {}
    taken: dict[str, Taken] = {
        f"seconds of {more} iterations": lambda one: one.seconds(""),
        "milliseconds of one iteration": lambda one: one.iteration("", plan),
        "peak memory above the rows, MB": lambda one: one.peak(""),
    }
    for clusters in plan.clusters:
        sizes = [(rows, plan.channels, clusters) for rows in plan.rows]
        for what, take in taken.items():
            heading = f"k = {clusters}, {plan.channels} channels: {what}"
            made[heading] = _table("rows", [f"{rows:,}" for rows in plan.rows], sizes, found, take)
    few, most = plan.few_rows, max(plan.clusters)
    seconds = taken[f"seconds of {more} iterations"]
    all_k = sorted({*plan.clusters, *plan.other_clusters})
    all_c = sorted({plan.channels, *plan.other_channels})
    by_k, by_c = [(few, plan.channels, k) for k in all_k], [(few, channels, most) for channels in all_c]
    made[f"{few:,} rows: seconds by k"] = _table("k", [str(k) for k in all_k], by_k, found, seconds)
    made[f"{few:,} rows, k = {most}: seconds by channels"] = _table(
        "channels", [str(channels) for channels in all_c], by_c, found, seconds
    )
    made[f"{plan.rows[-2]:,} rows: seconds by ranks of one thread"] = _ranks(found, plan, seconds)
    made["Whole pipeline"] = _pipeline(found, plan)
    return made


def _table(of: str, head: Sequence[str], sizes: Sequence[tuple[int, int, int]], found: Found, take: Taken) -> str:
    names = [name for name in contenders() if all((name, *size) in found for size in sizes)]
    rows = [[name, *(_cell(take(found[name, *size])) for size in sizes)] for name in names]
    return table([of, *head], rows)


def _ranks(found: Found, plan: Plan, take: Taken) -> str:
    rows = [
        [f"k = {k}", *(_cell(take(found[rank_name(r), plan.rows[-2], plan.channels, k])) for r in plan.ranks)]
        for k in plan.clusters
    ]
    return table(["ranks", *map(str, plan.ranks)], rows)


def _pipeline(found: Found, plan: Plan) -> str:
    rows = []
    for name in (PIPELINE, SKLEARN_PIPELINE):
        for size in plan.rows[-2:]:
            one = found.get((name, size, plan.channels, min(plan.clusters)))
            rows += [[name, f"{size:,}", _cell(one.seconds("")), _cell(one.peak(""))]] if one else []
    return table(["", "rows", "seconds", "peak memory above the rows, MB"], rows)


def _cell(series: Series) -> str:
    lowest, highest = min(series.samples), max(series.samples)
    around = f" ({number(lowest)} … {number(highest)})" if len(series.samples) > 1 else ""
    return f"{number(series.median)}{around}"

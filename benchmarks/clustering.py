"""k-means of the torch backend against scikit-learn, faiss-cpu and cuML: time, peak memory, and how both grow.

    python -m benchmarks run clustering --out benchmarks/results/clustering [--profile cpu|cpu-smoke] [--repeats ROUNDS]

Everybody starts from the same centroids, makes the same number of iterations once, and has two threads in all. Each
contender is a fresh process (ours: one for each rank) that makes its own rows before the clock starts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.clustering_cases import (
    FULL,
    OURS,
    OURS_ALONE,
    PIPELINE,
    SKLEARN,
    SKLEARN_IN_PLACE,
    SKLEARN_PIPELINE,
    SMOKE,
    THREADS,
    Plan,
    gpu_and_cuml,
    groups,
)
from benchmarks.clustering_contender import COMPONENTS, RESTARTS
from benchmarks.clustering_figures import figures
from benchmarks.clustering_samples import Found, measure
from benchmarks.clustering_tables import tables
from benchmarks.harness import Measured, Options, Series, Target, ratio
from benchmarks.peers import absent, find


def clustering(options: Options) -> Measured:
    """Every contender on every size."""
    plan = SMOKE if options.smoke else FULL
    found: Found = {}
    for group in groups(plan, options.seed):
        made = measure(group, plan, options)
        found |= made
        print("; ".join(f"{name}, {rows} × {channels}, k {k}" for name, rows, channels, k in made), flush=True)
    more = plan.iterations[1]
    series = []
    for (name, rows, channels, clusters), samples in found.items():
        title = f"{name}, {rows} × {channels}, k {clusters}"
        series += [samples.seconds(f"{title}: {more} iterations"), samples.peak(f"{title}: peak")]
        series += [samples.iteration(f"{title}: one iteration", plan)] if samples.few else []
    return Measured(
        title="k-means against scikit-learn and faiss-cpu",
        config=_config(plan, options),
        series=tuple(series),
        targets=tuple(targets(found, plan)),
        notes=_notes(found, plan),
        details={"inertia": {" ".join(map(str, key)): samples.inertia for key, samples in found.items()}},
        tables=tables(found, plan),
        figures=figures(found, plan),
    )


def targets(found: Found, plan: Plan) -> Iterator[Target]:
    """Time against scikit-learn, growth of memory, and that all came to the same."""
    (*_, main, most), channels = plan.rows, plan.channels
    yield from bounds_on_time(found, plan)
    grown = [(OURS, clusters) for clusters in plan.clusters] + [(PIPELINE, min(plan.clusters))]
    for name, clusters in grown:
        small, large = (found[name, rows, channels, clusters].peak("") for rows in (main, most))
        title = f"peak memory of {name}, {most} rows / {main} rows, k {clusters}"
        yield Target(ratio(title, large, small), 1.1, "at_most")
    yield Target(_spread_of_inertia(found), 0.01, "at_most")


def bounds_on_time(found: Found, plan: Plan) -> Iterator[Target]:
    """Time against scikit-learn at the second largest number of rows."""
    main, channels = plan.rows[-2], plan.channels
    for clusters in plan.clusters:
        ours = found[OURS, main, channels, clusters].seconds("")
        for peer in (SKLEARN, SKLEARN_IN_PLACE):
            theirs = found[peer, main, channels, clusters].seconds("")
            name = f"time of {OURS} / {peer}, {main} × {channels}, k {clusters}"
            yield Target(ratio(name, ours, theirs), 1.0, "at_most")


def _spread_of_inertia(found: Found) -> Series:
    """How far the contenders' inertia is apart, size by size: they all start from the same centroids."""
    by_size: dict[tuple[int, ...], list[float]] = {}
    for (_, *size), samples in found.items():
        if not samples.case.contender.endswith("pipeline"):
            by_size.setdefault(tuple(size), []).append(samples.inertia)
    apart = [max(values) / min(values) - 1 for values in by_size.values()]
    return Series("inertia, largest / smallest of all contenders − 1", "", tuple(apart))


def _config(plan: Plan, options: Options) -> dict[str, Any]:
    return {
        "rows": plan.rows,
        "channels": plan.channels,
        "clusters": plan.clusters,
        "iterations": plan.iterations[1],
        "n_init": 1,
        "threads of a contender": THREADS,
        "pipeline": f"scale, PCA {COMPONENTS}, k-means with n_init {RESTARTS}",
        "rounds": options.repeats,
    }


def _notes(found: Found, plan: Plan) -> tuple[str, ...]:
    early = [key for key, one in found.items() if {call.updates for call in one.many} != {plan.iterations[1]}]
    pipelines = [name for name in (PIPELINE, SKLEARN_PIPELINE) if (name, *_pipeline_size(plan)) in found]
    inertia = {name: found[name, *_pipeline_size(plan)].inertia for name in pipelines}
    notes = [
        f"{OURS}: two processes of one thread, over gloo; {OURS_ALONE}: one of two threads.",
        "First centroids are given, so seeding is in the pipelines' times alone. Tolerance 0, ours 0.0001 as in its "
        "default; on these rows nobody had converged."
        if not early
        else f"Fewer updates than asked for, having converged: {early}.",
        "Our calls and scikit-learn's end with the inertia of the last centroids; faiss-cpu's do not.",
        "scikit-learn copies the rows to centre them; with copy_x=False it centres them in place and puts them back.",
        f"A turn is three calls, the first of which does not count: {plan.iterations[0]} iterations twice, then "
        f"{plan.iterations[1]}. The time of one iteration is the difference of the last two, divided. Rounds take the "
        "contenders in a new order each; at the most rows, contenders run one after another in fresh processes.",
        "Peak memory: resident set of all ranks at its highest (VmHWM) less what it was before the first call, rows "
        "included; libraries had been warmed up on 256 rows. The pipeline's points lie in a temporary file.",
        f"Inertia of the pipelines, from seeds of their own: {_listed(inertia)}.",
    ]
    notes += [] if find("faiss") else [absent("faiss-cpu")]
    notes += [] if gpu_and_cuml() else ["cuML was left out: it is not installed, or there is no GPU."]
    return tuple(notes)


def _pipeline_size(plan: Plan) -> tuple[int, int, int]:
    return plan.rows[-2], plan.channels, min(plan.clusters)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items())

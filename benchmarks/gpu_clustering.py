"""Scale, PCA and k-means as the backends do it: time, memory of the device, and inertia, on a GPU if there is one.

    python -m benchmarks.gpu_clustering --out DIR [--rows 100000 1000000 10000000] [--clusters 6 64] [--repeats 3]

Rows of 64 channels in host memory. The torch backend on the device, cuML where it can be used, scikit-learn up to a
million rows; all with the same settings, in an order drawn anew for each round. One untimed round comes first.
"""

import argparse
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.cuml_signatures import versions
from benchmarks.harness import Measured, Series, interleave
from benchmarks.machine import load_average, machine
from benchmarks.report import number, table, write_result
from dcam_dist.clustering import ALONE, ArrayRows, ClusterBackend, choose_backend
from dcam_dist.clustering.cuml_backend import peak_bytes
from dcam_dist.clustering.model import Floats
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import EnvironmentFault

CHANNELS, GROUPS = 64, 256
SETTINGS = ClusteringConfig(restarts=1)
SKLEARN_ROWS = 10**6
POLL_S = 0.001


@dataclass
class Contender:
    """One backend on some rows.

    Attributes:
        backend: That fits.
        rows_NC: What it fits.
        settings: Of the clustering.
        taken: Bytes of the device, the most of all fits.
        inertia: Of the last fit.
    """

    backend: ClusterBackend
    rows_NC: Floats
    settings: ClusteringConfig
    taken: int = 0
    inertia: float = field(default=float("nan"))

    def __call__(self) -> None:
        """Fit once."""
        with _memory_taken() as taken:
            found = self.backend.fit(ArrayRows(self.rows_NC), self.settings, 0, ALONE)
        if found.backend != self.backend.name:
            raise EnvironmentFault(f"{self.backend.name} left {len(self.rows_NC)} rows to {found.backend}")
        self.taken, self.inertia = max(self.taken, *taken), found.inertia


def main() -> None:
    """Write ``gpu_clustering.json`` and ``.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--clusters", type=int, nargs="+", default=[6, 64])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    started, load = time.perf_counter(), load_average()
    measured = measure(given.rows, given.clusters, given.repeats)
    hardware = {**machine(), "cores_used": machine()["cores"], "load_before": load, "load_after": load_average()}
    about = {"profile": "cpu", "seed": 0, "repeats": given.repeats, "hardware": hardware}
    about["duration_s"] = round(time.perf_counter() - started, 1)
    print(write_result(given.out, "gpu_clustering", measured, about))


def measure(rows: list[int], clusters: list[int], repeats: int) -> Measured:
    """Every size in turn."""
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    series: list[Series] = []
    cells: list[list[str]] = []
    notes = {
        f"device: {torch.cuda.get_device_name() if device != 'cpu' else 'none but the CPU'}",
        f"libraries: {', '.join(f'{name} {found}' for name, found in versions().items())}",
    }
    for count in rows:
        rows_NC = make_rows(count)
        for several in clusters:
            settings = SETTINGS.model_copy(update={"clusters": several})
            contenders = _contenders(rows_NC, settings, device, notes)
            timed = interleave(contenders, repeats, seed=0)
            series += [Series(f"{count} rows, k = {several}: {name}", "s", one.samples) for name, one in timed.items()]
            cells += [_cells(name, contenders[name], one) for name, one in timed.items()]
    head = ["backend", "rows", "k", "median", "lowest … highest", "memory of the device", "estimate", "inertia"]
    return Measured(
        title="Clustering on a GPU",
        config={"channels": CHANNELS, "repeats": repeats, **SETTINGS.model_dump(exclude={"clusters", "backend"})},
        series=tuple(series),
        notes=tuple(sorted(notes)),
        tables={"Scale, PCA, k-means": table(head, cells)},
    )


def make_rows(count: int) -> Floats:
    """Overlapping groups, (N, 64)."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((GROUPS, CHANNELS), dtype=np.float32)
    rows_NC = rng.standard_normal((count, CHANNELS), dtype=np.float32)
    rows_NC += centres[rng.integers(GROUPS, size=count)]
    return rows_NC


def _contenders(rows_NC: Floats, settings: ClusteringConfig, device: str, notes: set[str]) -> Mapping[str, Contender]:
    made = {}
    for name in ("torch", "cuml", "sklearn") if len(rows_NC) <= SKLEARN_ROWS else ("torch", "cuml"):
        try:
            backend = choose_backend(settings.model_copy(update={"backend": name}), len(rows_NC), device)
            made[name] = Contender(backend, rows_NC, settings)
        except EnvironmentFault as fault:
            notes.add(f"{name} is left out: {fault}")
    return made


def _cells(name: str, contender: Contender, timed: Series) -> list[str]:
    shape = (len(contender.rows_NC), CHANNELS)
    return [
        name,
        str(shape[0]),
        str(contender.settings.clusters),
        f"{number(timed.median)} s",
        f"{number(min(timed.samples))} … {number(max(timed.samples))} s",
        f"{number(contender.taken / 1e9)} GB" if contender.taken else "–",
        f"{number(peak_bytes(shape, contender.settings) / 1e9)} GB" if name == "cuml" else "–",
        f"{contender.inertia:.6g}",
    ]


@contextmanager
def _memory_taken() -> Iterator[list[int]]:
    """Bytes of the device that were taken meanwhile, by whichever library, looked at every millisecond."""
    taken = [0]
    if not torch.cuda.is_available():
        yield taken
        return
    torch.cuda.empty_cache()
    before, ended = torch.cuda.mem_get_info()[0], threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            taken.append(before - torch.cuda.mem_get_info()[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield taken
    finally:
        ended.set()
        watcher.join()


if __name__ == "__main__":
    main()

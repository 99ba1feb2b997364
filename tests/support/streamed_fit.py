"""Cluster so many rows that exist only while they are read; prints how far memory rose, in chunks.

Argument: ROWS. Run in a process of its own.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from support.cluster_contract import noise, settings

from benchmarks.resident import forget_peak, peak_bytes, resident_bytes
from dcam_dist.clustering import ALONE, ArrayRows
from dcam_dist.clustering.rows import CHUNK_BYTES, rows_of_a_chunk
from dcam_dist.clustering.torch_backend import TorchBackend

CHANNELS = 64


@dataclass(frozen=True)
class Generated:
    """Rows of a fixed random stream."""

    rows: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, CHANNELS

    def chunks(self) -> Iterator[np.ndarray]:
        step = rows_of_a_chunk(CHANNELS)
        buffer = np.empty((step, CHANNELS), np.float32)
        for start in range(0, self.rows, step):
            chunk = buffer[: self.rows - start]
            np.random.default_rng(start).standard_normal(dtype=np.float32, out=chunk)
            yield chunk


def main(rows: int) -> None:
    chosen = settings(clusters=6, pca_components=8, restarts=2, iterations=3)
    TorchBackend().fit(ArrayRows(noise(70_000, CHANNELS)), chosen, 0, ALONE)  # libraries take their own first
    forget_peak()
    before = resident_bytes()
    TorchBackend().fit(Generated(rows), chosen, 0, ALONE)
    print(json.dumps({"peak_chunks": (peak_bytes() - before) / CHUNK_BYTES}))


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Cluster so many chunks of rows from a Zarr store; prints how far resident memory rose, in chunks.

Arguments: FOLDER CHUNKS. Run in a process of its own.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.resident import forget_peak, peak_bytes, resident_bytes
from dcam_dist.clustering import ALONE, ArrayRows
from dcam_dist.clustering.rows import CHUNK_BYTES, rows_of_a_chunk
from dcam_dist.clustering.torch_backend import TorchBackend
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.training.voxel_store import VoxelWriter, open_rows

CHANNELS = 64


def write(path: Path, chunks: int) -> None:
    step = rows_of_a_chunk(CHANNELS)
    writer = VoxelWriter(path, {"case": chunks * step}, CHANNELS)
    for number in range(chunks):
        rows = np.random.default_rng(number).standard_normal((step, CHANNELS), np.float32)
        writer.add(rows, np.arange(step))
    writer.close()


def main(folder: str, chunks: str) -> None:
    path, settings = Path(folder) / "rank.zarr", ClusteringConfig(clusters=12, restarts=2, iterations=2)
    write(path, int(chunks))
    few = np.random.default_rng(0).standard_normal((5000, CHANNELS), np.float32)
    TorchBackend().fit(ArrayRows(few), settings, 0, ALONE)  # libraries take their own first
    forget_peak()
    before = resident_bytes()
    TorchBackend().fit(open_rows(path), settings, 0, ALONE)
    print((peak_bytes() - before) / CHUNK_BYTES)


if __name__ == "__main__":
    main(*sys.argv[1:])

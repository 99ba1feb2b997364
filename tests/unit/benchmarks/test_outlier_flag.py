import numpy as np

from benchmarks.outlier_flag import CHANGES, report


def test_every_rate_is_measured(tmp_path):
    hu = np.random.default_rng(0).normal(-850, 60, (60, 31, 31)).astype(np.int16)
    np.savez(tmp_path / "patches.npz", hu=hu)
    text = report(tmp_path / "patches.npz", (40, 60), repeats=1, seed=0)
    rows = [line for line in text.splitlines() if line.startswith("| ") and "±" in line]
    assert len(rows) == 2 + len(CHANGES) + 1

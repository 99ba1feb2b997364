"""The patches benchmark on a generated file of the same form."""

import json

import numpy as np
import pytest

from benchmarks.emphysema_patches import SPACES, features, main, read_patches
from dcam_dist.errors import DataError


@pytest.fixture
def patches(tmp_path):
    """Six classes of different mean density, ten patches each."""
    rng = np.random.default_rng(0)
    label = np.repeat(["CL1", "CL2", "CL3", "NT", "PL", "PS"], 10)
    means = np.repeat([-880, -910, -940, -850, -970, -790], 10)
    hu = (means[:, None, None] + 25 * rng.standard_normal((60, 31, 31))).astype(np.int16)
    path = tmp_path / "patches.npz"
    np.savez(path, hu=hu, label=label)
    (tmp_path / "License.txt").write_text("Some terms\n")
    return path


def test_scores_and_their_spread_are_written_with_the_licence(patches, tmp_path):
    out = tmp_path / "out"
    main(["--patches", str(patches), "--out", str(out), "--seeds", "2"])
    result = json.loads((out / "emphysema_patches.json").read_text())
    assert result["majority_share"] == pytest.approx(1 / 6)
    assert len(result["clustered"]) == len(SPACES)
    for by_backend in result["clustered"].values():
        for found in by_backend.values():
            assert found["first_seed"]["acc"] > found["first_seed"]["null_p95"]
            assert (len(found["acc"]), len(found["pairwise_ari"])) == (2, 1)
    assert all(min(found["halves"]) > 0.5 for found in result["supervised"].values())
    assert (out / "License.txt").read_text().endswith("Some terms\n")
    assert "| majority share | 27.7% | 16.7% |" in (out / "emphysema_patches.md").read_text()


def test_features_are_shares_of_pixels(patches):
    read = read_patches(patches)
    laa, histogram, _ = (features(read, space) for space in SPACES)
    np.testing.assert_allclose(laa[:, 0], [(one < -950).mean() for one in read.hu_NHW], atol=1e-6)
    inside = ((read.hu_NHW >= -1024) & (read.hu_NHW < -4)).mean(axis=(1, 2))
    assert histogram.shape == (60, 51)
    np.testing.assert_allclose(histogram.sum(axis=1), inside, atol=1e-3)


@pytest.mark.parametrize("content", [b"no zip", None])
def test_a_file_of_another_form_is_one_line(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content) if content else np.savez(path, hu=np.zeros((3, 2, 2), np.int16))
    with pytest.raises(DataError, match=r"other\.npz: no patches"):
        read_patches(path)

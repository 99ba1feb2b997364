"""The benchmarks of the bare network run, and find the same weights under every checkpointing policy."""

import pytest

from benchmarks import checkpoint_policies, memory_formats
from benchmarks.harness import Options


@pytest.fixture
def smoke(tmp_path):
    return Options("cpu-smoke", repeats=1, cores=1, seed=0, scratch=tmp_path)


@pytest.mark.slow
def test_every_policy_is_measured_and_makes_the_same_weights(smoke, monkeypatch):
    monkeypatch.setattr(checkpoint_policies, "_deepspeed", lambda: None)
    found = checkpoint_policies.checkpoint_policies(smoke)
    assert all(target.met for target in found.targets)
    assert len(found.details["sha256"]) == 8
    assert len(set(found.details["sha256"].values())) == 2  # one a precision
    assert all(sample > 0 for series in found.series for sample in series.samples)
    assert any("deepspeed" in note for note in found.notes)


def test_both_memory_formats_are_measured_for_both_normalizations(smoke):
    found = memory_formats.memory_formats(smoke)
    assert len(found.series) == 8
    assert [target.series.name.split(",")[0] for target in found.targets] == ["batch", "batch", "instance", "instance"]

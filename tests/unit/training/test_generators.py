import numpy as np
import torch
from support.cohorts import settings

from dcam_dist.config import load_config
from dcam_dist.runs import latest_checkpoint
from dcam_dist.training import train


def test_torchs_generator_is_a_function_of_the_seed_whatever_was_drawn_before(tmp_path, small_cohort):
    states = {}
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        torch.rand(3)  # a process is born with a state of its own
        train(load_config(None, settings(small_cohort, output=tmp_path / name, training__epochs=1, seed=seed)))
        states[name] = latest_checkpoint(tmp_path / name).generators["0/cpu"]
    np.testing.assert_array_equal(states["one"], states["two"])
    assert (states["one"] != states["other"]).any()

from benchmarks.training_step import measure
from dcam_dist.config import load_config


def test_a_tiny_step_is_measured():
    config = load_config(None, ["grid.shape=[16,16,16]", "network.filters=4", "training.batch_size=2"])
    result = measure(config, steps=3)
    assert len(result["seconds"]) == 3
    assert min(result["seconds"]) <= result["median_s"] <= max(result["seconds"])
    assert result["peak_memory_bytes"] > 1e6
    assert result["parameters"] == 255_572

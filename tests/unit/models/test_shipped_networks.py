from pathlib import Path

import pytest

from dcam_dist.config import load_config
from dcam_dist.models import parameter_counts

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_the_baseline_of_every_shipped_configuration_is_within_ten_percent(file):
    proposed, baseline = parameter_counts(load_config(file).network)
    assert abs(baseline / proposed - 1) <= 0.10


def test_the_paper_plan_is_the_published_one():
    config = load_config(CONFIGS[0].parent / "paper.yaml")
    assert config.grid.shape == (128, 224, 288)
    assert config.clustering.clusters == 6
    assert config.network.filters == 32
    assert 16.2e6 < parameter_counts(config.network)[0] < 16.4e6

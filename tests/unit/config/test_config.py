from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.config import Config, dump_config, load_config
from dcam_dist.errors import UsageError

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))


def test_there_are_shipped_configurations():
    assert {"paper.yaml", "demo.yaml", "smoke.yaml"} <= {file.name for file in CONFIGS}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_every_shipped_configuration_loads_and_survives_a_round_trip(file, tmp_path):
    config = load_config(file)
    (tmp_path / "again.yaml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "again.yaml") == config


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("trainng.epochs=3", "did you mean training"),
        ("epochs=3", "did you mean training.epochs"),
        ("training.epoch=3", "did you mean training.epochs"),
        ("training.optimizer.lear_rate=1", "training.optimizer"),
        ("training.epochs=0", "greater than 0"),
        ("training.epochs=many", "training.epochs"),
        ("ingest.memory_limit_gb=0.4", "ingest.memory_limit_gb: Input should be greater than or equal to 0.5"),
        ("grid.shape=[30,32,32]", "divisible by 16"),
        ("grid.fit=spacing", "spacing_mm"),
        ("data.window_hu=[0,-1000]", "lower bound first"),
        ("labels.names=[a,A]", "distinct"),
        ("seed.x=1", "seed"),
        ("epochs", "section.key=value"),
        ("seed=[1", "not valid YAML"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(override, part):
    with pytest.raises(UsageError) as caught:
        load_config(None, [override])
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_reach_nested_keys():
    config = load_config(None, ["training.optimizer.lr=0.5", "method=baseline", "output=/some/run"])
    assert (config.training.optimizer.lr, config.method, config.output) == (0.5, "baseline", Path("/some/run"))


@pytest.mark.parametrize("content", ["- a\n- b", "a: [", "\x00", "seed: 1\n  x: 2"])
def test_a_malformed_file_is_a_usage_error_that_names_it(content, tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"broken\.yaml"):
        load_config(file)


def test_a_missing_file_is_a_usage_error():
    with pytest.raises(UsageError, match="no such configuration file"):
        load_config("nowhere.yaml")


@given(st.text(max_size=60))
def test_no_override_text_ends_in_anything_but_a_config_or_a_usage_error(text):
    try:
        assert isinstance(load_config(None, [text]), Config)
    except UsageError as error:
        assert str(error)

"""YAML's traps end in one line; plain configurations are read as ever."""

import pytest
import yaml

from dcam_dist.config import load_config
from dcam_dist.config.strict_yaml import MOST_CHARACTERS, parse_yaml
from dcam_dist.errors import UsageError

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10))


def test_plain_yaml_is_read_as_by_pyyaml():
    text = "seed: 3\ngrid: {shape: [16, 16, 16]}\noutput: null\nx: 1.5e-3\ny: [yes, 'no', 2001-01-02]\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml("") is None and parse_yaml("3") == 3


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (LAUGHS, "aliases"),
        (MERGES, "aliases"),
        ("&a [*a]", "aliases"),
        ("seed: 1\nseed: 2", "given twice"),
        ("1: 2", "no text"),
        ("? [a]\n: 1", "not valid YAML"),
        ("x: 2001-99-99", "not valid YAML"),
        ("x: !!bool maybe", "not valid YAML"),
        ("x: !!timestamp x", "not valid YAML"),
        ("x: !!python/object/apply:os.system [echo]", "not valid YAML"),
        ("x: " + "1" * 5000, "not valid YAML"),
        ("x: 0x" + "f" * 5000, "64 bits"),
        ('x: "a\\0b"', "NUL"),
        ('"a\\0b": 1', "NUL"),
        ('x: ["\\ud800"]', "half characters"),
        ("[" * 20_000, "not valid YAML"),
        ("{a: " * 5000, "not valid YAML"),
        ("x" * (MOST_CHARACTERS + 1), "more than 32 kB"),
    ],
)
def test_traps(text, what):
    with pytest.raises(ValueError, match=what) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "override",
    [
        "data.window_hu=[.nan, 0]",
        "grid.margin_mm=.inf",
        "ingest.memory_limit_gb=.inf",
        "training.optimizer.lr=.nan",
        "seed=2001-99-99",
        "seed=" + "[" * 5000,
        "seed=" + "1" * 5000,
        "seed=0x" + "f" * 5000,
        "seed=" + "x" * 5000,
        ".".join("a" * 2000) + "=1",
        "\udcff=1",
        "a\0b=1",
        "x" * 5000,
        'output="a\\0b"',
    ],
)
def test_odd_overrides_are_one_short_line(override):
    with pytest.raises(UsageError) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_huge_file_is_not_read_whole(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(3 << 30)
    with pytest.raises(UsageError, match=r"huge\.yaml: more than 32 kB"):
        load_config(path)

"""Configuration files and overrides: YAML's own traps, odd values under known keys, damaged bytes, drawn trees."""

from functools import cache
from pathlib import Path
from random import Random

import yaml
from fuzz.mutate import ODD_NUMBERS, ODD_TEXTS, mutate_bytes
from fuzz.scratch import Input, Target
from fuzz.strategies import SeededDraw
from hypothesis import strategies as st

from dcam_dist.config import Config, dump_config, load_config
from dcam_dist.errors import UsageError

CONFIGS = Path(__file__).parents[2] / "configs"
ODD_VALUES = (
    *ODD_NUMBERS,
    *(
        ".nan",
        ".inf",
        "-.inf",
        "0b",
        "0x",
        "0o8",
        "190:20:30",
        "2001-99-99",
        "2001-01-01 25:61:61",
        "~",
        "yes",
        "1" * 5000,
    ),
    *("0x" + "f" * 5000, "1e999999", "[]", "{}", "[[[[1]]]]", "{a: {b: {c: 1}}}", "[.nan, 1, 2]", "[-.inf, .inf]"),
    *(
        "!!python/object/apply:os.system [echo]",
        "!!binary aGk=",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!int abc",
        "!!float x",
    ),
    *(
        "!!timestamp x",
        "!!null x",
        "!!bool x",
        "!unknown 1",
        "*x",
        "&x 1",
        "&x [*x]",
        "<<",
        "= ",
        "? a",
        "| \n a",
        "> \n b",
    ),
    *(
        '"\\0"',
        '"\\ud800"',
        '"\\x85"',
        "'",
        '"',
        "%TAG ! tag:x,2000:",
        "--- 1",
        "...",
        "@",
        "`",
        "\t1",
        "#",
        "- -",
        ": :",
    ),
    *("[" * 200, "[" * 5000, "{a: " * 300, "- " * 500, "? " * 300, "&a " * 50, "!!str " * 50, "a: " * 100),
)
LAUGHS = "".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]\n"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)]
    + ["labels: {names: *a9}\nseed: *a9\n"]
)
MERGES = "".join(
    ["a0: &a0 {x: 1, y: 2}\n"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10)]
)
KEYS = st.one_of(
    st.sampled_from(["seed", "grid", "training", "labels", "names", "data", "window_hu", "output", "ingest", "shape"]),
    st.text(max_size=12),
    st.integers(),
    st.none(),
)
LEAVES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.binary(max_size=20), st.dates()),
    *(st.datetimes(), st.integers(-(2**200), 2**200)),
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)


def prepare(folder: Path) -> None:
    """Nothing: the shipped configurations are the valid inputs."""
    folder.mkdir(parents=True, exist_ok=True)


def make(made: Input, _: Path) -> None:
    """A configuration file and a file of overrides, one in an odd line."""
    rng = made.rng
    way = rng.random()
    if way < 0.35:
        content, made.mutation = _odd_values(rng)
    elif way < 0.65:
        content, made.mutation = _drawn(rng), "drawn tree"
    elif way < 0.96:
        content, made.mutation = mutate_bytes(rng, rng.choice(_bases()), _bases())
    else:
        content, made.mutation = rng.choice(_TRAPS)(rng).encode("utf-8", "surrogatepass"), "trap"
    (made.scans / "config.yaml").write_bytes(content)
    overrides = [_override(rng) for _ in range(rng.choice((0, 0, 1, 2)))]
    (made.scans / "overrides.txt").write_text(repr(overrides), encoding="utf-8", errors="surrogatepass")
    made.texts = overrides


def run(made: Input) -> None:
    """Load it; what is accepted must survive a round trip."""
    for path in ("scans/config.yaml", *([None] if made.texts else [])):
        try:
            config = load_config(path, made.texts)
        except UsageError as error:
            made.outcomes.append("refused")
            made.says(str(error))
            continue
        made.outcomes.append("accepted")
        again = made.folder / "again.yaml"
        again.write_text(dump_config(config), encoding="utf-8")
        if load_config(again) != config:
            made.problems.append("another configuration after a round trip")


def _odd_values(rng: Random) -> tuple[bytes, str]:
    """A shipped configuration with odd values under some keys; as text, for YAML to read."""
    said, lines = [], []
    keys = rng.sample(_keys(), rng.choice((1, 1, 2, 3)))
    for section, text in rng.choice(_sections()).items():
        if all(key.split(".")[0] != section for key in keys):
            lines.append(text)
    for key in keys:
        value = rng.choice((*ODD_VALUES, *ODD_TEXTS))
        *sections, name = key.split(".")
        lines.append("".join(f"{'  ' * depth}{part}:\n" for depth, part in enumerate(sections)))
        lines.append(f"{'  ' * len(sections)}{name}: {value}\n")
        said.append(f"{key}: {value[:40]}")
    return "".join(lines).encode("utf-8", "surrogatepass"), ", ".join(said)


def _drawn(rng: Random) -> bytes:
    tree = _draw()(rng)
    try:
        return yaml.dump(tree, allow_unicode=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except ValueError:
        return repr(tree).encode("utf-8", "surrogatepass")


def _override(rng: Random) -> str:
    key = rng.choice(
        (rng.choice(_keys()), rng.choice(_keys()) + ".x", rng.choice(ODD_TEXTS), ".".join("a" * 2000), "...")
    )
    return f"{key}{rng.choice(('=', '=', '=', '==', '', ' = '))}{rng.choice((*ODD_VALUES, *ODD_TEXTS))}"


_TRAPS = (
    lambda _: LAUGHS,
    lambda _: MERGES,
    lambda _: "&a [*a, *a]",
    lambda _: "seed: &a\n  x: *a\n",
    lambda rng: "[" * rng.choice((50, 900, 50_000)),
    lambda rng: "{a: " * rng.choice((50, 900, 20_000)),
    lambda rng: "".join(f"{' ' * depth}a:\n" for depth in range(rng.choice((50, 800)))),
    lambda rng: "a: " + "x" * rng.choice((1000, 10**6, 3 * 10**6)),
    lambda rng: "seed: 1\n" * rng.choice((2, 1000, 50_000)),
    lambda rng: "labels: {names: [" + "x, " * rng.choice((1000, 100_000)) + "]}",
    lambda rng: "".join(f"key{n}: {n}\n" for n in range(rng.choice((1000, 30_000)))),
    lambda rng: "x" * rng.choice((10, 10**5)) + ": 1",
    lambda rng: "? " + "[a, " * rng.choice((3, 300)) + "b",
    lambda _: "\ufeffseed: 1",
    lambda rng: rng.choice(ODD_TEXTS) + ": " + rng.choice(ODD_TEXTS),
    lambda rng: "\r".join(["seed: 1", "grid:", "  shape: [16, 16, 16]"]) + rng.choice(ODD_TEXTS),
)


@cache
def _bases() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(CONFIGS.glob("*.yaml")))


@cache
def _sections() -> tuple[dict[str, str], ...]:
    """The shipped configurations, each as the text of its sections."""
    trees = [yaml.safe_load(content) for content in _bases()]
    return tuple({name: yaml.safe_dump({name: part}, sort_keys=False) for name, part in tree.items()} for tree in trees)


@cache
def _keys() -> tuple[str, ...]:
    def walk(tree: dict[str, object], prefix: str) -> list[str]:
        below = [
            key for name, inner in tree.items() if isinstance(inner, dict) for key in walk(inner, f"{prefix}{name}.")
        ]
        return [prefix + name for name in tree] + below

    return tuple(walk(Config().model_dump(), ""))


@cache
def _draw() -> SeededDraw:
    return SeededDraw(TREES)


TARGET = Target(prepare, make, run)

"""What another needs to make the run again, without saying where it lay or on which host."""

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from dcam_dist.analysis.features import origin
from dcam_dist.config import Config
from dcam_dist.report.study import Study
from dcam_dist.runs.changes import leaves
from dcam_dist.runs.places import places
from dcam_dist.runs.provenance import versions


@dataclass(frozen=True)
class Setting:
    """A setting that is not the default."""

    key: str
    value: str
    default: str


@dataclass(frozen=True)
class Reproduction:
    """Versions, hashes, settings and commands.

    Attributes:
        facts: Name and value, for a list.
        changed: Settings that differ from the defaults.
        config: The whole configuration as YAML, without paths.
        commands: What makes the run again, a line each.
        trained_with: Versions that trained.
    """

    facts: tuple[tuple[str, str], ...]
    changed: tuple[Setting, ...]
    config: str
    commands: tuple[str, ...]
    trained_with: Mapping[str, str]


def reproduction(study: Study) -> Reproduction:
    """Collect it from the run, its newest checkpoint and its cohort.

    Raises:
        DataError: When the cohort has no seal.
    """
    config, state = study.run.config, _state(study)
    about = state.get("about", {}) if isinstance(state.get("about"), dict) else {}
    trained = about.get("versions") or versions()
    hashes = origin(study.run, study.cohort)
    last: Mapping[str, Any] = study.metrics[-1] if study.metrics else {}
    checkpoint = study.run.checkpoint
    facts = [
        ("seed", str(config.seed)),
        ("epochs", str(checkpoint.epoch)),
        ("ranks", f"{checkpoint.ranks} in all, with {checkpoint.threads} compute threads each"),
        ("engine", config.training.engine),
        ("precision", config.network.precision),
        ("largest memory of a rank", _memory(last.get("peak_memory_bytes"))),
        ("seconds of an epoch", _seconds(study.metrics)),
        ("weights and clusters, SHA-256", hashes["run_sha256"]),
        ("seal of the cohort", hashes["cohort_seal"]),
        ("configuration, SHA-256", str(about.get("config_sha256", ""))),
        ("trained with", _named(trained)),
        ("report made with", f"{_named(versions())}, on {platform.system()} {platform.machine()}"),
    ]
    return Reproduction(
        tuple((name, value) for name, value in facts if value),
        tuple(_changed(config)),
        yaml.safe_dump(without_paths(config), sort_keys=False),
        _commands(config, checkpoint.ranks),
        trained,
    )


def without_paths(config: Config) -> dict[str, Any]:
    """The configuration as a tree that says nothing of the machine it was on."""
    return config.model_dump(mode="json", exclude=_paths(config))


def _paths(section: BaseModel) -> dict[str, Any]:
    """The settings of a section, and of those within it, that may hold a path, as ``model_dump`` excludes them."""
    found: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            found[name] = _paths(value)
        elif _may_be_path(field.annotation):
            found[name] = True
    return found


def _may_be_path(annotation: object) -> bool:
    return annotation is Path or any(_may_be_path(part) for part in get_args(annotation))


def _changed(config: Config) -> Iterator[Setting]:
    defaults = dict(leaves(without_paths(Config())))
    for key, value in leaves(without_paths(config)):
        if value != defaults.get(key):
            yield Setting(key, _shown(value), _shown(defaults.get(key)))


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _state(study: Study) -> Mapping[str, Any]:
    found = places(study.run.path)
    try:
        tree = json.loads((found[0].folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, IndexError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _commands(config: Config, ranks: int) -> tuple[str, ...]:
    return (
        "dcam-dist ingest SCANS --out COHORT --config config.yaml",
        f"torchrun --standalone --nproc-per-node {ranks} -m dcam_dist train "
        "--config config.yaml data.cohort=COHORT output=RUN",
        "dcam-dist evaluate RUN",
        "dcam-dist maps RUN",
        "dcam-dist report RUN",
    )


def _named(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _memory(value: object) -> str:
    return f"{value / 2**30:.2f} GiB" if isinstance(value, int | float) else ""


def _seconds(metrics: tuple[Mapping[str, Any], ...]) -> str:
    told = [sum(line["seconds"].values()) for line in metrics if isinstance(line.get("seconds"), dict)]
    return f"{sorted(told)[len(told) // 2]:.1f} (median)" if told else ""

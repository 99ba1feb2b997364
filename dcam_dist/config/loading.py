"""YAML files and ``key=value`` overrides into a ``Config``; errors name the file, the key and the nearest known key."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from dcam_dist.config.schema import Config
from dcam_dist.config.strict_yaml import MOST_CHARACTERS, check_plain, parse_yaml
from dcam_dist.errors import UsageError

Tree = dict[str, Any]

_LONGEST_SHOWN = 100


def load_config(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration file and apply overrides.

    Args:
        path: A YAML file; ``None`` for the defaults.
        overrides: Settings as ``section.key=value``, the value in YAML.

    Returns:
        The validated configuration.

    Raises:
        UsageError: A missing or malformed file, an unknown key, or a value out of range.
    """
    tree = read_yaml(Path(path)) if path is not None else {}
    where = str(path) if path is not None else "defaults"
    for override in overrides:
        _apply_override(tree, override)
        where = f"{path or 'defaults'} with overrides"
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UsageError(f"{where}: {first_problem(error, Config)}") from None


def dump_config(config: Config) -> str:
    """The configuration as YAML that ``load_config`` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def read_yaml(path: Path) -> Tree:
    """A YAML file that holds one mapping.

    Raises:
        UsageError: When it is missing or is something else.
    """
    try:
        tree = parse_yaml(_read_text(path))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such configuration file; the shipped ones are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text ({type(error).__name__})") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: a configuration is a mapping of sections, not a {type(tree).__name__}")
    return tree


def _read_text(path: Path) -> str:
    with path.open(encoding="utf-8") as stream:
        return stream.read(MOST_CHARACTERS + 1)


def _apply_override(tree: Tree, override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UsageError(f"{_shown(override)}: settings are written section.key=value")
    try:
        check_plain(key)
        value = parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"{_shown(override)}: {error}") from None
    *sections, name = key.split(".")
    for section in sections:
        child = tree.setdefault(section, {})
        if not isinstance(child, dict):
            raise UsageError(f"{_shown(override)}: {_shown(section)} is not a section")
        tree = child
    tree[name] = value


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong, with the key nearest to an unknown one.

    An unknown key goes before all else: misspelt, it is why another is missing.
    """
    problem = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    path = [str(part) for part in problem["loc"]]
    key = _cut(".".join(path)) or "the whole configuration"
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}{_suggestion(path, model)}"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem.get("input")
    shown = "" if isinstance(value, Mapping | BaseModel) else f" (got {_shown(value)})"
    return f"{key}: {message}{shown}"


def _shown(value: object) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _suggestion(path: list[str], model: type[BaseModel]) -> str:
    known = list(_known_keys(model))
    wanted = ".".join(path)
    by_name = [key for key in known if key.rsplit(".", 1)[-1] == path[-1]]
    near = by_name or difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    near = near or difflib.get_close_matches(path[-1], known, n=1, cutoff=0.3)
    return f"; did you mean {near[0]}?" if near else ""


def _known_keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, info in model.model_fields.items():
        yield prefix + name
        for kind in (info.annotation, *get_args(info.annotation)):  # a section, or a section or null
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _known_keys(kind, f"{prefix}{name}.")

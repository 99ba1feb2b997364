"""The reference of the command line, from the verbs themselves."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo

from dcam_dist.commands import app

SENTENCE = re.compile(r"(?s).*?[.?](?=\s|$)|.*")
NAMES: dict[Any, str] = {int: "whole number", float: "number", str: "text", Path: "path"}


@dataclass(frozen=True)
class Taken:
    """What a verb takes: an argument or an option.

    Attributes:
        name: Of the function's parameter.
        kind: Its type.
        default: Of the function's parameter; empty where it has to be given.
        told: What typer was told of it.
    """

    name: str
    kind: Any
    default: Any
    told: Any

    @property
    def is_argument(self) -> bool:
        """Whether it is given by its place."""
        return isinstance(self.told, ArgumentInfo)

    @property
    def placeholder(self) -> str:
        """An argument as it stands in the usage line."""
        name = self.told.metavar or self.name.upper()
        return name if self.default is inspect.Parameter.empty or name.startswith("[") else f"[{name}]"

    @property
    def spelt(self) -> str:
        """An option's names and its kind of value."""
        first = [self.told.default] if isinstance(self.told.default, str) else []  # Option("--name") within Annotated
        names = [*first, *(self.told.param_decls or ())] or [f"--{self.name.replace('_', '-')}"]
        spelt = ", ".join(f"`{name}`" for name in names)
        if self.kind is bool:
            return spelt
        return f"{spelt} " + (f"`{self.told.metavar}`".replace("|", "\\|") if self.told.metavar else _values(self.kind))

    @property
    def without(self) -> str:
        """What holds where it is not given."""
        if self.default is inspect.Parameter.empty:
            return "required"
        return "" if self.default is None or isinstance(self.default, bool) else f"`{self.default}`"


def commands(_: Path) -> str:
    """Every verb with its arguments and options, as Markdown."""
    verbs = dict(sorted(_verbs()))
    listed = [f"| [`{name}`](#{name}) | {_cell(_first_sentence(verb))} |" for name, verb in verbs.items()]
    return "\n".join(["| Verb | What it does |", "|---|---|", *listed, *_all(verbs)])


def _verbs() -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in app.registered_commands:
        if command.callback is not None:
            yield command.name or command.callback.__name__.replace("_", "-"), command.callback


def taken(verb: Callable[..., Any]) -> list[Taken]:
    """The arguments and options of a verb, arguments first."""
    hints = get_type_hints(verb, include_extras=True)
    every = [
        Taken(name, get_args(hints[name])[0], parameter.default, get_args(hints[name])[1])
        for name, parameter in inspect.signature(verb).parameters.items()
    ]
    return sorted(every, key=lambda one: not one.is_argument)


def _all(verbs: dict[str, Callable[..., Any]]) -> Iterator[str]:
    for name, verb in verbs.items():
        every = taken(verb)
        places = [one.placeholder for one in every if one.is_argument]
        usage = " ".join([f"dcam-dist {name}", *places, *(["[OPTIONS]"] if len(places) < len(every) else [])])
        yield from ("", f"## {name}", "", _help(verb), "", "```text", usage, "```", "")
        if every:
            yield from ("| Takes | Meaning | Default |", "|---|---|---|", *map(_row, every))


def _row(one: Taken) -> str:
    spelt = f"`{one.placeholder}`".replace("|", "\\|") if one.is_argument else one.spelt
    return f"| {spelt} | {_cell(one.told.help)} | {one.without} |"


def _values(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_values(part) for part in parts if part is not NoneType)
    if origin is list:
        return f"{_values(parts[0])}, may be repeated"
    return " · ".join(f"`{part}`" for part in parts) if origin is Literal else f"*{NAMES[kind]}*"


def _help(verb: Callable[..., Any]) -> str:
    return inspect.cleandoc(verb.__doc__ or "").replace("``", "`")


def _first_sentence(verb: Callable[..., Any]) -> str:
    return next(SENTENCE.finditer(_help(verb)))[0]


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")

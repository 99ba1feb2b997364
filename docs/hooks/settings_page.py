"""The reference of the configuration, from the schema: keys, types, defaults, and what its docstrings say."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dcam_dist.config.schema import Config

BOUNDS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
NAMES: dict[Any, str] = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", Path: "path"}


def settings(_: Path) -> str:
    """Every setting, section by section, as Markdown."""
    return "\n".join(_section(Config, ""))


def _section(model: type[BaseModel], prefix: str) -> Iterator[str]:
    told = field_texts(model)
    plain = {name: field for name, field in model.model_fields.items() if not is_section(field)}
    yield from ("", f"## {prefix.rstrip('.') or 'At the top'}", "", inspect.cleandoc(model.__doc__ or ""), "")
    yield from ("| Key | Values | Default | Meaning |", "|---|---|---|---|")
    for name, field in plain.items():
        yield f"| `{prefix}{name}` | {_values(field.annotation, field.metadata)} | {_default(field)} | {told[name]} |"
    for name, field in model.model_fields.items():
        if is_section(field):
            yield from _section(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]


def is_section(field: FieldInfo) -> bool:
    """Whether a field holds settings of its own."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field, in one line of Markdown; empty where there is none."""
    told = dict.fromkeys(model.model_fields, "")
    (parsed,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    body = parsed.body if isinstance(parsed, ast.ClassDef) else []
    for node, after in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
            text = " ".join(str(ast.literal_eval(after.value)).split())
            told[node.target.id] = text.replace("``", "`").replace("|", "\\|")
    return told


def _values(kind: Any, metadata: list[Any]) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _values(parts[0], list(parts[1:]))
    if origin is Literal:
        return " · ".join(f"`{part}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join("`null`" if part is NoneType else _values(part, metadata) for part in parts)
    if origin is tuple:
        inner = _values(parts[0], [])
        return f"list: {inner}" if parts[-1] is Ellipsis else f"list of {len(parts)}: {inner}"
    bounds = [bound for piece in metadata for bound in _bounds(piece)]
    return " ".join([NAMES.get(kind, str(kind)), ", ".join(bounds)]).strip()


def _bounds(piece: Any) -> Iterator[str]:
    for one in getattr(piece, "metadata", None) or [piece]:
        for name, sign in BOUNDS:
            if getattr(one, name, None) is not None:
                yield f"{sign} {getattr(one, name)}"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return f"`{json.dumps(value, default=str)}`"

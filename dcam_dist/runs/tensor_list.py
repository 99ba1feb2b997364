"""What a safetensors file says that it holds, read without building any of it."""

import json
import struct
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Kinds = dict[str, tuple[tuple[int, ...], torch.dtype]]

MOST_BYTES = 1 << 20
"""Of the list; that of the paper's network has 20 kB."""
_LENGTH = struct.Struct("<Q")
_TYPES = {"F32": torch.float32, "F64": torch.float64}
_Size = Annotated[int, Field(ge=0, lt=2**40)]


class _Listed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    dtype: str
    shape: Annotated[list[_Size], Field(max_length=8)]
    data_offsets: Annotated[list[_Size], Field(min_length=2, max_length=2)]


_LIST = TypeAdapter(dict[str, _Listed])


def header_of(content: bytes) -> Kinds:
    """Shape and type of each tensor of a file, by its name.

    Raises:
        ValueError: When the file has no such list, or one that no bundle has.
    """
    if len(content) < _LENGTH.size:
        raise ValueError("it is cut")
    (length,) = _LENGTH.unpack_from(content)
    if length > min(MOST_BYTES, len(content) - _LENGTH.size):
        raise ValueError("its list of tensors is longer than it can be")
    listed = _listed(content[_LENGTH.size : _LENGTH.size + length])
    if unknown := next((name for name, one in listed.items() if one.dtype not in _TYPES), None):
        raise ValueError(f"{unknown:.60} is of a type that no bundle has, {listed[unknown].dtype:.20}")
    return {name: (tuple(one.shape), _TYPES[one.dtype]) for name, one in listed.items()}


def _listed(text: bytes) -> dict[str, _Listed]:
    try:
        return _LIST.validate_python(json.loads(text))
    except (ValueError, RecursionError):  # of many lines, with the content in them
        raise ValueError("its list of tensors is damaged") from None

"""How many bytes tensors hold, counted operator by operator: also of tensors that have a shape but no memory.

Under ``FakeTensorMode`` operators compute shapes alone, so a step of any size on any machine tells in a second what it
would hold. What operators need inside themselves (workspaces of cuDNN or oneDNN) and what an allocator rounds up or
keeps is not in the figure.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_ALLOCATING = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Is shown every operator that runs while it is entered."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operator and look at it."""
        made = func(*args, **(kwargs or {}))
        self.look_at(func, _tensors((args, kwargs)), _tensors(made))
        return made

    def look_at(self, func: Callable[..., Any], given: list[torch.Tensor], made: list[torch.Tensor]) -> None:
        """An operator, the tensors that it was given and those that it made."""
        raise NotImplementedError


class StorageMeter(_Watching):
    """Counts the storages of all tensors that operators make while it is entered, from making to freeing.

    Views and in-place operators share a storage, which counts once.

    Attributes:
        held_bytes: Held now.
        peak_bytes: The most that was held since ``forget_peak``.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held_bytes = self.peak_bytes = 0
        self._known: dict[int, int] = {}

    def look_at(self, func: Callable[..., Any], given: list[torch.Tensor], made: list[torch.Tensor]) -> None:
        """Count what was made."""
        for tensor in made:
            self.count(tensor)

    def count(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage, if it is not counted already."""
        storage = tensor.untyped_storage()
        if id(storage) in self._known or tensor.device.type == "meta":
            return
        self._known[id(storage)] = storage.nbytes()
        weakref.finalize(storage, self._free, id(storage))
        self.held_bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    def forget_peak(self) -> None:
        """Begin anew from what is held now."""
        self.peak_bytes = self.held_bytes

    def _free(self, key: int) -> None:
        self.held_bytes -= self._known.pop(key)


class TrafficMeter(_Watching):
    """Adds up the bytes of what operators read and write while it is entered; views and bare memory move nothing.

    An operator that reads a tensor twice, or keeps one in a cache, moves more or less than that.

    Attributes:
        moved_bytes: So far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moved_bytes = 0

    def look_at(self, func: Callable[..., Any], given: list[torch.Tensor], made: list[torch.Tensor]) -> None:
        """Count what was read and written."""
        name = str(getattr(func, "overloadpacket", "")).rpartition(".")[2]
        moves = not getattr(func, "is_view", False) and name not in _ALLOCATING
        self.moved_bytes += sum(tensor.nbytes for tensor in (*given, *made)) if moves else 0


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]

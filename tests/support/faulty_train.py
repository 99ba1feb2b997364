"""The command line with faults: ``python -m support.faulty_train FAULT… -- train KEY=VALUE…``, also under torchrun.

A fault is ``KIND@PLACE[.end][:N][+][/RANK]``: at the N-th time (the first) that this process comes to the place, and
with ``+`` at every later time too; on one rank or on all. ``without:GUARD`` takes a guard out. The program itself has
no hook: its functions are replaced from here by name, and signals are real.
"""

import functools
import importlib
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Act = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

PLACES = {
    "start": "dcam_dist.training.train:prepare_job",
    "newest": "dcam_dist.runs.checkpoints:latest_checkpoint",
    "resume": "dcam_dist.training.keeping:resume",
    "extract": "dcam_dist.training.cycle:extract",
    "volume": "dcam_dist.models.network:ClusterNetwork.pooled_features",  # also in each training step
    "cluster": "dcam_dist.training.cycle:cluster",
    "pca": "sklearn.decomposition:PCA.fit",
    "kmeans": "sklearn.cluster:KMeans.fit",
    "cases": "dcam_dist.training.pseudo_labels:cluster_cases",
    "match": "dcam_dist.training.pseudo_labels:match_to_previous",
    "labels": "dcam_dist.distributed.collectives:broadcast_array",
    "reset": "dcam_dist.training.cycle:reset_head",
    "train": "dcam_dist.training.cycle:train",
    "draw": "dcam_dist.training.sampler:draw_batches",
    "forward": "dcam_dist.distributed.ddp:DdpEngine.forward",
    "backward": "dcam_dist.distributed.ddp:DdpEngine.backward",
    "step": "dcam_dist.training.step:train_step",  # with either engine
    "update": "dcam_dist.distributed.ddp:DdpEngine.step",
    "metrics": "dcam_dist.runs.metrics_log:MetricsLog.write",
    "save": "dcam_dist.runs.checkpoints:write_checkpoint",
    "fsync": "os:fsync",
    "rename": "pathlib:Path.rename",
}
"""``module:function`` or ``module:Class.method``."""

SMALL_FILE_BYTES = 2000
SLOW_S = 0.5
_FAULT = re.compile(r"(?P<kind>[a-z]+)@(?P<place>[a-z]+)(?P<end>\.end)?(:(?P<first>\d+))?(?P<on>\+)?(/(?P<rank>\d+))?")


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: A key of ``KINDS``.
        place: A key of ``PLACES``.
        end: After the place's function rather than before it.
        first: At which call of it, from 1.
        on: Also at each later one.
        rank: On which rank; ``None``: on all.
    """

    kind: str
    place: str
    end: bool = False
    first: int = 1
    on: bool = False
    rank: int | None = None


def parse(text: str) -> Fault:
    """Read a fault.

    Raises:
        ValueError: When it is none.
    """
    found = _FAULT.fullmatch(text)
    if found is None or found["kind"] not in KINDS or found["place"] not in PLACES:
        raise ValueError(f"{text!r} is no fault")
    rank = None if found["rank"] is None else int(found["rank"])
    return Fault(found["kind"], found["place"], bool(found["end"]), int(found["first"] or 1), bool(found["on"]), rank)


def main(faults: Sequence[str], arguments: Sequence[str]) -> int:
    """Run the command line with faults; returns its exit code."""
    import dcam_dist.commands.train
    import dcam_dist.training  # noqa: F401
    from dcam_dist.__main__ import main as command_line

    for text in faults:
        if text.startswith("without:"):
            from support.guards import REMOVE

            REMOVE[text.removeprefix("without:")]()
        else:
            put_in(parse(text))
    sys.argv = ["dcam-dist", *arguments]
    return command_line()


def put_in(fault: Fault) -> None:
    """Have a fault happen in this process, if it is of the fault's rank."""
    if fault.rank in (None, int(os.environ.get("RANK", "0"))):
        act, calls = KINDS[fault.kind], iter(range(1, sys.maxsize))

        def faulty(original: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
            number = next(calls)
            if number != fault.first and not (fault.on and number > fault.first):
                return original(*arguments, **keywords)
            if not fault.end:
                return act(original, arguments, keywords)
            result = original(*arguments, **keywords)
            return act(lambda *_, **__: result, arguments, keywords)

        replace(PLACES[fault.place], faulty)


def replace(path: str, new: Callable[..., Any]) -> None:
    """Replace a function wherever the loaded modules hold it.

    Args:
        path: ``module:function`` or ``module:Class.method``.
        new: Called with the original and its arguments.
    """
    module_name, _, name = path.partition(":")
    holder: Any = importlib.import_module(module_name)
    *classes, attribute = name.split(".")
    for part in classes:
        holder = getattr(holder, part)
    original = getattr(holder, attribute)

    @functools.wraps(original)
    def replaced(*arguments: Any, **keywords: Any) -> Any:
        return new(original, *arguments, **keywords)

    setattr(holder, attribute, replaced)
    for module in [m for key, m in sys.modules.items() if key.split(".")[0] == "dcam_dist" and not classes]:
        for key, value in list(vars(module).items()):
            if value is original:
                setattr(module, key, replaced)


def _signal_self(number: signal.Signals) -> Act:
    def act(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        os.kill(os.getpid(), number)
        return original(*arguments, **keywords)

    return act


def _out_of_memory(*_: Any) -> Any:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB")


def _poison(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Make the volumes of a forward pass NaN."""
    engine, volume, *others = arguments
    return original(engine, volume * float("nan"), *others, **keywords)


def _perturb(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return (original(*arguments, **keywords) + 1) % 2


def _one_less(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return original(*arguments, **keywords)[:-1]


def _constant(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return original(*arguments, **keywords) * 0.0 + 1.0


def _twins(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Cluster as if the network gave the first case's features for all but the last two."""
    from dataclasses import replace as changed

    import numpy as np

    features, *others = arguments
    cases = len(features.features_NC)
    row_N = np.where(np.arange(cases) < cases - 2, 0, np.arange(cases))
    return original(changed(features, features_NC=features.features_NC[row_N]), *others, **keywords)


def _alike(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Cluster as if the network gave the first case's features for all of them."""
    from dataclasses import replace as changed

    features, *others = arguments
    return original(changed(features, features_NC=0 * features.features_NC + 1), *others, **keywords)


def _spoil(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Make a weight NaN."""
    result = original(*arguments, **keywords)
    next(arguments[0].network.parameters()).data.view(-1)[0] = float("nan")
    return result


def _full(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """From here on no file may grow beyond a few bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILE_BYTES, SMALL_FILE_BYTES))
    return original(*arguments, **keywords)


def _older(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """As on a node whose file system shows old directory entries."""
    from dcam_dist.runs import read_checkpoint
    from dcam_dist.runs.places import places

    return read_checkpoint(places(arguments[0])[1].folder)


def _behind(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Go on with resetting the head where the others train already."""
    from dcam_dist.types import Phase

    return original(*arguments, **keywords).then(Phase.RESET)


def _random(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Draw from torch's generator, as a dropout would."""
    import torch

    torch.rand(3)
    return original(*arguments, **keywords)


def _slow(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    time.sleep(SLOW_S)
    return original(*arguments, **keywords)


KINDS: dict[str, Act] = {
    "kill": _signal_self(signal.SIGKILL),
    "stop": _signal_self(signal.SIGSTOP),
    "term": _signal_self(signal.SIGTERM),
    "usr": _signal_self(signal.SIGUSR1),
    "oom": _out_of_memory,
    "poison": _poison,
    "perturb": _perturb,
    "short": _one_less,
    "constant": _constant,
    "twins": _twins,
    "alike": _alike,
    "spoil": _spoil,
    "full": _full,
    "older": _older,
    "behind": _behind,
    "random": _random,
    "slow": _slow,
}

if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(main(sys.argv[1:split], sys.argv[split + 1 :]))

"""Kill a process inside a save, again and again: is the checkpoint before it, or the one in hand, there whole?

    python -m benchmarks.save_kills --n 200 --out DIR [--numbers 500000] [--seed 0]

Half of the kills come from outside at a random moment of a save, half in a chosen window of it. All saves go into one
run directory, each process going on after what the kill before it left.
"""

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.save_child import KEEP, WINDOWS, start
from benchmarks.saved_states import index_of, same, state_of
from dcam_dist.errors import DcamError
from dcam_dist.runs import latest_checkpoint, read_checkpoint, run_lock, write_checkpoint
from dcam_dist.runs.places import FOLDER, places

RANDOM = "a random moment"


@dataclass(frozen=True)
class Kill:
    """What one kill met and what came of it.

    Attributes:
        window: Where in a save it struck.
        inside: Whether that save had begun and not ended.
        in_hand: Number of the state that was being saved.
        committed: Of the last one that was saved, from ``state_of``.
        found: Of the one that is read; −1 when none is.
        whole: Whether every bit of it is as it was saved.
        damaged: Folders that bear a checkpoint's name and do not verify.
        unfinished: Entries that the kill left; the next start clears them.
        left: Those that were there after that.
        load_s: Seconds to find, verify and read the newest checkpoint.
    """

    window: str
    inside: bool
    in_hand: int
    committed: int
    found: int
    whole: bool
    damaged: int
    unfinished: int
    left: int
    load_s: float

    @property
    def recovered(self) -> bool:
        """Whether the last saved one, or the one in hand, is there whole, and nothing else is."""
        return self.whole and self.found in (self.committed, self.in_hand) and self.damaged == self.left == 0


def campaign(folder: Path, n: int, seed: int, numbers: int, windows: Sequence[str] = tuple(WINDOWS)) -> list[Kill]:
    """Kill until ``n`` kills have struck inside a save.

    Args:
        folder: Where the run is made.
        n: Kills; the first, third and so on at random moments, the others by window in turn.
        seed: Of the moments.
        numbers: Parameters in each of the three tensors of a state.
        windows: Those to kill in.
    """
    run, rng = folder / "run", np.random.default_rng(seed)
    for index in range(KEEP):
        write_checkpoint(run, state_of(index, numbers=numbers), KEEP)
    began = time.perf_counter()
    write_checkpoint(run, state_of(KEEP, numbers=numbers), KEEP)
    save_s = time.perf_counter() - began
    kills: list[Kill] = []
    inside, index = 0, KEEP
    while inside < n:
        window = RANDOM if inside % 2 == 0 else windows[inside // 2 % len(windows)]
        kills.append(_one_kill(run, index, window, save_s, rng, numbers))
        inside += kills[-1].inside
        if kills[-1].found < 0:
            break
        index = kills[-1].found
    return kills


def _one_kill(run: Path, last: int, window: str, save_s: float, rng: np.random.Generator, numbers: int) -> Kill:
    target, nth = last + 1 + int(rng.integers(3)), int(rng.integers(1, 8))
    chosen = None if window == RANDOM else window
    pid, said = start(run, last + 1, numbers=numbers, window=chosen, target=target, nth=nth)
    lines = [said.readline()]
    if chosen is None:
        while lines[-1] not in (f"begin {target}\n", ""):  # empty: it has ended by itself
            lines.append(said.readline())
        time.sleep(rng.uniform(0, save_s))
        os.kill(pid, signal.SIGKILL)
    lines += said.readlines()
    said.close()
    if os.WTERMSIG(os.waitpid(pid, 0)[1]) != signal.SIGKILL:
        raise RuntimeError(f"the process was not killed but ended, after {lines[-1]!r}")
    numbered = [(word, int(number)) for word, number in map(str.split, lines)]
    done = [number for word, number in numbered if word == "done"]
    return _outcome(run, window, numbered[-1][0] == "begin", numbered[-1][1], max(done, default=last), numbers)


def _outcome(run: Path, window: str, inside: bool, in_hand: int, committed: int, numbers: int) -> Kill:
    unfinished = _unfinished(run)
    with run_lock(run):
        left = _unfinished(run)
        began = time.perf_counter()
        try:
            newest = latest_checkpoint(run)
        except DcamError:
            newest = None
        load_s = time.perf_counter() - began
        found = -1 if newest is None else index_of(newest)
        whole = newest is not None and same(newest, state_of(found, numbers=numbers))
    damaged = sum(not _verifies(place.folder) for place in places(run))
    return Kill(window, inside, in_hand, committed, found, whole, damaged, unfinished, left, round(load_s, 4))


def _unfinished(run: Path) -> int:
    return len(list((run / FOLDER).glob(".*")))


def _verifies(folder: Path) -> bool:
    try:
        read_checkpoint(folder)
    except DcamError:
        return False
    return True


def summary(kills: Sequence[Kill], seed: int, numbers: int, seconds: float) -> dict[str, Any]:
    """The counts, as JSON."""
    inside = [kill for kill in kills if kill.inside]
    loads = [kill.load_s for kill in kills]
    return {
        "n": len(inside),
        "besides": len(kills) - len(inside),
        "seed": seed,
        "numbers": numbers,
        "seconds": round(seconds, 1),
        "unreadable": sum(kill.found < 0 for kill in kills),
        "not_recovered": sum(not kill.recovered for kill in kills),
        "upper_bound_95": 3 / len(inside),
        "in_hand_found": sum(kill.found == kill.in_hand for kill in inside),
        "load_s": {"median": float(np.median(loads)), "p95": float(np.percentile(loads, 95))},
        "windows": {name: sum(kill.window == name for kill in inside) for name in (RANDOM, *WINDOWS)},
        "machine": machine(),
        "kills": [asdict(kill) for kill in kills],
    }


def markdown(result: dict[str, Any]) -> str:
    """The same as a page."""
    n, bound = result["n"], f"(95 % upper bound 3/n = {100 * result['upper_bound_95']:.2g} %)"
    rows = [f"| {window} | {count} |" for window, count in result["windows"].items()]
    return "\n".join(
        [
            "# Kills inside a save",
            "",
            f"`python -m benchmarks.save_kills --n {n} --seed {result['seed']} --numbers {result['numbers']}`, "
            f"{result['seconds']} s on {result['machine']['cores']} cores ({result['machine']['cpu']}).",
            "",
            f"- {result['unreadable']} of {n} SIGKILLs inside a save left nothing readable {bound}",
            f"- {result['not_recovered']} of {n} left anything else than the last saved state or the one in hand, "
            f"whole to the last bit, and no damaged folder {bound}",
            f"- {result['in_hand_found']} of them struck when the state in hand was already in place",
            f"- the newest checkpoint was found, verified and read in {1000 * result['load_s']['median']:.0f} ms "
            f"(p95 {1000 * result['load_s']['p95']:.0f} ms)",
            "",
            f"{result['besides']} more kills came between two saves. States of three tensors of {result['numbers']} "
            "numbers and every other field of a checkpoint; the last two are kept.",
            "",
            "| the kill struck | n |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Run the campaign and write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--numbers", type=int, default=500_000)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="save-kills-") as folder:
        kills = campaign(Path(folder), arguments.n, arguments.seed, arguments.numbers)
    result = summary(kills, arguments.seed, arguments.numbers, time.perf_counter() - started)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "save_kills.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    (arguments.out / "save_kills.md").write_text(markdown(result))
    print(f"{result['unreadable']} of {result['n']} unreadable, {result['not_recovered']} not recovered")


if __name__ == "__main__":
    main()

"""This machine's clock against those of its file systems, and whether it is kept right."""

import re
import tempfile
import time
from pathlib import Path

from dcam_dist.hpc.doctor.command import ask
from dcam_dist.hpc.doctor.line import Line, ok, warn
from dcam_dist.hpc.doctor.machine import Machine

OFF_S = 2.0
"""Some file systems count whole seconds."""


def clock_lines(machine: Machine) -> list[Line]:
    """Look at the files' clocks and at the clock's keeper."""
    places = {"current folder": machine.folder, "TMPDIR": machine.temporary}
    files = [judge_file_clock(name, file_clock_s(folder)) for name, folder in places.items()]
    return [*files, judge_keeper(is_kept(machine))]


def file_clock_s(folder: Path) -> float | None:
    """Seconds by which a fresh file's time is ahead of this machine's; ``None``: no file can be written there."""
    try:
        before = time.time()
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"1")
            file.flush()
            stamped = Path(file.name).stat().st_mtime
        after = time.time()
    except OSError:
        return None
    return apart_s(stamped, before, after)


def apart_s(stamped: float, before: float, after: float) -> float:
    """Seconds by which a time lies after (above 0) or before (below 0) a span."""
    return stamped - after if stamped > after else min(0.0, stamped - before)


def is_kept(machine: Machine) -> bool | None:
    """Whether a time server keeps the clock; ``None``: nobody here knows."""
    answer = ask(["timedatectl", "show", "--property=NTPSynchronized", "--value"], machine.variables)
    if answer is not None and not answer.trouble and answer.out.strip() in ("yes", "no"):
        return answer.out.strip() == "yes"
    answer = ask(["chronyc", "-n", "tracking"], machine.variables)
    if answer is None or answer.trouble:
        return None
    leap = re.search(r"^Leap status\s*:\s*(.+)$", answer.out, flags=re.MULTILINE)
    return None if leap is None else leap[1].strip() != "Not synchronised"


def judge_file_clock(name: str, ahead_s: float | None) -> Line:
    """Whether files bear this machine's time."""
    if ahead_s is None:
        return ok(f"clock: {name}", "cannot be told: no file can be written there")
    if abs(ahead_s) <= OFF_S:
        return ok(f"clock: {name}", "as this machine's")
    way = "ahead of" if ahead_s > 0 else "behind"
    remedy = "runs do not care, their steps are counted; but make and rsync do: ask the administrators"
    return warn(f"clock: {name}", f"its server is {abs(ahead_s):.0f} s {way} this machine", remedy)


def judge_keeper(kept: bool | None) -> Line:
    """Whether the time can be trusted."""
    if kept is None:
        return ok("clock", "cannot be told whether a time server keeps it")
    if kept:
        return ok("clock", "kept by a time server")
    remedy = (
        "ask the administrators: an ingest on several machines uses certificates, which have a beginning and an end"
    )
    return warn("clock", "not kept by a time server", remedy)

"""One batch job, whatever the scheduler."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

JobName = Literal["ingest", "seal", "train", "evaluate", "maps", "report", "benchmarks"]


@dataclass(frozen=True)
class BatchJob:
    """What is asked of a scheduler.

    Attributes:
        name: The kind of the job.
        body: Script of ``launch_scripts`` that does the work.
        arguments: Of that script.
        folder: Where its log, script and record go.
        time: Longest time, ``HH:MM:SS`` or ``D-HH:MM:SS``.
        cores: On each node.
        nodes: Their number.
        gpus: On each node.
        ranks: Processes of a training on each node.
        memory_gb: On each node; ``None``: what the site gives.
        partition: Partition or queue; ``None``: the site's default.
        directives: Further options of the scheduler.
        tasks: Of a job array; 0: none.
        environment: Variables of this job besides the site's.
    """

    name: JobName
    body: str
    arguments: tuple[str, ...]
    folder: Path
    time: str
    cores: int
    nodes: int = 1
    gpus: int = 0
    ranks: int = 1
    memory_gb: int | None = None
    partition: str | None = None
    directives: tuple[str, ...] = ()
    tasks: int = 0
    environment: dict[str, str] = field(default_factory=dict)

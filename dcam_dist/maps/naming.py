"""What the classes of a run are called.

For people, clusters are numbered from 1, and grades from 0 as on their scale; inside the program both count from 0.
"""

from dataclasses import dataclass

from dcam_dist.config import Config


@dataclass(frozen=True)
class ClassNames:
    """Titles and file stems of the head's channels, in their order.

    Attributes:
        kind: ``cluster``, or ``grade`` for supervised runs.
        titles: For people: ``cluster 1`` …, or the names of the grades.
        stems: For files: ``dcam-cluster-1`` …, or ``dcam-grade-0`` ….
        first: Number of the first class: 1, or 0 for grades.
    """

    kind: str
    titles: tuple[str, ...]
    stems: tuple[str, ...]
    first: int


def class_names(config: Config) -> ClassNames:
    """The names of a run's classes."""
    supervised = config.method == "supervised"
    kind = "grade" if supervised else "cluster"
    first = 0 if supervised else 1
    numbers = range(first, first + config.classes)
    titles = config.labels.names if supervised else tuple(f"cluster {number}" for number in numbers)
    return ClassNames(kind, titles, tuple(f"dcam-{kind}-{number}" for number in numbers), first)

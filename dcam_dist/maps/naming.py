"""What the classes of a run are called. Clusters are numbered from 0 inside the program and from 1 for people."""

from dataclasses import dataclass

from dcam_dist.config import Config


@dataclass(frozen=True)
class ClassNames:
    """Titles and file stems of the head's channels, in their order.

    Attributes:
        kind: ``cluster``, or ``grade`` for supervised runs.
        titles: For people: ``cluster 1`` …, or the names of the grades.
        stems: For files: ``dcam-cluster-1`` …, or ``dcam-grade-1`` ….
    """

    kind: str
    titles: tuple[str, ...]
    stems: tuple[str, ...]


def class_names(config: Config) -> ClassNames:
    """The names of a run's classes."""
    supervised = config.method == "supervised"
    kind = "grade" if supervised else "cluster"
    numbers = range(1, config.classes + 1)
    titles = config.labels.names if supervised else tuple(f"cluster {number}" for number in numbers)
    return ClassNames(kind, titles, tuple(f"dcam-{kind}-{number}" for number in numbers))

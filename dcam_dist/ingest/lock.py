"""One writer at a time for a cohort."""

from contextlib import AbstractContextManager
from pathlib import Path

from dcam_dist.cohort.lock import only_holder


def only_writer(cohort: Path) -> AbstractContextManager[None]:
    """Hold the cohort's lock, a file beside it; it is free again when its process ends, however that ends.

    Raises:
        EnvironmentFault: When another process holds it; says which.
    """
    return only_holder(
        cohort.absolute().with_name(f".{cohort.name}.lock"),
        held=lambda who: f"{cohort}: another ingest is writing it{who}; wait for it, or choose another --out",
        unlockable=lambda why: f"{cohort}: cannot be locked ({why}); do not ingest into it twice at once",
    )

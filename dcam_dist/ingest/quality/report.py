"""Write the quality report of a cohort: a page to look at and a table to compute with."""

from pathlib import Path

from dcam_dist.cohort import open_cohort
from dcam_dist.cohort.durable import replace_file
from dcam_dist.ingest.quality.page import page_of
from dcam_dist.ingest.quality.table import rows_of, table_of

PAGE, TABLE = "quality.html", "quality.csv"


def write_quality_report(cohort: Path) -> None:
    """Write ``quality.html`` and ``quality.csv`` into a closed cohort, from its tables and its cases' pictures.

    The same cohort gives the same bytes. Nothing is written that the cohort's tables and pictures do not hold.

    Args:
        cohort: The store; to be sealed again afterwards.

    Raises:
        UsageError: When there is no cohort.
        DataError: When its tables are missing or damaged.
    """
    rows = rows_of(open_cohort(cohort))
    for name, text in ((TABLE, table_of(rows)), (PAGE, page_of(rows, cohort))):
        replace_file(cohort, name, text.encode("utf-8", "replace"))  # tables may hold lone surrogates

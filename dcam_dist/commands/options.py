"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML configuration; the shipped ones are in configs/.")
]
IDENTIFIED = "these objects identify the patient; do not pass them on as they are"
"""Said of DICOM objects on a scan's own slices."""
MovedCohort = Annotated[Path | None, typer.Option("--cohort", help="Where the cohort is now, if it has moved.")]

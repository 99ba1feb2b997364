"""``associate``: what the clusters of a run go with, in the clinic and on the scans."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcam_dist.errors import EnvironmentFault
from dcam_dist.evaluation.association.analysis import Found, analyse
from dcam_dist.evaluation.association.cases import ClusteredCases, clustered_cases
from dcam_dist.evaluation.association.clinical import ClinicalTable, JoinCounts, read_clinical_table
from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.gather import Asked, Gathered, gather
from dcam_dist.evaluation.association.page import differing_line, page_of
from dcam_dist.evaluation.association.tables import COLUMNS, model_note, survival_note, tables_of
from dcam_dist.ingest.quality.table import one_line
from dcam_dist.runs import open_cohort_of, restore_run
from dcam_dist.runs.provenance import versions
from dcam_dist.runs.run_config import replace_file

FOLDER = "association"
JSON_FILE, PAGE_FILE = "association.json", "association.md"
FORMAT = 1
PACKAGES = ("numpy", "scipy", "statsmodels", "lifelines")


@dataclass(frozen=True, eq=False)
class Association:
    """What associating a run came to.

    Attributes:
        cases: The cases and their clusters.
        gathered: The variables.
        found: Descriptions, tests, models.
        join: What became of the table's rows; ``None`` without a table.
        warnings: What to beware of.
        files: What was written.
    """

    cases: ClusteredCases
    gathered: Gathered
    found: Found
    join: JoinCounts | None
    warnings: tuple[str, ...]
    files: tuple[Path, ...]

    def lines(self) -> list[str]:
        """What a terminal is told."""
        return [
            *([f"table: {self.join.line()}"] if self.join else []),
            f"{len(self.cases.records)} cases, by {self.cases.said}",
            differing_line(self.found, self.cases),
            *(f"beware: {one_line(warning)}" for warning in self.warnings),
            *(f"left out: {one_line(f'{one.name}: {one.why}')}" for one in self.gathered.left_out),
        ]


def associate(
    run: str | Path,
    *,
    table: Path | None = None,
    id_column: str | None = None,
    asked: Asked | None = None,
    cohort: str | Path | None = None,
    out: Path | None = None,
) -> Association:
    """Compare the clusters of a finished run in all variables that are known of its cases, and write what was found.

    The cases are those of ``clusters.csv``, where ``evaluate`` has written it, else those of the training split. The
    variables are the columns of the table, the cohort's covariates and densitometry.

    Args:
        run: The run.
        table: A CSV file with a row a case, or ``None``: the cohort's own variables alone.
        id_column: The table's column of ids; see ``read_clinical_table``.
        asked: What the user says of columns.
        cohort: Where the cohort is now, when it has moved.
        out: The folder; ``RUN/association`` without.

    Raises:
        UsageError: No run, cohort or table at a path, or no column of a name.
        DataError: The run, the table or its survival columns cannot be used.
        EnvironmentFault: A package of the extra ``association`` is missing, or the folder cannot be written.
    """
    restored = restore_run(run)
    opened = open_cohort_of(restored, cohort)
    cases = clustered_cases(restored, opened)
    case_id_N = [record.case_id for record in cases.records]
    clinical = None if table is None else read_clinical_table(table, opened, case_id_N, id_column)
    asked = asked or Asked()
    columns = {} if clinical is None else clinical.columns
    gathered = gather(cases.records, opened.description.label_names, columns, asked)
    found = analyse(cases, gathered)
    warnings = (*cases.warnings(), *gathered.notes, *_model_warnings(found, cases))
    folder = Path(run) / FOLDER if out is None else out
    tree = _tree(cases, gathered, found, clinical, asked, warnings) | {"table_sha256": _digest(table)}
    join = "" if clinical is None else clinical.counts.line()
    content = tables_of(found, cases) | {
        PAGE_FILE: page_of(found, cases, gathered, join, warnings),
        JSON_FILE: json.dumps(tree, indent=1, allow_nan=False),
    }
    files = _write(folder, content)
    return Association(cases, gathered, found, None if clinical is None else clinical.counts, warnings, files)


def _model_warnings(found: Found, cases: ClusteredCases) -> list[str]:
    variables_of: dict[str, list[str]] = {}
    for one in found.modelled:
        if note := model_note(one.model, cases):
            variables_of.setdefault(note, []).append(one.model.name)
    models = [
        f"{names[0] if len(names) == 1 else f'{len(names)} variables'}, adjusted: {note}"
        for note, names in variables_of.items()
    ]
    survival = [(row, survival_note(row, cases)) for row in found.survival]
    of = ["" if row.cluster is None else f", {cases.title(row.cluster)}" for row, _ in survival]
    said = [f"survival, {row.analysis}{who}: {note}" for (row, note), who in zip(survival, of, strict=True) if note]
    return [*models, *said]


def _write(folder: Path, content: dict[str, str]) -> tuple[Path, ...]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in COLUMNS:
            if name not in content:  # of an earlier call that had more to say
                (folder / name).unlink(missing_ok=True)
        for name, text in content.items():
            replace_file(folder / name, text.encode())
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be written ({error.strerror})") from None
    return tuple(folder / name for name in content)


def _tree(
    cases: ClusteredCases,
    gathered: Gathered,
    found: Found,
    clinical: ClinicalTable | None,
    asked: Asked,
    warnings: Sequence[str],
) -> dict[str, Any]:
    sizes = np.bincount(cases.cluster_N, minlength=cases.clusters).tolist()
    return {
        "format": FORMAT,
        "cases": len(cases.records),
        "clusters_from": cases.said,
        "kind": cases.kind,
        "clusters": [{"number": k + cases.first, "cases": size} for k, size in enumerate(sizes)],
        "reference_order": [cluster + cases.first for cluster in found.reference_order],
        "join": None if clinical is None else asdict(clinical.counts),
        "settings": asdict(asked),
        "adjusted_for": [variable.name for variable in gathered.adjust],
        "survival": None
        if gathered.outcome is None
        else {"time": gathered.outcome.time_name, "event": gathered.outcome.event_name},
        "variables": [_entry(variable) for variable in gathered.variables],
        "left_out": [asdict(one) for one in gathered.left_out],
        "warnings": list(warnings),
        "versions": versions(PACKAGES),
    }


def _entry(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "source": variable.source,
        "kind": variable.kind,
        "known": int(variable.known.size),
        "levels": [] if variable.kind == "numeric" else list(variable.levels),
    }


def _digest(table: Path | None) -> str | None:
    """What identifies the table without its name, which may be a patient's."""
    return None if table is None else hashlib.sha256(table.read_bytes()).hexdigest()

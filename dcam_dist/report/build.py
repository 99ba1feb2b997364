"""``report``: gather what was found by a run, and write it as one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.maps.scene import Scene
from dcam_dist.offline_page import write_page
from dcam_dist.report.asked import asked_case, viewer_case
from dcam_dist.report.cards import Card, Seen, cards_of, look_at
from dcam_dist.report.case_data import case_data
from dcam_dist.report.compare import with_others
from dcam_dist.report.confounding import Confounding, confounding
from dcam_dist.report.curves import Chart, charts, last_value
from dcam_dist.report.differences import Difference, by_source
from dcam_dist.report.elsewhere import ASSOCIATION, FAITHFULNESS, Findings, read_findings
from dcam_dist.report.facts import Facts
from dcam_dist.report.findings import Finding, findings
from dcam_dist.report.methods_text import methods_text
from dcam_dist.report.placing import choose_shown
from dcam_dist.report.reproduction import Reproduction, reproduction
from dcam_dist.report.scatter import planes
from dcam_dist.report.scores import SplitTable, read_scores, split_tables
from dcam_dist.report.steadiness import Steadiness, steadiness
from dcam_dist.report.study import Study, open_study
from dcam_dist.report.variables import variables_of
from dcam_dist.report.verdicts import Verdict, verdicts
from dcam_dist.report.viewer import ViewerCase, ViewerParts, viewer_parts

REPORT = "report.html"


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the page shows, section by section.

    Attributes:
        title: Of the page.
        kind: ``cluster`` or ``grade``.
        classes: What the classes are called.
        counts: Name and number, for the head of the page.
        verdicts: The questions that are asked first.
        warnings: What must be known before any figure is believed.
        tables: Table 1, test and train; empty without an evaluation.
        compared: The runs in it, this one first.
        curves: How training went.
        data: The cases, for the page's script.
        without_umap: Why UMAP is left out; empty where it is not.
        cards: One for each class.
        viewer: The 3D viewer; ``None`` where no case could be read.
        differences: Densitometry and covariates over the classes.
        left_out: Columns that are not looked at, and why.
        steadiness: Whether clusters come again; ``None`` for a supervised run.
        confounding: Whether they are scanners.
        faithfulness: Of the maps, where it was measured.
        association: With clinical variables, where it was measured.
        methods: Paragraphs for a paper.
        reproduction: What makes the run again.
    """

    title: str
    kind: str
    classes: tuple[str, ...]
    counts: tuple[tuple[str, str], ...]
    verdicts: tuple[Verdict, ...]
    warnings: tuple[Finding, ...]
    tables: tuple[SplitTable, ...]
    compared: tuple[str, ...]
    curves: tuple[Chart, ...]
    data: Mapping[str, Any]
    without_umap: str
    cards: tuple[Card, ...]
    viewer: ViewerParts | None
    differences: tuple[Difference, ...]
    left_out: tuple[str, ...]
    steadiness: Steadiness | None
    confounding: Confounding
    faithfulness: Findings | None
    association: Findings | None
    methods: tuple[str, ...]
    reproduction: Reproduction


def write_report(
    run: str | Path,
    *,
    cohort: str | Path | None = None,
    out: str | Path | None = None,
    case_ids: Sequence[str] = (),
    compare: Sequence[str | Path] = (),
) -> Path:
    """Write a finished run's report: one HTML file that needs nothing else, neither a network nor the run.

    Args:
        run: The run's directory.
        cohort: Where its cohort is now, when it has moved.
        out: The file; ``None``: ``RUN/report.html``.
        case_ids: Cases of the 3D viewer; none: the most typical case of each class.
        compare: Other runs of the same cohort, evaluated, whose rows are put into Table 1.

    Returns:
        The file.

    Raises:
        UsageError: No finished run or not its cohort, no file can be at ``out``, no such case, or a run that cannot be
            compared.
        DataError: A damaged checkpoint or table, or no training case that can be read.
        EnvironmentFault: The file cannot be written.
    """
    from dcam_dist.report.render import render

    path = Path(run) / REPORT if out is None else Path(out)
    if out is not None:
        _check_place(path)
    study = open_study(Path(run), None if cohort is None else Path(cohort))
    page = render(gather(study, case_ids, [Path(other) for other in compare]))
    try:
        write_page(path, page)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file with --out")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: its folder does not exist; make it, or choose another --out")


def gather(study: Study, case_ids: Sequence[str] = (), compare: Sequence[Path] = ()) -> Report:
    """Everything that the page shows of a study.

    Args:
        study: The run and its cases.
        case_ids: Cases of the 3D viewer; none: the most typical case of each class.
        compare: Other runs, whose rows are put into Table 1.

    Raises:
        UsageError: No such case, or a run that cannot be compared.
        DataError: When no training case has a class.
    """
    if not study.placed.case_id_N:
        raise DataError(f"{study.run.path}: none of its training cases can be read; mend the cohort first")
    config, variables = study.run.config, variables_of(study.cases)
    scores = read_scores(study.evaluation)
    rows, compared = with_others(study, scores, compare)
    scenes, shown = [asked_case(study, case_id) for case_id in case_ids], choose_shown(study.placed)
    seen = look_at(study.run, study.cohort, shown, None if scenes else partial(_keep, study, scenes))
    steady = _steadiness(study)
    confounded = confounding(variables.acquisition, study.cluster_N, study.names.titles, study.names.kind)
    facts = _facts(study, scores, steady, confounded, seen)
    drawn, without_umap = planes(study.placed.points_NP, config.seed)
    made, found = reproduction(study), by_source(variables, study.cluster_N, study.classes)
    return Report(
        title=f"{study.names.kind.capitalize()}s of {len(study.cases)} chest CT scans · {config.method}",
        kind=study.names.kind,
        classes=study.names.titles,
        counts=_counts(study),
        verdicts=verdicts(facts),
        warnings=findings(facts),
        tables=split_tables(rows) if scores else (),
        compared=compared,
        curves=charts(study.metrics, study.names.titles, study.sizes(train=True).tolist()),
        data=case_data(study, drawn),
        without_umap=without_umap,
        cards=cards_of(study, found, shown, seen),
        viewer=viewer_parts(scenes, study.names) if scenes else None,
        differences=found,
        left_out=variables.left_out,
        steadiness=steady,
        confounding=confounded,
        faithfulness=read_findings(study.run.path / FAITHFULNESS),
        association=read_findings(study.run.path / ASSOCIATION),
        methods=methods_text(study, steady=steady is not None, versions=made.trained_with),
        reproduction=made,
    )


def _keep(study: Study, scenes: list[ViewerCase], scene: Scene, class_id: int) -> None:
    scenes.append(viewer_case(study, scene, f"A typical case of {study.names.titles[class_id]}"))


def _steadiness(study: Study) -> Steadiness | None:
    if study.run.checkpoint.clustering is None or len(study.placed.case_id_N) < study.classes:
        return None
    config, placed = study.run.config, study.placed
    return steadiness(placed.features_NC, placed.class_N, config.clustering, config.seed)


def _facts(
    study: Study, scores: Mapping[str, Any], steady: Steadiness | None, confounded: Confounding, seen: Seen
) -> Facts:
    return Facts(
        method=study.run.config.method,
        names=study.names,
        size_K=study.sizes(train=True),
        labelled=study.labelled,
        scores=scores,
        confounding=confounded,
        steadiness=steady,
        heads_KK=study.heads_KK,
        patients=study.patients,
        cases=len(study.cases),
        settled=last_value(study.metrics, "nmi_previous"),
        set_aside=len({case.case_id for case in study.set_aside}),
        quarantined=len(study.cohort.quarantine),
        outdated=study.outdated,
        unreadable=seen.damaged,
    )


def _counts(study: Study) -> tuple[tuple[str, str], ...]:
    sizes = _split_sizes(study)
    return (
        ("method", study.run.config.method),
        (f"{study.names.kind}s", str(study.classes)),
        ("training cases", str(sizes["train"])),
        ("test cases", str(sizes["test"])),
        ("patients", str(study.patients)),
        ("with a label", str(study.labelled)),
        ("epochs", str(study.run.checkpoint.epoch)),
    )


def _split_sizes(study: Study) -> dict[str, int]:
    train = int(np.count_nonzero(study.is_train_N))
    return {"train": train, "test": len(study.cases) - train}

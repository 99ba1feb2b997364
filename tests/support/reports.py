"""Studies of made-up cases, as tables alone, and the report of one: thousands of cases at once, called whatever."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from dcam_dist.cohort import CohortDescription
from dcam_dist.cohort.store import Cohort
from dcam_dist.config import Config
from dcam_dist.maps.naming import class_names
from dcam_dist.report.build import Report
from dcam_dist.report.cards import Seen, cards_of
from dcam_dist.report.case_data import case_data
from dcam_dist.report.confounding import confounding
from dcam_dist.report.curves import charts
from dcam_dist.report.differences import by_source
from dcam_dist.report.facts import Facts
from dcam_dist.report.findings import findings
from dcam_dist.report.methods_text import methods_text
from dcam_dist.report.placing import Placed, choose_shown, margins
from dcam_dist.report.reproduction import Reproduction
from dcam_dist.report.scatter import Plane
from dcam_dist.report.study import Study
from dcam_dist.report.variables import variables_of
from dcam_dist.report.verdicts import verdicts
from dcam_dist.runs import RestoredRun
from dcam_dist.types import CaseRecord, Geometry

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(2)</script>",
    "{{7*7}}",
    "x" * 300,
    "\u202eevil \u05e9\u05dc\u05d5\u05dd",
    "<!--<script>",
    "'\u2028&amp;`${1}`",
)
GEOMETRY = Geometry.from_matrix((8, 8, 8), np.diag([2.0, 2.0, 3.0, 1.0]))


def made_up_study(cases: int, *, hostile: bool = False, labelled: bool = True) -> Study:
    """Six clusters of cases that lie around six places; with hostile names everywhere, if wanted."""
    rng, config = np.random.default_rng(7), Config()
    kernels = HOSTILE if hostile else ("B31f", "B60f", "STANDARD", "BONE")
    labels = tuple(f"{name}{k}" for k, name in enumerate(HOSTILE[:6])) if hostile else config.labels.names
    records = tuple(
        CaseRecord(
            case_id=f"{HOSTILE[row % len(HOSTILE)]}-{row}" if hostile else f"case-{row:04d}",
            patient_key=f"p{row}",
            split="test" if row % 5 == 4 else "train",
            label=int(rng.integers(6)) if labelled else -100,
            scan=GEOMETRY,
            native=GEOMETRY,
            grid=GEOMETRY,
            covariates={
                "kernel": kernels[int(rng.integers(len(kernels)))],
                "age": str(int(rng.integers(45, 80))),
                HOSTILE[1] if hostile else "sex": kernels[int(rng.integers(2))]
                if hostile
                else "FM"[int(rng.integers(2))],
            },
            densitometry={"laa950": float(rng.gamma(2, 4)), "mean_hu": float(rng.normal(-850, 20))},
        )
        for row in range(cases)
    )
    cohort = Cohort(Path("cohort.zarr"), CohortDescription(config.grid, labels), records, ())
    train = [row for row, record in enumerate(records) if record.split == "train"]
    class_N = rng.integers(6, size=len(train))
    centres_KP = rng.normal(0, 6, (6, 8))
    points_NP = (centres_KP[class_N] + rng.normal(0, 1.2, (len(train), 8))).astype(np.float32)
    far_NK = np.linalg.norm(points_NP[:, None] - centres_KP, axis=2).astype(np.float32)
    names = class_names(config)
    names = (
        replace(names, titles=tuple(f"{title} {HOSTILE[k]}" for k, title in enumerate(names.titles)))
        if hostile
        else names
    )
    cluster_N = rng.integers(6, size=cases)
    cluster_N[train] = class_N
    return Study(
        run=RestoredRun(Path("run"), config, None, SimpleNamespace(clustering=None, epoch=5), None),  # type: ignore[arg-type]
        cohort=cohort,
        names=names,
        placed=Placed(
            tuple(records[row].case_id for row in train),
            class_N,
            points_NP,
            points_NP,
            far_NK,
            margins(far_NK, class_N, relative=True),
        ),
        cluster_N=cluster_N,
        head_N=np.where(rng.random(cases) < 0.9, cluster_N, 0),
        evaluation=None,
        outdated=0,
        metrics=tuple(
            {"epoch": e, "loss": 1.8 / (1 + e), "silhouette": 0.1 * e, "cluster_sizes": [10, 20, 30, 5, 0, e]}
            for e in range(5)
        ),
        set_aside=(),
    )


def made_up_report(study: Study) -> Report:
    """The report of a made-up study, without what needs a network: pictures, the viewer and hashes."""
    variables = variables_of(study.cases)
    titles, kind, placed = study.names.titles, study.names.kind, study.placed
    confounded = confounding(variables.acquisition, study.cluster_N, titles, kind)
    facts = Facts("dcam", study.names, study.sizes(train=True), study.labelled, {}, confounded)
    plane = [Plane(key, key.upper(), ("1", "2"), placed.points_NP[:, :2].astype(float)) for key in ("pca", "umap")]
    found = by_source(variables, study.cluster_N, 6)
    versions = {"dcam-dist": "0.1.0", "torch": "2"}
    return Report(
        title=f"Clusters of {len(study.cases)} chest CT scans · dcam",
        kind=kind,
        classes=titles,
        counts=(("method", "dcam"), ("clusters", "6")),
        verdicts=verdicts(facts),
        warnings=findings(facts),
        tables=(),
        compared=("dcam",),
        curves=charts(study.metrics, titles),
        data=case_data(study, plane),
        without_umap="",
        cards=cards_of(study, found, choose_shown(placed), Seen({}, {}, (), {})),
        viewer=None,
        differences=found,
        left_out=variables.left_out,
        steadiness=None,
        confounding=confounded,
        faithfulness=None,
        association=None,
        methods=methods_text(study, steady=False, versions=versions),
        reproduction=Reproduction((("seed", "0"),), (), "seed: 0\n", ("dcam-dist report RUN",), versions),
    )

"""All scans of a call together: ``summary.csv``, ``quarantine.json``, and what the console shows."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dcam_dist.cohort.layout import write_json
from dcam_dist.inference.answer import Answer
from dcam_dist.inference.place import QUARANTINE, SUMMARY
from dcam_dist.inference.reconstructions import Pair, in_words
from dcam_dist.inference.words import FIELDS
from dcam_dist.ingest.quality.advice import what_to_do
from dcam_dist.ingest.quality.table import plain_text
from dcam_dist.runs import Bundle
from dcam_dist.runs.run_config import replace_file
from dcam_dist.runs.trained_on import THICKNESS
from dcam_dist.types import QuarantineEntry

DONE = "done"
PROBABILITY = "probability_by_the_head"
"""Of the class that is answered, the nearest centroid's; not how sure that is."""
SHARE_WON = "share_won"


@dataclass(frozen=True, eq=False)
class InferSummary:
    """What became of the scans.

    Attributes:
        out: The folder.
        bundle: The model.
        answers: Scans with an answer, by id.
        quarantined: Scans set aside, by id.
        pairs: Reconstructions of one acquisition.
    """

    out: Path
    bundle: Bundle
    answers: tuple[Answer, ...]
    quarantined: tuple[QuarantineEntry, ...]
    pairs: tuple[Pair, ...]

    @property
    def disagreements(self) -> list[str]:
        """Reconstructions of one acquisition that are told different things, a line a pair."""
        return [in_words(pair) for pair in self.pairs if pair.disagree]

    def notes(self) -> list[str]:
        """What this model cannot tell of any scan."""
        found, rule = [], self.bundle.outliers
        if rule is not None and self.answers and self.answers[0].tree["out_of_distribution"] is None:
            found.append(
                f"{round(1 / rule.smallest_p) - 1} training scans are too few to find scans unlike them: no p-value is "
                f"below {rule.smallest_p:.2g}"
            )
        if self.bundle.trained_on is None:
            found.append("the model does not say what it was trained on, so scans are not compared with that")
        return found


def write_summary(summary: InferSummary) -> None:
    """Write both tables.

    Raises:
        OSError: When they cannot be written.
    """
    text = io.StringIO(newline="")
    kind = "grade" if summary.bundle.model.clustering is None else "cluster"
    rows = [*map(_row, summary.answers), *map(_aside, summary.quarantined)]
    writer = csv.DictWriter(text, columns(kind), restval="")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["case_id"]))
    replace_file(summary.out / SUMMARY, text.getvalue().encode())
    aside = [{**_without_picture(entry), "what_to_do": what_to_do(entry.reason)} for entry in summary.quarantined]
    write_json(summary.out / QUARANTINE, aside)


def columns(kind: str) -> Sequence[str]:
    """The columns of ``summary.csv``."""
    return (
        *(
            "case_id",
            "status",
            kind,
            f"{kind}_title",
            f"{kind}_of_the_head",
            PROBABILITY,
            SHARE_WON,
            "distance",
            "margin",
        ),
        *("p_value", "out_of_distribution", *FIELDS, "kernel", THICKNESS, "disagrees_with", "flags"),
        *("warnings", "warning"),
    )


def _row(answer: Answer) -> dict[str, str]:
    tree, title, kind = answer.tree, answer.title, answer.kind
    distances = tree["distances_to_centroids"]
    disagrees = [other["case_id"] for other in tree["other_reconstructions"] if other["disagrees"]]
    return {
        "case_id": answer.case_id,
        "status": DONE,
        kind: str(answer.number),
        f"{kind}_title": plain_text(title),
        f"{kind}_of_the_head": str(answer.head_number),
        PROBABILITY: _number(tree["probabilities"][title]),
        SHARE_WON: _number(tree["share_won"][title]),
        "distance": _number(None if distances is None else distances[title]),
        "margin": _number(tree["margin"]),
        "p_value": _number(tree["p_value"]),
        "out_of_distribution": "" if tree["out_of_distribution"] is None else str(int(tree["out_of_distribution"])),
        **{name: _number(answer.densitometry.get(name)) for name in FIELDS},
        "kernel": plain_text(answer.kernel),
        THICKNESS: tree["scanner"].get(THICKNESS, ""),
        "disagrees_with": " ".join(disagrees),
        "flags": " ".join(tree["flags"]),
        "warnings": str(len(tree["warnings"])),
        "warning": plain_text(" ".join(tree["warnings"])),
    }


def _aside(entry: QuarantineEntry) -> dict[str, str]:
    return {
        "case_id": entry.case_id,
        "status": entry.reason,
        "flags": " ".join(entry.also),
        "warning": plain_text(entry.detail),
    }


def _without_picture(entry: QuarantineEntry) -> dict[str, object]:
    return {name: value for name, value in asdict(entry).items() if name != "picture"}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"

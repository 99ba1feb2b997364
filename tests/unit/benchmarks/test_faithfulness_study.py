"""The study of faithful maps, on tiny data."""

import json

from benchmarks import faithfulness


def test_the_study_puts_its_seeds_together(tmp_path):
    out, results = tmp_path / "work", tmp_path / "results"
    given = ["--out", str(out), "--results", str(results), "--seeds", "5", "--cases", "4", "--smoke"]
    faithfulness.main(given)
    assert {path.name for path in results.iterdir()} == {"study.json", "study.md", "figure.png"}
    tree = json.loads((results / "study.json").read_text(encoding="utf-8"))
    reported = [case for case in tree["seeds"]["5"]["dcam"]["cases"] if case["split"] == "test"]
    together = tree["together"]["baseline"]["cam"]["auprc/laa950"]
    assert together["n"] == len(reported) > 0
    text = (results / "study.md").read_text(encoding="utf-8")
    assert "seeds 5" in text and "| baseline: CAM |" in text and "| dcam, 5 | " in text
    before = (out / "seed-5" / "dcam" / "faithfulness.json").stat().st_mtime_ns
    faithfulness.main(given)  # what is there is not made again
    assert (out / "seed-5" / "dcam" / "faithfulness.json").stat().st_mtime_ns == before

"""A run in MLflow's files, written and read by the real package, with the network out of reach."""

import json
import socket
import subprocess
import sys

import pytest

from dcam_dist.config import load_config
from dcam_dist.errors import DataError, EnvironmentFault, StopRequested
from dcam_dist.runs.metrics_log import open_metrics

pytest.importorskip("mlflow", reason="the extra mlflow is not installed")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was to be connected")

    for name in ("connect", "connect_ex", "sendto", "listen"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "dcam one"
    folder.mkdir(parents=True)
    return folder


def config_of(run, **settings):
    chosen = {"output": run, "data.cohort": run.parent / "SECRET^NAME.zarr", "training.mlflow": run.parent / "ml flow"}
    return load_config(None, [f"{name}={value}" for name, value in {**chosen, **settings}.items()])


def write(run, completed, epochs, loss=1.0, **settings):
    with open_metrics(run, config_of(run, **settings), completed) as log:
        for epoch in epochs:
            log.write({"epoch": epoch, "loss": loss, "seconds": {"train": 2.0}, "nmi_previous": None, "sizes": [3, 4]})


def stored(run, folder=None):
    """The client and the one run of the store, as another program would open them."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(folder or run.parent / "ml flow").as_uri())
    (experiment,) = [one for one in client.search_experiments() if one.name == "dcam_dist"]
    (one,) = client.search_runs([experiment.experiment_id])
    return client, one


def history(run, name):
    client, one = stored(run)
    return [(metric.step, metric.value) for metric in client.get_metric_history(one.info.run_id, name)]


def test_parameters_metrics_and_versions_are_read_back(run):
    write(run, 0, range(3))
    _, one = stored(run)
    assert one.info.run_name == "dcam one" and one.info.status == "FINISHED"
    assert one.data.params["clustering.clusters"] == "6" and one.data.params["training.optimizer.name"] == '"sgd"'
    assert one.data.params["training.clip_norm"] == "null"
    assert {"version.dcam-dist", "version.torch"} <= one.data.tags.keys()
    assert one.data.metrics == {"loss": 1.0, "seconds/train": 2.0, "sizes/0": 3.0, "sizes/1": 4.0}
    assert history(run, "loss") == [(0, 1.0), (1, 1.0), (2, 1.0)]


def test_no_path_is_among_the_parameters(run):
    write(run, 0, [0], **{"training.deepspeed_config": "/home/SECRET/ds.json", "data.stage": "/scratch/SECRET"})
    _, one = stored(run)
    assert (
        not {"output", "data.cohort", "data.stage", "training.mlflow", "training.deepspeed_config"}
        & one.data.params.keys()
    )
    assert not [
        file for file in (run.parent / "ml flow").rglob("*") if file.is_file() and b"SECRET" in file.read_bytes()
    ]


def test_a_resumed_run_goes_on_with_the_same_mlflow_run_and_tells_each_epoch_once(run):
    write(run, 0, range(3))
    write(run, 2, [2, 3], loss=5.0)
    assert history(run, "loss") == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 5.0)]
    assert stored(run)[1].info.run_id == json.loads((run / "mlflow.json").read_text())["run_id"]


def test_what_was_trained_before_mlflow_was_asked_for_or_its_folder_moved_is_told_too(run):
    write(run, 0, range(2), **{"training.mlflow": "null"})
    assert not (run / "mlflow.json").exists()
    write(run, 2, [2])
    assert [step for step, _ in history(run, "loss")] == [0, 1, 2]
    other = run.parent / "elsewhere"
    write(run, 3, [3], **{"training.mlflow": other})
    client, one = stored(run, other)
    assert [metric.step for metric in client.get_metric_history(one.info.run_id, "loss")] == [0, 1, 2, 3]


@pytest.mark.parametrize("content", ["", "[]", '{"run_id": "gone"}', '{"run_id": "../../x"}'])
def test_a_damaged_id_begins_a_new_mlflow_run(run, content):
    (run / "mlflow.json").write_text(content)
    write(run, 0, [0])
    assert history(run, "loss") == [(0, 1.0)]


@pytest.mark.parametrize(
    ("error", "status"), [(StopRequested("asked to leave"), "KILLED"), (DataError("damaged"), "FAILED")]
)
def test_the_end_is_told_and_a_resumed_run_is_running_again(run, error, status):
    with pytest.raises(type(error)), open_metrics(run, config_of(run), 0):
        raise error
    assert stored(run)[1].info.status == status
    with open_metrics(run, config_of(run), 0):
        assert stored(run)[1].info.status == "RUNNING"
    assert stored(run)[1].info.status == "FINISHED"


def test_a_folder_that_cannot_be_written_is_one_line(run):
    (run.parent / "ml flow").write_text("")
    with pytest.raises(EnvironmentFault, match=r"ml flow: MLflow's files cannot be written \(.+\); ") as caught:
        open_metrics(run, config_of(run), 0)
    assert "\n" not in str(caught.value)


def test_without_the_package_one_line_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'dcam-dist\[mlflow\]'"):
        open_metrics(run, config_of(run), 0)


def test_mlflow_is_imported_on_demand_alone_and_reports_to_nobody(run):
    code = f"""
import os, socket, sys
def refuse(*_): os._exit(9)
for name in ("connect", "connect_ex", "sendto", "listen"): setattr(socket.socket, name, refuse)
socket.getaddrinfo = refuse
for name in ("CI", "PYTEST_CURRENT_TEST", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"): os.environ.pop(name, None)
from pathlib import Path
from dcam_dist.config import load_config
from dcam_dist.runs.metrics_log import open_metrics
assert "mlflow" not in sys.modules
run = Path({str(run)!r})
with open_metrics(run, load_config(None, [f"training.mlflow={{run.parent / 'ml'}}"]), 0) as log:
    log.write({{"epoch": 0, "loss": 1.0}})
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None
print("told")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "told\n", "")

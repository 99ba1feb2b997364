"""A run in MLflow's files (extra ``mlflow``). Nothing is sent: a folder is the only store, and telemetry is off.

This is the one module that imports MLflow, and only where ``training.mlflow`` is set.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcam_dist.config import Config
from dcam_dist.errors import EnvironmentFault, StopRequested
from dcam_dist.runs.provenance import versions
from dcam_dist.runs.run_config import replace_file

log = logging.getLogger(__name__)

ID_FILE = "mlflow.json"
EXPERIMENT = "dcam_dist"
_PER_BATCH = 100  # MLflow's limit for parameters
# read by MLflow at its import; it keeps the file store for us on demand only, and reports its use unless told not to
_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}


class MlflowLog:
    """One run of the experiment ``dcam_dist`` in the files under ``config.training.mlflow``.

    Parameters are the resolved configuration without its paths, metrics those of ``RUN/metrics.jsonl`` with the epoch
    as their step, tags the versions of what computed them. ``RUN/mlflow.json`` keeps the run's id: a resumed training
    goes on with the same MLflow run and tells each metric of an epoch once.

    Args:
        run: The run's directory; its name is the MLflow run's.
        config: The resolved configuration.
        folder: ``config.training.mlflow``.

    Raises:
        EnvironmentFault: When MLflow is not installed, or its files cannot be written; so does ``write``.
    """

    def __init__(self, run: Path, config: Config, folder: Path) -> None:
        self._folder = folder.absolute()
        self._client = _client(self._folder)
        with _written(self._folder):
            self._id = self._known_id(run) or self._new_run(run, config)
            self._client.update_run(self._id, status="RUNNING")
            names = self._client.get_run(self._id).data.metrics
            self._last_step = {
                name: max(metric.step for metric in self._client.get_metric_history(self._id, name)) for name in names
            }

    def write(self, epoch: int, scalars: Iterable[tuple[str, float]]) -> None:
        """Tell the metrics of one epoch, but those that it has of this epoch, or of later ones."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, epoch) for name, value in scalars if self._last_step.get(name, -1) < epoch]
        with _written(self._folder):
            self._client.log_batch(self._id, metrics=metrics)
        self._last_step |= {metric.key: epoch for metric in metrics}

    def close(self, error: BaseException | None) -> None:
        """Say how the run ended: finished, killed where it was asked to leave, failed after an error."""
        stopped = isinstance(error, StopRequested | KeyboardInterrupt)
        status = "FINISHED" if error is None else "KILLED" if stopped else "FAILED"
        try:
            with _written(self._folder):
                self._client.set_terminated(self._id, status)
        except EnvironmentFault as fault:  # the training is over, and has its own word to say
            log.warning("%s", fault)

    def _known_id(self, run: Path) -> str | None:
        """The id of the run that an earlier start has made here, where this folder still holds it."""
        from mlflow.exceptions import MlflowException

        try:
            run_id = str(json.loads((run / ID_FILE).read_text(encoding="utf-8"))["run_id"])
            self._client.get_run(run_id)
        except (FileNotFoundError, ValueError, KeyError, TypeError, MlflowException):
            return None
        return run_id

    def _new_run(self, run: Path, config: Config) -> str:
        from mlflow.entities import Param

        tags = {f"version.{name}": version for name, version in versions().items()}
        made = self._client.create_run(self._experiment(), tags=tags, run_name=run.name)
        parameters = [Param(name, value) for name, value in parameters_of(config).items()]
        for first in range(0, len(parameters), _PER_BATCH):
            self._client.log_batch(made.info.run_id, params=parameters[first : first + _PER_BATCH])
        replace_file(run / ID_FILE, json.dumps({"run_id": made.info.run_id}).encode())
        return str(made.info.run_id)

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        known = self._client.get_experiment_by_name(EXPERIMENT)
        if known is None:
            try:
                return str(self._client.create_experiment(EXPERIMENT))
            except MlflowException:  # another training has made it this very moment
                known = self._client.get_experiment_by_name(EXPERIMENT)
        return str(known.experiment_id)


def parameters_of(config: Config) -> dict[str, str]:
    """The configuration, flat, ``section.key`` each, without its paths: they may name people and places."""
    return dict(_flat(config.model_dump()))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, Path):
            yield prefix + name, json.dumps(value)


def _client(folder: Path) -> Any:
    os.environ.update(_ENVIRONMENT)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise EnvironmentFault(
            f"training.mlflow={folder}: the package {error.name} is missing; install the extra with pip install "
            "'dcam-dist[mlflow]', or leave training.mlflow out"
        ) from None
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=folder.as_uri(), registry_uri=folder.as_uri())


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (OSError, MlflowException) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise EnvironmentFault(
            f"{folder}: MLflow's files cannot be written ({why}); mend this, or leave training.mlflow out"
        ) from None

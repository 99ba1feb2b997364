"""The one decision that depends on the machine: in which type the convolutions compute."""

import logging

from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext, all_true
from dcam_dist.models import choose_precision
from dcam_dist.runs import read_run_config
from dcam_dist.runs.run_config import CONFIG

log = logging.getLogger(__name__)


def resolve_precision(config: Config, context: ProcessContext) -> Config:
    """Replace ``network.precision: auto`` by what the run has used so far, or else by what suits every rank's machine.

    Rank 0 says in one line what was chosen and why.

    Raises:
        UsageError: For fp16 on a CPU.
    """
    run = config.output
    if config.network.precision == "auto" and run is not None and (run / CONFIG).is_file():
        config = _with_precision(config, read_run_config(run).network.precision)
    choice = choose_precision(config.network, context.device)
    chosen = choice.precision if all_true(choice.precision != "fp32", context) else "fp32"
    if context.is_main:
        unlike = "" if chosen == choice.precision else "; fp32, for other ranks' machines are not made for it"
        log.info("%s%s", choice.reason, unlike)
    return _with_precision(config, chosen)


def _with_precision(config: Config, precision: str) -> Config:
    return config.model_copy(update={"network": config.network.model_copy(update={"precision": precision})})

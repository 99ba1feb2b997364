"""The one decision that depends on the machine: in which type the convolutions compute."""

from functools import partial

from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext, all_true
from dcam_dist.models import PrecisionChoice, choose_precision
from dcam_dist.runs import read_run_config
from dcam_dist.runs.run_config import CONFIG
from dcam_dist.training.together import together


def resolve_precision(config: Config, context: ProcessContext, *, fresh: bool = False) -> tuple[Config, str]:
    """Replace ``network.precision: auto`` by what the run has used so far, or else by what suits every rank's machine.

    Args:
        config: What was asked for.
        context: This process; all ranks call together.
        fresh: Whether the run begins anew whatever its directory holds.

    Returns:
        The configuration, and one line on what was chosen and why.

    Raises:
        UsageError: For fp16 on a CPU.
    """
    choice = together(partial(_choose, config, context, fresh=fresh), context)
    chosen = choice.precision if all_true(choice.precision != "fp32", context) else "fp32"
    unlike = "" if chosen == choice.precision else "; fp32, for other ranks' machines are not made for it"
    return _with_precision(config, chosen), choice.reason + unlike


def _choose(config: Config, context: ProcessContext, *, fresh: bool) -> PrecisionChoice:
    run = config.output
    if config.network.precision == "auto" and not fresh and run is not None and (run / CONFIG).is_file():
        config = _with_precision(config, read_run_config(run).network.precision)
    return choose_precision(config.network, context.device)


def _with_precision(config: Config, precision: str) -> Config:
    return config.model_copy(update={"network": config.network.model_copy(update={"precision": precision})})

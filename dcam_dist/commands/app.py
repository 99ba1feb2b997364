"""The command line: one verb each, a thin wrapper of the public function of the same name.

Heavy imports happen inside the verb, so that ``--help`` and shell completion answer at once.
"""

from typing import Annotated

import typer

from dcam_dist.commands.assign import assign
from dcam_dist.commands.associate import associate
from dcam_dist.commands.cluster import cluster
from dcam_dist.commands.console_log import log_to_console
from dcam_dist.commands.demo import demo
from dcam_dist.commands.doctor import doctor
from dcam_dist.commands.evaluate import evaluate
from dcam_dist.commands.export import export
from dcam_dist.commands.faithfulness import faithfulness
from dcam_dist.commands.features import features
from dcam_dist.commands.infer import infer
from dcam_dist.commands.ingest import ingest
from dcam_dist.commands.maps import maps
from dcam_dist.commands.phantom import phantom
from dcam_dist.commands.plan import plan
from dcam_dist.commands.preflight import preflight
from dcam_dist.commands.report import report
from dcam_dist.commands.select_k import select_k
from dcam_dist.commands.status import status
from dcam_dist.commands.submit import submit
from dcam_dist.commands.train import train
from dcam_dist.commands.validate import validate

app = typer.Typer(
    name="dcam-dist",
    help="Unsupervised emphysema subtyping from chest CT with deep clustering activation maps.",
    epilog="Exit codes: 0 done, 2 usage or configuration, 3 data, 4 environment, 75 stopped on request, "
    "130 interrupted. --debug shows tracebacks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    from dcam_dist import __version__

    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    log_to_console()


for verb in (
    *(phantom, ingest, validate),
    *(doctor, plan, preflight),
    *(train, submit, status),
    *(evaluate, maps, associate, faithfulness, report),
    *(export, infer, features, select_k, cluster, assign),
    *(demo,),
):
    app.command()(verb)

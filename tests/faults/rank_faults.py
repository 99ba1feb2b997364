"""Faults of training among ranks: lost, cut off, hanging, elsewhere. Data only; see ``training_faults.py``."""

from faults.ending_faults import DEADLOCK_S
from support.fault_rows import Row, Start

HANG_S = 4
OUT_OF_STEP = r"the ranks are out of step: rank 0 at epoch \d.*; rank 1 at epoch \d"
_HOSTS = "tests/netns/test_two_hosts.py::test_"


def _hanging(place: str) -> Start:
    settings = {"training.timeout_s": HANG_S}
    return Start(4, r"rank 1", 2, (f"stop@{place}/1",), settings, meanwhile="await the hang")


AMONG_RANKS = (
    Row(
        "node-lost",
        "Node lost",
        "S, then R on fewer ranks",
        "two torchruns `--nnodes 1:2` on one machine, one killed with its rank; then one rank",
        tests=(
            "tests/faults/test_training_node_lost.py",
            f"{_HOSTS}a_lost_node_stops_the_other_and_the_training_goes_on_there",
        ),
    ),
    Row(
        "network-cut",
        "Network cut",
        "S, then R",
        "a training over two network namespaces: link down; then link up and the same command, to the last bit",
        tests=(f"{_HOSTS}a_pulled_cable_stops_the_training_on_both_sides_in_time_and_put_back_it_goes_on_to_its_end",),
    ),
    Row(
        "hang",
        "Hang",
        "S within timeout + 5 s, naming the rank",
        f"SIGSTOP of rank 1 of 2 within a step and within the extraction, `training.timeout_s={HANG_S}`",
        (_hanging("update:2"), _hanging("volume:2"), Start(0, ranks=2)),
        "bits",
        tests=("tests/distributed/test_in_step.py::test_a_stopped_rank_is_named_within_timeout_and_five_seconds",),
    ),
    Row(
        "out-of-step",
        "Ranks out of step",
        "S, then R",
        "rank 1 of 2 draws one batch less than rank 0",
        (Start(4, OUT_OF_STEP, 2, ("short@draw/1",), {"training.timeout_s": DEADLOCK_S}), Start(0, ranks=2)),
        "bits",
    ),
    Row(
        "out-of-phase",
        "A rank a phase behind",
        "S, then R",
        "rank 1 of 2 goes on with resetting the head where rank 0 trains already",
        (
            Start(75, ranks=2, faults=("usr@update:2",)),
            Start(4, OUT_OF_STEP, 2, ("behind@resume/1",), {"training.timeout_s": DEADLOCK_S}),
            Start(0, ranks=2),
        ),
        "bits",
    ),
    Row(
        "other-checkpoint",
        "Ranks see different checkpoints",
        "S, then R",
        "rank 1 of 2 reads the one before the newest, as through a stale network file system",
        (
            Start(75, ranks=2, faults=("usr@update:2",)),
            Start(3, r"the ranks have different checkpoints", 2, ("older@newest/1",), {"training.timeout_s": 20}),
            Start(0, ranks=2),
        ),
        "bits",
    ),
)

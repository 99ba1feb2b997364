"""Faults of training that end it, or ask it to end. Data only; see ``training_faults.py``."""

from typing import Literal

from support.fault_rows import Row, Start

LEFT = r"asked to leave by {}.*: saved at epoch \d, \w+.*; run the same command again to go on"
DEADLOCK_S = 4
"""``training.timeout_s`` where a guard's absence ends in ranks that wait for each other."""
_LAUNCHERS = "tests/distributed/test_launchers.py::test_"
_SAVES = "tests/faults/test_checkpoint_damage.py::test_"


def _launched(exits: int, signal: str, launcher: Literal["torchrun", "launch"]) -> Start:
    meanwhile = f"{signal} to the launcher"
    return Start(exits, LEFT.format(signal), 2, ("slow@update+",), meanwhile=meanwhile, launcher=launcher)


ENDINGS = (
    Row(
        "killed",
        "SIGKILL of a rank, in every phase",
        "R",
        "`kill@PLACE` in every phase on one rank or all, and at random moments from outside",
        tests=("tests/faults/test_training_kills.py",),
        results=("benchmarks/results/training_kills/training_kills.json",),
    ),
    Row(
        "killed-in-save",
        "SIGKILL during a save",
        "R, from the checkpoint before",
        "`kill@fsync`, `kill@rename`, before and after, on the rank that writes",
        (
            Start(-9, faults=("kill@fsync:5",)),
            Start(-9, faults=("kill@rename:2",)),
            Start(-9, faults=("kill@rename.end:2",)),
            Start(-9, faults=("kill@save.end:2",)),
            Start(0),
        ),
        "bits",
        tests=(f"{_SAVES}a_kill_anywhere_in_a_save_leaves_the_one_before_or_the_one_in_hand",),
        results=("benchmarks/results/save_kills/save_kills.json",),
    ),
    Row(
        "sigterm",
        "SIGTERM to one rank",
        "S with exit 75 after a save, then R",
        "the signal to rank 1 of 2 within a step, where no save is due",
        (
            Start(
                75,
                LEFT.format("SIGTERM"),
                ranks=2,
                faults=("term@update:2/1",),
                settings={"training.checkpoint_minutes": 60, "training.timeout_s": DEADLOCK_S},
            ),
            Start(0, ranks=2),
        ),
        "bits",
    ),
    Row(
        "sigusr1",
        "SIGUSR1",
        "S with exit 75 after a save, then R",
        "the signal within the extraction, then within the second epoch's k-means",
        (
            Start(75, LEFT.format("SIGUSR1"), faults=("usr@volume:3",)),
            Start(75, LEFT.format("SIGUSR1"), faults=("usr@kmeans:2",)),
            Start(0),
        ),
        "bits",
    ),
    Row(
        "stop-file",
        "Stop file",
        "S with exit 75 after a save, then R",
        "`touch RUN/stop` while two ranks train",
        (
            Start(75, LEFT.format("the stop file"), ranks=2, faults=("slow@update+",), meanwhile="stop file"),
            Start(0, ranks=2),
        ),
        "bits",
    ),
    Row(
        "sigterm-torchrun",
        "SIGTERM to torchrun",
        "S after a save (each rank exits 75, torchrun itself 1), then R",
        "the signal to the launcher of two ranks",
        (
            _launched(1, "SIGTERM", "torchrun"),
            Start(0, ranks=2),
        ),
        "bits",
    ),
    Row(
        "sigterm-launch",
        "SIGTERM, SIGUSR1 to `dcam_dist.launch`",
        "S with exit 75 after a save, then R",
        "either signal to the launcher of two ranks",
        (
            _launched(75, "SIGTERM", "launch"),
            _launched(75, "SIGUSR1", "launch"),
            Start(0, ranks=2),
        ),
        "bits",
    ),
    Row(
        "zero-stopped",
        "SIGTERM and stop file, `training.engine=deepspeed` (ZeRO 2)",
        "S with exit 75 after a save, then R, to the last bit; or R with DDP where that is named, within 1e-5",
        "the signal to `dcam_dist.launch` within an epoch, then the file under the launcher `deepspeed`",
        tests=(
            f"{_LAUNCHERS}a_request_to_leave_ends_both_launchers_with_the_trainings_exit_code",
            f"{_LAUNCHERS}a_run_of_zero_that_was_stopped_ends_like_the_uninterrupted_one_to_the_last_bit",
            f"{_LAUNCHERS}a_run_of_zero_goes_on_with_ddp_where_that_is_named",
        ),
    ),
    Row(
        "time-limit",
        "Time limit near",
        "S with exit 75 before it, then R",
        "`SLURM_JOB_END_TIME` in 13 s; then `training.max_minutes=0.2`",
        (
            Start(75, LEFT.format("the time limit"), faults=("slow@update+",), variables={"SLURM_JOB_END_TIME": "+13"}),
            Start(75, LEFT.format("the time limit"), faults=("slow@update+",), settings={"training.max_minutes": 0.2}),
            Start(0),
        ),
        "bits",
    ),
)

"""The faults of training: what must happen, how each is injected, and what proves it. Data only.

``test_training_faults.py`` plays the starts of each row one after the other in one directory, and again without each
guard; ``docs/faults.md`` is made of this table and of what the tests then saw.
"""

from collections.abc import Mapping
from typing import Literal

from support.fault_rows import Row, Start

SMALL: Mapping[str, object] = {"grid.shape": [16, 16, 16], "training.checkpoint_minutes": 0}
"""What all rows share: a checkpoint at every step and phase."""
HANG_S = 4
LOSS_TOLERANCE = 1e-4
LEFT = r"asked to leave by {}.*: saved at epoch \d, \w+.*; run the same command again to go on"
_SAVES = "tests/faults/test_checkpoint_damage.py::test_"
_HOSTS = "tests/netns/test_two_hosts.py::test_"
_ROOM = "tests/faults/test_checkpoint_room.py::test_"
OUT_OF_STEP = r"the ranks are out of step: rank 0 at epoch \d.*; rank 1 at epoch \d"
PASSED_OVER = r"passed over: .*: {}; going on from epoch-"
DAMAGED = PASSED_OVER.format("engine.safetensors is damaged")


def _launched(exits: int, signal: str, launcher: Literal["torchrun", "launch"]) -> Start:
    meanwhile = f"{signal} to the launcher"
    return Start(exits, LEFT.format(signal), 2, ("slow@update+",), meanwhile=meanwhile, launcher=launcher)


def _hanging(place: str) -> Start:
    settings = {"training.timeout_s": HANG_S}
    return Start(4, r"rank 1", 2, (f"stop@{place}/1",), settings, meanwhile="await the hang")


ROWS = (
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
        "the signal to rank 1 of 2 within a step",
        (Start(75, LEFT.format("SIGTERM"), ranks=2, faults=("term@update:2/1",)), Start(0, ranks=2)),
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
        "two network namespaces, link down",
        tests=(f"{_HOSTS}a_pulled_cable_stops_both_sides_in_time_and_each_says_whom_it_cannot_reach",),
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
        "rank 1 of 2 draws one batch less than rank 0; then rank 1 goes on a phase behind",
        (
            Start(4, OUT_OF_STEP, 2, ("short@draw/1",), {"training.timeout_s": 20}),
            Start(75, ranks=2, faults=("usr@update:2",)),
            Start(4, OUT_OF_STEP, 2, ("behind@resume/1",), {"training.timeout_s": 20}),
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
    Row(
        "disk-full",
        "Disk full at a save",
        "S with the old checkpoint kept, then R",
        "`RLIMIT_FSIZE` from the third save on",
        (Start(4, r"checkpoint|space|full", faults=("full@save:3",)), Start(0)),
        "bits",
        tests=(
            f"{_ROOM}a_limit_on_files_is_told_as_such",
            f"{_ROOM}a_full_disk_costs_the_new_checkpoint_alone",
        ),
    ),
    Row(
        "disk-full-tmpfs",
        "Disk full at a save, a real one",
        "S with the old checkpoint kept, then R",
        "the run on a tmpfs of 6 MB (where the tests may mount), which then grows",
        (
            Start(4, r"No space left on device", before="small disk", settings={"training.keep_checkpoints": 9}),
            Start(0, before="larger disk", settings={"training.keep_checkpoints": 9}),
        ),
        "bits",
    ),
    Row(
        "read-only",
        "Read-only output",
        "S at the start",
        "the run on a read-only mount, or a folder without the right to write",
        (Start(4, r"[Rr]ead-only|Permission", before="read-only"),),
        tests=(f"{_ROOM}a_read_only_directory_stops_the_start",),
    ),
    Row(
        "corrupt-checkpoint",
        "Corrupt newest checkpoint",
        "R from the one before",
        "one flipped bit in the weights, then a file cut short, then one removed",
        (
            Start(75, faults=("usr@update:2",)),
            Start(75, DAMAGED, faults=("usr@update:2",), before="flip a bit of the newest checkpoint"),
            Start(75, DAMAGED, faults=("usr@update:2",), before="cut the newest checkpoint"),
            Start(0, PASSED_OVER.format("state.json is missing"), before="remove a file of the newest checkpoint"),
        ),
        "bits",
        tests=(f"{_SAVES}all_damage_is_found_and_the_newest_undamaged_one_is_loaded",),
        results=("benchmarks/results/checkpoint_corruption/checkpoint_corruption.json",),
    ),
    Row(
        "nan-once",
        "NaN loss in one step",
        "R: all ranks leave the step out",
        "NaN in one batch of rank 1 of 2",
        (Start(0, r"not finite.*left out", ranks=2, faults=("poison@forward:2/1",)),),
    ),
    Row(
        "nan-again",
        "NaN loss again and again",
        "S with the last good weights kept, then R",
        "NaN in every batch of rank 1 of 2 from the second on, `training.skipped_steps=1`",
        (
            Start(
                3,
                r"not finite.*training.skipped_steps=1",
                ranks=2,
                faults=("poison@forward:2+/1",),
                settings={"training.skipped_steps": 1},
            ),
            Start(0, ranks=2, settings={"training.skipped_steps": 1}, before="assert finite weights"),
        ),
    ),
    Row(
        "collapse",
        "Collapse: one cluster holds nearly all",
        "S with the occupancy",
        "the network gives the same features for every case",
        (Start(3, r"one cluster holds 100% of the cases \(sizes 9/0/0\)", ranks=2, faults=("constant@volume+",)),),
    ),
    Row(
        "too-few-cases",
        "Cases < clusters",
        "S before any work",
        "9 training cases, `clustering.clusters=10`",
        (Start(3, r"9 training cases cannot form clustering\.clusters=10", settings={"clustering.clusters": 10}),),
    ),
    Row(
        "too-few-for-ranks",
        "Cases in a batch < ranks",
        "S before any work",
        "`training.batch_size=1` on 2 ranks",
        (Start(2, r"less than the 2 ranks", ranks=2, settings={"training.batch_size": 1}),),
    ),
    Row(
        "uneven",
        "Uneven shards of cases",
        "R: equal step counts by construction",
        "9 training cases in batches of 4 on 3 ranks",
        (Start(0, ranks=3),),
        "close",
        tests=("tests/distributed/test_same_result_on_any_number_of_ranks.py",),
    ),
    Row(
        "labels-disagree",
        "Ranks disagree on labels",
        "S",
        "rank 1 of 2 changes the labels that it is given",
        (Start(3, r"pseudo-labels", ranks=2, faults=("perturb@labels/1",)),),
    ),
    Row(
        "other-world-size",
        "Other world size at resume",
        "R: the same cases and steps, losses within tolerance",
        "left within an epoch and gone on with: 1, 2, 3, 4 and 1 ranks",
        (
            Start(75, ranks=1, faults=("usr@update:2/0",)),
            Start(75, ranks=2, faults=("usr@update:2/0",)),
            Start(75, ranks=3, faults=("usr@update:1/0",)),
            Start(75, ranks=4, faults=("usr@volume:2/0",)),
            Start(0, ranks=1),
        ),
        "close",
        results=("benchmarks/results/rank_exchange/rank_exchange.json",),
    ),
    Row(
        "config-changed",
        "Config changed at resume",
        "S with the difference; R where it is overridden by name",
        "another learning rate, then the same with `--change`",
        (
            Start(75, faults=("usr@update:2",)),
            Start(2, r"training\.optimizer\.lr|lr: 0\.05.*lr: 0\.01", settings={"training.optimizer.lr": 0.01}),
            Start(
                0,
                settings={"training.optimizer.lr": 0.01},
                options=("--change", "training.optimizer.lr"),
            ),
        ),
    ),
    Row(
        "out-of-memory",
        "GPU out of memory",
        "S with the need and what would fit",
        "`torch.OutOfMemoryError` in a step of rank 1 of 2",
        (
            Start(4, r"2\.00 GiB", ranks=2, faults=("oom@forward:2/1",)),
            Start(0, ranks=2),
        ),
        "bits",
    ),
    Row(
        "two-runs",
        "Two runs in one directory",
        "S for the second; the first goes on",
        "a second start while the first one trains",
        (Start(0, faults=("slow@update+",), meanwhile="start a second one"),),
        "bits",
    ),
    Row(
        "stale-lock",
        "Stale lock",
        "R",
        "the run was killed and its lock is still there",
        (Start(-9, faults=("kill@update",)), Start(0)),
        "bits",
    ),
    Row(
        "clock-skew",
        "Clock skew",
        "R: order by step, not by time",
        "the oldest checkpoint is touched with a time of next year, the newest with one of 1990",
        (
            Start(75, LEFT.format("SIGUSR1"), faults=("usr@update:2",)),
            Start(0, r"going on at epoch 1, train, step 3", before="turn the clocks of the checkpoints"),
        ),
        "bits",
    ),
    Row(
        "damaged-case",
        "Damaged case in training",
        "Q on all ranks together",
        "flipped, cut, zeroed and lost shards, before the start and between extraction and training",
        tests=("tests/distributed/test_damaged_case_on_any_rank.py",),
    ),
)

"""The faults of training: what must happen, how each is injected, and what proves it. Data only.

``test_training_faults.py`` plays the starts of each row one after the other in one directory, and again without each
guard; ``docs/faults.md`` is made of this table and of what the tests then saw.
"""

from collections.abc import Mapping

from faults.ending_faults import ENDINGS, LEFT
from faults.rank_faults import AMONG_RANKS
from support.fault_rows import Row, Start

SMALL: Mapping[str, object] = {"grid.shape": [16, 16, 16], "training.checkpoint_minutes": 0}
"""What all rows share: a checkpoint at every step and phase."""
LOSS_TOLERANCE = 1e-4
AT_RANDOM: Mapping[str, object] = {
    "clustering.backend": "torch",
    "clustering.init": "random",
    "clustering.restarts": 1,
}
_SAVES = "tests/faults/test_checkpoint_damage.py::test_"
_ROOM = "tests/faults/test_checkpoint_room.py::test_"
COLLAPSED = r"one cluster holds 100% of the cases \(sizes 9/0/0\):"
PASSED_OVER = r"passed over: .*: {}; going on from epoch-"
DAMAGED = PASSED_OVER.format("engine.safetensors is damaged")


ROWS = (
    *ENDINGS,
    *AMONG_RANKS,
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
        "spoiled",
        "Weights go bad in a step that was finite",
        "S with the checkpoint before that step kept, then R",
        "a weight is made NaN after a step, with SIGUSR1 in the next one; then after an epoch's last step",
        (
            Start(75, r"asked to leave by SIGUSR1: ", faults=("spoil@update.end", "usr@update:2")),
            Start(3, r"are not finite", faults=("spoil@update.end:3",), before="assert finite weights"),
            Start(0, r"going on at epoch 1, train, step 3", before="assert finite weights"),
        ),
        "bits",
    ),
    Row(
        "empty-clusters",
        "Empty clusters",
        "R: a populous one is split, counted in the metrics",
        "7 of 9 cases get the same features, and clusters begin at random cases (`clustering.backend=torch`)",
        (
            Start(0, ranks=2, faults=("twins@cases+",), settings=AT_RANDOM),
            Start(0, r"already finished", ranks=2, settings=AT_RANDOM, before="assert clusters were refilled"),
        ),
    ),
    Row(
        "collapse",
        "Collapse: one cluster holds nearly all",
        "S with the occupancy and what to do; doing it, R",
        "the network gives the same features for every case: untrained, then with `--fresh` and another seed after an "
        "epoch, then no more with a lower learning rate",
        (
            Start(3, rf"{COLLAPSED} the untrained .* --fresh and another seed", ranks=2, faults=("constant@volume+",)),
            Start(
                3,
                rf"{COLLAPSED} .*the checkpoint at epoch \d.* go on with a lower training.optimizer.lr and --change",
                ranks=2,
                faults=("alike@cases:2",),
                settings={"seed": 1},
                options=("--fresh",),
            ),
            Start(
                0,
                r"going on at epoch \d",
                ranks=2,
                settings={"seed": 1, "training.optimizer.lr": 0.01},
                options=("--change", "training.optimizer.lr"),
            ),
        ),
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
        "restarted-fresh",
        "A scheduler restarts a command with `--fresh`",
        "R: only the first start is a fresh one",
        "`train --fresh`, left; the same with `SLURM_RESTART_COUNT=1`",
        (
            Start(75, faults=("usr@update:2",), options=("--fresh",)),
            Start(
                0,
                r"going on at epoch 1, train, step 3",
                options=("--fresh",),
                variables={"SLURM_RESTART_COUNT": "1"},
            ),
        ),
        "bits",
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

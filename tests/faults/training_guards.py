"""The guards of training, and what must fail without each of them. Data only.

``test_training_faults.py`` plays the row of each guard without the guard; where another test does that, it is named.
"""

from faults.rank_faults import HANG_S
from support.fault_rows import Guard, Row, Start

_SAVES = "tests/faults/test_checkpoint_damage.py::test_"
_ENGINES = "tests/distributed/test_engines.py::test_"
DEADLOCK = r"the ranks wait for each other or have lost a connection: "
"""After ``training.timeout_s``; with the guard all are told at once who is where."""

PROBES = (
    Row(
        "recomputed",
        "Activations are computed again instead of kept",
        "R",
        "one policy of activation checkpointing up to a step, then another",
        (
            Start(75, faults=("usr@update:2",), settings={"network.checkpointing": "block"}),
            Start(0, settings={"network.checkpointing": "conv"}),
        ),
        "bits",
    ),
    Row(
        "hang-of-one",
        "Hang of one rank of three",
        "S, naming that one",
        "SIGSTOP of rank 1 of 3 within a step",
        (
            Start(
                4,
                r"lost rank 1 \(stopped by a signal\) at",
                ranks=3,
                faults=("stop@update:2/1",),
                settings={"training.timeout_s": HANG_S},
                meanwhile="await the hang",
            ),
        ),
    ),
    Row(
        "generators",
        "Interrupted between draws from a random generator",
        "R",
        "every step draws; left within an epoch",
        (
            Start(75, faults=("random@forward+", "usr@update:2")),
            Start(0, faults=("random@forward+",)),
        ),
        "bits",
        always=("random@forward+",),
    ),
    Row(
        "cluster-ids",
        "Clusters are numbered anew by every k-means",
        "R",
        "five epochs, of which all checkpoints are kept",
        (
            Start(0, settings={"training.epochs": 5, "training.keep_checkpoints": 99}),
            Start(
                0,
                r"already finished",
                before="assert clusters keep their ids",
                settings={"training.epochs": 5, "training.keep_checkpoints": 99},
            ),
        ),
    ),
)
"""Rows that are no fault of the outside world; they prove guards."""

GUARDS = (
    Guard(
        "tags",
        "each exchange bears its name and place, and is refused where the ranks' differ",
        DEADLOCK,
        row="out-of-step",
    ),
    Guard("place", "the ranks compare phase and step before each phase", DEADLOCK, row="out-of-phase"),
    Guard(
        "same checkpoint",
        "the ranks compare what they have read",
        r"exit codes \[4, 4\] instead of 3:.*out of step: rank 0 at epoch 1, train",
        row="other-checkpoint",
    ),
    Guard(
        "label hash",
        "the ranks compare a hash of the labels",
        r"exit codes \[0, 0\] instead of 3",
        row="labels-disagree",
    ),
    Guard("shared notes", "what one rank was asked is known to all before they act", DEADLOCK, row="sigterm"),
    Guard(
        "lost ranks",
        "a collective that fails is followed by a roll call and a line for the user",
        r"exit codes \[1, -9, 1\] instead of 4:.*unexpected RuntimeError",
        row="hang-of-one",
    ),
    Guard(
        "roll call",
        "who answers the roll call is not called lost",
        r"0 lines match.*lost connection to rank 1 .*, rank 2",
        row="hang-of-one",
    ),
    Guard("time limit", "a run leaves before its time is over", r"exit codes \[0\] instead of 75", row="time-limit"),
    Guard(
        "changed config",
        "a run goes on with its own settings unless others are named",
        r"exit codes \[0\] instead of 2:.*going on with training\.optimizer\.lr: 0\.05 → 0\.01",
        row="config-changed",
    ),
    Guard(
        "first start",
        "`--fresh` is for the first start of a command",
        r"0 lines match going on.*the run that was here is now",
        row="restarted-fresh",
    ),
    Guard(
        "step guard",
        "a step that is not finite is left out by all",
        r"0 lines match.*features of 9 rows are not finite",
        row="nan-again",
    ),
    Guard(
        "kept buffers",
        "a step that is left out leaves no trace in the running statistics",
        r"exit codes \[3, 3\] instead of 0:.*features of 9 rows are not finite",
        row="nan-once",
    ),
    Guard("in doubt", "nothing is saved after a step that was left out", r"weight is not finite", row="spoiled"),
    Guard(
        "disown",
        "checkpoints whose weights turn out not to be good are removed",
        r"weight is not finite",
        row="spoiled",
    ),
    Guard(
        "proven",
        "the checkpoint that was followed by a step is kept, whatever its age",
        r"weight is not finite",
        row="spoiled",
    ),
    Guard("lock", "one training at a time in a directory", r"second start was not refused", row="two-runs"),
    Guard(
        "draws",
        "a run goes on with the draws that are left of its epoch",
        r"the end differs: .*label_N",
        row="clock-skew",
    ),
    Guard(
        "optimizer state",
        "a run goes on with the momentum that it had",
        r"the end differs: .*centroid",
        row="sigterm",
    ),
    Guard(
        "generators",
        "a run goes on with the random generators that it had",
        r"the end differs: generators",
        row="generators",
    ),
    Guard(
        "recomputing",
        "what is computed again does not move the running statistics again",
        r"the end differs: .*label_N",
        row="recomputed",
    ),
    Guard(
        "id matching",
        "a cluster keeps the id of the one that it overlaps most",
        r"clusters changed their ids",
        row="cluster-ids",
    ),
    Guard(
        "hashes",
        "every byte of a checkpoint is compared with its manifest",
        r"0 lines match passed over.*going on at epoch 1, train, step 3",
        row="corrupt-checkpoint",
    ),
    Guard(
        "order by position",
        "the newest checkpoint is the furthest, not the latest",
        r"0 lines match going on at epoch 1, train, step 3.*going on at epoch 1, cluster",
        row="clock-skew",
    ),
    Guard("refilling", "an empty cluster is refilled from a populous one", r"a cluster is empty", row="empty-clusters"),
    Guard(
        "collapse",
        "the sizes of the clusters are looked at",
        r"exit codes \[0, 0\] instead of 3:.*sizes 9/0/0",
        row="collapse",
    ),
    Guard(
        "reset through ZeRO",
        "a reset head is written into ZeRO's own copies too",
        "the old head is back after a step",
        test=f"{_ENGINES}a_head_written_past_zero_would_be_undone_by_its_next_step",
    ),
    Guard(
        "rehearsal",
        "DDP makes its buckets before the first step, with three ranks",
        "a resumed run differs",
        test=f"{_ENGINES}without_its_rehearsal_ddp_would_add_up_in_another_order_after_a_resume",
    ),
    Guard(
        "fsync",
        "each file and folder of a checkpoint is brought down to the disk",
        "without any one of them no checkpoint is left by a power cut",
        test=f"{_SAVES}without_any_one_fsync_it_does_not",
    ),
    Guard(
        "hash",
        "the hashes, against flipped bits in every file",
        "flipped bits are loaded",
        test=f"{_SAVES}without_the_hash_flipped_bits_are_loaded",
    ),
    Guard(
        "manifest",
        "the manifest is exact to the last byte",
        "a changed manifest is taken for whole",
        test=f"{_SAVES}without_the_exact_form_of_the_manifest_a_flip_in_it_is_missed",
    ),
    Guard(
        "name",
        "a checkpoint is the one that its name says",
        "two that were exchanged are loaded",
        test=f"{_SAVES}without_the_look_at_the_name_exchanged_checkpoints_are_loaded",
    ),
    Guard(
        "fallback",
        "the checkpoint before a damaged one is used",
        "one damaged file ends the run",
        test=f"{_SAVES}without_the_fallback_one_damaged_file_ends_the_run",
    ),
    Guard(
        "reading back",
        "a checkpoint is read back at once",
        "a disk that lies takes the last checkpoint",
        test=f"{_SAVES}without_the_reading_back_a_disk_that_lies_takes_the_last_checkpoint",
    ),
    Guard(
        "rename",
        "a checkpoint gets its name when it is whole",
        "a kill leaves a damaged checkpoint",
        test=f"{_SAVES}without_the_rename_a_kill_leaves_a_damaged_checkpoint",
    ),
    Guard(
        "order",
        "an older checkpoint goes last",
        "a kill leaves nothing",
        test=f"{_SAVES}without_the_order_of_writing_and_removing_a_kill_leaves_nothing",
    ),
    Guard(
        "rename first",
        "an older checkpoint loses its name first",
        "a kill leaves a damaged checkpoint",
        test=f"{_SAVES}without_the_rename_before_a_removal_a_kill_leaves_a_damaged_checkpoint",
    ),
    Guard(
        "clearing",
        "what kills left is cleared at the next start",
        "it stays",
        test=f"{_SAVES}without_the_clearing_what_kills_left_stays",
    ),
)

"""The guards of training, and what must fail without each of them. Data only.

``test_training_faults.py`` plays the row of each guard without the guard; where another test does that, it is named.
"""

from support.fault_rows import Guard, Row, Start

_SAVES = "tests/faults/test_checkpoint_damage.py::test_"

PROBES = (
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
    Guard("tags", "each exchange bears its name and place, and is refused where the ranks' differ", "out-of-step"),
    Guard("place", "the ranks compare phase and step before each phase", "out-of-step"),
    Guard("same checkpoint", "the ranks compare what they have read", "other-checkpoint", "exit codes"),
    Guard("label hash", "the ranks compare a hash of the labels", "labels-disagree", "exit codes"),
    Guard("shared notes", "what one rank was asked is known to all before they act", "sigterm"),
    Guard("step guard", "a step that is not finite is left out by all", "nan-again", "0 lines match"),
    Guard(
        "kept buffers", "a step that is left out leaves no trace in the running statistics", "nan-once", "exit codes"
    ),
    Guard("lock", "one training at a time in a directory", "two-runs", "second start was not refused"),
    Guard("draws", "a run goes on with the draws that are left of its epoch", "clock-skew", "the end differs"),
    Guard("optimizer state", "a run goes on with the momentum that it had", "sigterm", "the end differs"),
    Guard("generators", "a run goes on with the random generators that it had", "generators", "the end differs"),
    Guard("id matching", "a cluster keeps the id of the one that it overlaps most", "cluster-ids", "changed their ids"),
    Guard("hashes", "every byte of a checkpoint is compared with its manifest", "corrupt-checkpoint", "0 lines match"),
    Guard("order by position", "the newest checkpoint is the furthest, not the latest", "clock-skew", "0 lines match"),
    Guard("collapse", "the sizes of the clusters are looked at", "collapse", "exit codes"),
    Guard(
        "fsync",
        "each file and folder of a checkpoint is brought down to the disk",
        test=f"{_SAVES}without_any_one_fsync_it_does_not",
    ),
    Guard(
        "hash",
        "the hashes, against flipped bits in every file",
        test=f"{_SAVES}without_the_hash_flipped_bits_are_loaded",
    ),
    Guard(
        "manifest",
        "the manifest is exact to the last byte",
        test=f"{_SAVES}without_the_exact_form_of_the_manifest_a_flip_in_it_is_missed",
    ),
    Guard(
        "name",
        "a checkpoint is the one that its name says",
        test=f"{_SAVES}without_the_look_at_the_name_exchanged_checkpoints_are_loaded",
    ),
    Guard(
        "fallback",
        "the checkpoint before a damaged one is used",
        test=f"{_SAVES}without_the_fallback_one_damaged_file_ends_the_run",
    ),
    Guard(
        "reading back",
        "a checkpoint is read back at once",
        test=f"{_SAVES}without_the_reading_back_a_disk_that_lies_takes_the_last_checkpoint",
    ),
    Guard(
        "rename",
        "a checkpoint gets its name when it is whole",
        test=f"{_SAVES}without_the_rename_a_kill_leaves_a_damaged_checkpoint",
    ),
    Guard(
        "order",
        "an older checkpoint goes last",
        test=f"{_SAVES}without_the_order_of_writing_and_removing_a_kill_leaves_nothing",
    ),
    Guard(
        "rename first",
        "an older checkpoint loses its name first",
        test=f"{_SAVES}without_the_rename_before_a_removal_a_kill_leaves_a_damaged_checkpoint",
    ),
    Guard(
        "clearing",
        "what kills left is cleared at the next start",
        test=f"{_SAVES}without_the_clearing_what_kills_left_stays",
    ),
)

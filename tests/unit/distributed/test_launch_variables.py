import pytest

from dcam_dist.errors import UsageError
from dcam_dist.launchers import Launch, first_node, read_launch

TORCHRUN = {
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "x",
}
DEEPSPEED = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_SIZE": "2",
    "CROSS_RANK": "0",
    "CROSS_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
BATCH = {  # what a batch script sees
    "SLURM_JOB_ID": "7",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "5",
    "SLURM_TASKS_PER_NODE": "2(x2),1",
}
STEP = BATCH | {
    "SLURM_STEP_ID": "2",
    "SLURM_PROCID": "4",
    "SLURM_NODEID": "2",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_STEP_NODELIST": "gpu[07-08],login1",
}


def test_torchrun():
    assert read_launch(TORCHRUN) == Launch("torchrun", 3, 1, 4, 2, ("a", 29500))
    assert read_launch(TORCHRUN).owned and not read_launch(TORCHRUN).one_node
    assert read_launch(TORCHRUN | {"LOCAL_WORLD_SIZE": "4"}).one_node


def test_deepspeed():
    assert read_launch(DEEPSPEED) == Launch("deepspeed", 1, 1, 2, 2)
    assert read_launch(DEEPSPEED).one_node and read_launch(DEEPSPEED).owned


def test_srun_on_several_nodes_meets_on_the_first():
    launch = read_launch(STEP)
    assert (launch.launcher, launch.rank, launch.local_rank) == ("srun", 4, 0)
    assert (launch.world_size, launch.local_world_size, launch.owned) == (5, 1, False)
    host, port = launch.master
    assert host == "gpu07" and 1024 < port < 32768
    assert read_launch(STEP | {"SLURM_PROCID": "0", "SLURM_NODEID": "0"}).master == (host, port)
    assert read_launch(STEP | {"SLURM_STEP_ID": "3"}).master != (host, port)
    assert read_launch(STEP | {"MASTER_ADDR": "b", "MASTER_PORT": "1234"}).master == ("b", 1234)


@pytest.mark.parametrize("variables", [{}, BATCH, STEP | {"SLURM_STEP_NUM_TASKS": "1"}])
def test_a_plain_call_is_a_single_process_also_in_a_batch_script_or_a_step_of_one_task(variables):
    assert read_launch(variables) == Launch()


def test_torchrun_within_a_step_goes_first():
    assert read_launch(STEP | TORCHRUN).launcher == "torchrun"


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("n1", "n1"), ("n[1-2]", "n1"), ("gpu[07-09,12],login", "gpu07"), ("a,b", "a"), ("r[2,4]-ib,x", "r2-ib")],
)
def test_the_first_node_of_a_list(nodes, first):
    assert first_node(nodes) == first


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"RANK": "4"}, "contradict each other: rank 4, number of processes 4"),
        ({"RANK": "x"}, "RANK is 'x', no number"),
        ({"WORLD_SIZE": None}, "WORLD_SIZE is not set"),
        ({"LOCAL_RANK": None}, "LOCAL_RANK is not set"),
        ({"LOCAL_RANK": "2"}, "contradict each other: local rank 2, processes of this node 2"),
        ({"LOCAL_WORLD_SIZE": "5"}, "contradict"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR"),
    ],
)
def test_contradictions_are_one_line(changes, line):
    variables = {name: value for name, value in (TORCHRUN | changes).items() if value is not None}
    with pytest.raises(UsageError, match=line) as caught:
        read_launch(variables)
    assert "\n" not in str(caught.value)


def test_a_step_whose_tasks_do_not_add_up_is_refused():
    with pytest.raises(UsageError, match="SLURM_STEP_TASKS_PER_NODE"):
        read_launch(STEP | {"SLURM_STEP_TASKS_PER_NODE": "2"})

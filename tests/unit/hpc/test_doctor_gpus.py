"""What nvidia-smi prints on an A100 and an H100 node, as it is laid out there, and what is made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import commands_in

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.gpus import (
    Card,
    Health,
    gpu_lines,
    judge_cards,
    judge_health,
    judge_links,
    parse_health,
    parse_list,
    parse_topology,
)

A100_LIST = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000000)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000001)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000002)
GPU 3: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000003)
"""
A100_TOPOLOGY = """\
\t\x1b[4mGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tNIC1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV4\tNV4\tNV4\tPXB\tSYS\t18-23,66-71\t3\t\tN/A
GPU1\tNV4\t X \tNV4\tNV4\tSYS\tSYS\t6-11,54-59\t1\t\tN/A
GPU2\tNV4\tNV4\t X \tNV4\tSYS\tSYS\t42-47,90-95\t7\t\tN/A
GPU3\tNV4\tNV4\tNV4\t X \tSYS\tPXB\t30-35,78-83\t5\t\tN/A
NIC0\tPXB\tSYS\tSYS\tSYS\t X \tSYS\t\t\t\t
NIC1\tSYS\tSYS\tSYS\tPXB\tSYS\t X \t\t\t\t

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
  NV#  = Connection traversing a bonded set of # NVLinks

NIC Legend:

  NIC0: mlx5_0
  NIC1: mlx5_1
"""
H100_MIG_LIST = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000000)
  MIG 3g.40gb     Device  0: (UUID: MIG-33333333-aaaa-bbbb-cccc-000000000000)
  MIG 1g.10gb     Device  1: (UUID: MIG-33333333-aaaa-bbbb-cccc-000000000001)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000001)
"""
H100_PCIE_TOPOLOGY = """\
\tGPU0\tGPU1\tGPU2\tGPU3\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID
GPU0\t X \tNV12\tSYS\tSYS\t0-31\t0\t\tN/A
GPU1\tNV12\t X \tSYS\tSYS\t0-31\t0\t\tN/A
GPU2\tSYS\tSYS\t X \tNODE\t32-63\t1\t\tN/A
GPU3\tSYS\tSYS\tNODE\t X \t32-63\t1\t\tN/A
"""
HEALTH = "0, 81559, 4, 0\n1, 81559, 40000, 2\n2, 81559, 1, [N/A]\n"


def test_the_cards_of_an_a100_node():
    assert parse_list(A100_LIST) == [Card(index, "NVIDIA A100-SXM4-40GB") for index in range(4)]
    (line,) = judge_cards(parse_list(A100_LIST), [Health(index, 40960 * 2**20, 0, 0) for index in range(4)])
    assert (line.state, line.found) == (State.OK, "4 × NVIDIA A100-SXM4-40GB of 40.0 GiB")


def test_the_links_of_an_a100_node():
    links = parse_topology(A100_TOPOLOGY)
    assert links == {(one, other): "NV4" for one in range(4) for other in range(one + 1, 4)}
    (line,) = judge_links(4, links)
    assert (line.state, line.found) == (State.OK, "NVLink between all (6 × NV4 of 6 pairs)")


def test_a_bridge_between_two_of_four_h100():
    links = parse_topology(H100_PCIE_TOPOLOGY)
    assert (links[0, 1], links[0, 3], links[2, 3]) == ("NV12", "SYS", "NODE")
    assert judge_links(4, links)[0].found == "NVLink between some (1 × NODE, 1 × NV12, 4 × SYS of 6 pairs)"
    assert judge_links(2, {(0, 1): "PHB"})[0].found.startswith("PCIe only")


def test_mig_and_mixed_cards_warn():
    cards = parse_list(H100_MIG_LIST)
    assert cards[0].mig == ("3g.40gb", "1g.10gb") and cards[1].mig == ()
    assert [line.state for line in judge_cards(cards, [])] == ["ok", "warn"]
    mixed = judge_cards([Card(0, "A"), Card(1, "B")], [])
    assert "different kinds" in mixed[1].found


def test_memory_errors_and_foreign_work_warn():
    told = parse_health(HEALTH)
    assert told[2] == Health(2, 81559 * 2**20, 2**20, None)
    errors, busy = judge_health(told)
    assert errors.found == "uncorrected errors on GPU 1: 2"
    assert busy.found == "in use already: GPU 1: 39.1 GiB"
    assert judge_health(told[:1]) == []


@pytest.mark.parametrize("count", [0, 1])
def test_one_card_has_no_links(count):
    assert judge_links(count, {}) == []


@given(st.text() | st.text(alphabet="GPU0123 \tXNVSY\n,[]/"))
def test_any_text_can_be_read(text):
    parse_list(text)
    parse_health(text)
    assert all(one < other for one, other in parse_topology(text))


@given(
    st.integers(2, 9).flatmap(
        lambda n: st.tuples(
            st.just(n), st.lists(st.sampled_from(["NV18", "PIX", "SYS"]), min_size=n * n, max_size=n * n)
        )
    )
)
def test_every_pair_is_read(drawn):
    count, cells = drawn
    names = [f"GPU{index}" for index in range(count)]
    rows = [
        "\t".join(
            [
                name,
                *(
                    " X " if one == other else cells[min(one, other) * count + max(one, other)]
                    for other in range(count)
                ),
                "0-7",
            ]
        )
        for one, name in enumerate(names)
    ]
    links = parse_topology("\t" + "\t".join([*names, "CPU Affinity"]) + "\n" + "\n".join(rows))
    assert links == {
        (one, other): cells[one * count + other] for one in range(count) for other in range(one + 1, count)
    }


def machine(tmp_path, devices=0, **commands):
    (tmp_path / "dev").mkdir()
    for index in range(devices):
        (tmp_path / f"dev/nvidia{index}").touch()
    return Machine(dev=tmp_path / "dev", variables={"PATH": commands_in(tmp_path / "bin", **commands)})


def test_a_node_is_asked_by_its_own_command(tmp_path):
    answers = {"list": A100_LIST, "health": "0, 40960, 3, 0\n", "topology": A100_TOPOLOGY}
    for name, text in answers.items():
        (tmp_path / name).write_text(text)
    script = f'case "$*" in -L) f=list;; "topo -m") f=topology;; *) f=health;; esac; cat {tmp_path}/$f'
    lines = gpu_lines(machine(tmp_path, 4, **{"nvidia-smi": script}))
    assert [line.name for line in lines] == ["GPUs", "GPU links"]
    assert all(line.state is State.OK for line in lines)


def test_no_gpu_no_command_and_a_command_that_fails(tmp_path):
    assert gpu_lines(Machine(dev=tmp_path, variables={"PATH": str(tmp_path)}))[0].found == "no NVIDIA GPU"
    (tmp_path / "nvidia0").touch()
    (line,) = gpu_lines(Machine(dev=tmp_path, variables={"PATH": str(tmp_path)}))
    assert (line.state, "no nvidia-smi" in line.found) == (State.WARN, True)
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    path = commands_in(tmp_path / "bin", **{"nvidia-smi": f'echo "{said}"; exit 9'})
    (line,) = gpu_lines(Machine(dev=tmp_path, variables={"PATH": path}))
    assert (line.state, line.found) == (State.FAIL, f"nvidia-smi: exit code 9: {said}")


def test_amd_cards_are_named(tmp_path):
    script = 'echo "GPU[0] : Card Series: AMD Instinct MI250X"; echo "GPU[1] : Card Series: AMD Instinct MI250X"'
    here = machine(tmp_path, **{"rocm-smi": script})
    (tmp_path / "dev/kfd").touch()
    amd, none = gpu_lines(here)
    assert (amd.state, amd.found, none.found) == (State.WARN, "AMD: AMD Instinct MI250X", "no NVIDIA GPU")

"""What is planned is what real steps need, and what is advised fits."""

from dataclasses import replace

import pytest
import torch
from support.verbs import call_verb

from benchmarks.allocated import peak_allocation
from benchmarks.one_step import make_step
from dcam_dist.config import load_config
from dcam_dist.errors import UsageError
from dcam_dist.models import build_network, choose_precision
from dcam_dist.planning import (
    GPUS,
    Disk,
    Pace,
    known_pace,
    make_plan,
    measured_pace,
    predict_step,
    sentences,
    this_machine,
    with_precision,
)
from dcam_dist.planning.fits import largest, largest_batch, with_cube
from dcam_dist.planning.step_memory import predict_extraction
from dcam_dist.planning.work import work_of_a_case

SMALL = ["grid.shape=[32,32,32]", "network.filters=8"]


@pytest.fixture
def few_sizes(monkeypatch):
    """Large cubes of a small network take long to lay out."""
    monkeypatch.setattr("dcam_dist.planning.fits.LARGEST", 4)


def config(*settings):
    return load_config(None, [*SMALL, *settings])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("policy", ["none", "block", "conv"])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_real_step_allocates_what_is_predicted(precision, policy, norm):
    chosen = config(f"network.precision={precision}", f"network.checkpointing={policy}", f"network.norm={norm}")
    expected = predict_step(chosen, 2, "cpu")
    torch.set_num_threads(1)
    step = make_step(build_network(chosen), chosen, 2)
    step()
    assert expected.retained + expected.working == pytest.approx(peak_allocation(step), rel=0.1)


def test_the_parts_are_those_of_the_network():
    chosen = config("training.optimizer.name=adam")
    network, found = build_network(chosen), predict_step(chosen, 2, "cuda")
    size = sum(parameter.nbytes for parameter in network.parameters())
    assert found.gradients == size and 2 * size <= found.optimizer < 2.01 * size
    assert found.parameters == size + sum(buffer.nbytes for buffer in network.buffers())
    assert found.peak == sum(getattr(found, part) for part in found.__dataclass_fields__)


def test_each_policy_keeps_less_than_the_one_before():
    kept = [
        predict_step(config(f"network.checkpointing={policy}"), 1, "cuda").retained
        for policy in ("none", "conv", "block", "offload")
    ]
    assert kept == sorted(kept, reverse=True) and len(set(kept)) == 4


def test_the_largest_batch_fits_and_one_more_does_not():
    chosen = config()
    budget = predict_step(chosen, 3, "cuda").peak
    assert largest_batch(chosen, budget) == 3
    assert largest_batch(chosen, budget - 1) == 2
    assert largest(lambda n: n, 0, lambda n: n) == 0
    assert largest(lambda n: n * n + 7, 7 + 30, lambda n: n) == 5


def test_a_training_step_is_three_forward_passes_and_four_with_recomputation():
    plain, block = (work_of_a_case(config(f"network.checkpointing={policy}")) for policy in ("none", "block"))
    assert plain.train == pytest.approx(3 * plain.extract, rel=0.01)
    assert block.train == pytest.approx(4 * plain.extract, rel=0.01)
    cube = work_of_a_case(with_cube(config(), 64))
    assert cube.extract == pytest.approx(8 * plain.extract, rel=0.01)


def test_a_plan_advises_the_fastest_policy_that_fits(few_sizes):
    chosen = config("training.batch_size=4", "training.epochs=10")
    none = predict_step(config("network.checkpointing=none"), 2, "cuda").peak
    card = replace(GPUS["a100-40"], memory_gib=none / 2**30 / 0.95 + 1.5)
    pace = Pace(1e12, 1e12, "assumed")
    enough, short = (
        make_plan(chosen, replace(card, memory_gib=card.memory_gib + more), 2, 9, pace, Disk(1e6, 2))
        for more in (1e-4, -1e-4)
    )
    assert (enough.share, enough.chosen, short.chosen) == (2, "none", "conv")
    work = work_of_a_case(config("network.checkpointing=none"))
    assert enough.epoch_s == {
        "extract": pytest.approx(5 * work.extract / 1e12),
        "train": pytest.approx(6 * work.train / 1e12),
    }
    assert any("9.0 MB" in line or "18 inodes" in line for line in sentences(enough, chosen))
    tiny = make_plan(chosen, replace(card, memory_gib=1.5), 2, 9, None)
    assert tiny.chosen is None and tiny.batch == 0 and "no policy fits" in next(sentences(tiny, chosen))


def test_a_figure_of_mixed_precision_is_no_pace_of_float32():
    assert known_pace(GPUS["a100-40"], config("network.precision=fp32")) is None
    assert known_pace(GPUS["a100-40"], config("network.precision=bf16")).train == 110e12


def test_auto_precision_is_planned_as_it_would_be_trained():
    auto = config("network.precision=auto")
    assert with_precision(auto, GPUS["h100"], here=False).network.precision == "bf16"
    here = with_precision(auto, this_machine(), here=True).network.precision
    assert here == choose_precision(auto.network, "cpu" if this_machine().kind == "cpu" else "cuda:0").precision
    assert with_precision(config("network.precision=fp32"), GPUS["h100"], here=False).network.precision == "fp32"


def test_extraction_is_planned_on_whole_grids():
    whole, patched = config("grid.shape=[64,64,64]"), config("grid.shape=[64,64,64]", "data.patch=[32,32,32]")
    found = predict_extraction(patched, "cuda")
    assert found == predict_extraction(whole, "cuda") > 4 * predict_extraction(config(), "cuda")


def test_idle_cards_are_refused():
    with pytest.raises(UsageError, match="leaves some of 4 GPUs idle; set it to 8"):
        make_plan(config("training.batch_size=4", "training.accumulation=2"), GPUS["h100"], 4, 9, None)


def test_the_verb_tells_what_fits_and_what_it_takes(monkeypatch, capsys, small_cohort, few_sizes):
    def call(*arguments):
        code, *said = call_verb(monkeypatch, capsys, "plan", *SMALL, *arguments)
        return code or 0, *said

    code, told, _ = call("--gpu", "24gb", "--cohort", small_cohort)
    assert code == 0
    assert (
        "take network.checkpointing=none: the fastest that fits" in told
        and "time: not known for a card of 24 GB" in told
    )
    assert "of 9 training cases" in told and "inodes" in told
    code, told, _ = call("--gpu", "a100-40", "--cases", "100", "--gpus", "2", "network.precision=bf16")
    assert code == 0 and "an epoch of 100 cases on 2 GPUs" in told and "GPU hours" in told
    code, _, err = call("--gpu", "h100")
    assert code == 2 and "--cases" in err


@pytest.mark.slow
def test_a_machine_is_timed_on_the_networks_own_steps():
    pace = measured_pace(config(), seconds=2)
    assert 1e8 < pace.train < 1e14 and 1e8 < pace.extract < 1e14 and "this machine's cpu" in pace.source


def test_the_papers_configuration_fits_40_gb():
    paper = load_config("configs/paper.yaml", [])
    assert predict_step(paper, paper.training.batch_size, "cuda").peak < GPUS["a100-40"].tensor_bytes

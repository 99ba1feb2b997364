"""Grad-CAM in closed form, and networks whose weights are given back to chance."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config
from dcam_dist.maps.faithfulness.case import areas, chance_similarity, follow, similarities
from dcam_dist.maps.faithfulness.example import _ranks
from dcam_dist.maps.faithfulness.explain import (
    CAM,
    DCAM,
    GRAD_CAM,
    RANDOM,
    RANDOM_WEIGHTS,
    SHUFFLED,
    class_map,
    explain,
    own_method,
    randomized_maps,
)
from dcam_dist.maps.faithfulness.grad_cam import combine, grad_cam
from dcam_dist.maps.faithfulness.randomize import cascade, stages, with_shuffled_head
from dcam_dist.models import build_network
from dcam_dist.runs import restore_run

SHAPE = (32, 32, 32)


@pytest.fixture(scope="module", params=["dcam", "baseline"])
def config(request):
    return load_config(None, ["grid.shape=[32,32,32]", "network.filters=4", f"method={request.param}"])


@pytest.fixture
def scan():
    rng = np.random.default_rng(0)
    lungs = np.zeros(SHAPE, bool)
    lungs[4:28, 6:26, 2:30] = True
    return rng.random(SHAPE).astype(np.float32), lungs


def test_grad_cam_on_the_features_themselves_is_the_cam_without_bias_cut_off_at_0(config, scan):
    network = build_network(config).eval()
    volume, lungs = scan
    last = network.body.bottleneck if own_method(network) == CAM else network.body.up[-1]
    with torch.no_grad():
        network.head.bias.fill_(5.0)
        features = network.body(torch.from_numpy(volume)[None, None])
        plain = F.conv3d(features, network.head.weight[2:3])
    expected = F.interpolate(plain.relu() / plain[0, 0].numel(), size=SHAPE, mode="trilinear", align_corners=False)
    found = grad_cam(network, last, volume, lungs, 2)
    assert found.max() > 0
    np.testing.assert_allclose(found, expected[0, 0].numpy(), rtol=1e-3, atol=1e-9)


def test_grad_cam_weighs_channels_by_their_mean_gradient():
    activation = torch.tensor([[1.0, 2.0], [3.0, 1.0]]).reshape(1, 2, 1, 1, 2)
    gradient = torch.tensor([[1.0, 3.0], [-1.0, -1.0]]).reshape(1, 2, 1, 1, 2)  # means 2 and −1
    np.testing.assert_allclose(combine(activation, gradient, (1, 1, 2)).ravel(), [0.0, 3.0])


def test_grad_cam_leaves_no_gradient_and_no_hook_behind(config, scan):
    network = build_network(config)
    grad_cam(network, network.body.bottleneck, *scan, 0)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_the_cascade_goes_from_the_head_down_and_ends_with_an_untrained_network(config):
    network = build_network(config)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fresh = build_network(config.model_copy(update={"seed": 77})).state_dict()
    changed = []
    for name, worse in cascade(network, config, 77):
        left = {key for key, value in worse.state_dict().items() if not torch.equal(value, fresh[key])}
        changed.append((name, len(left)))
    assert changed[0][0] == "head" and changed[-1] == ("down 1", 0)
    assert [count for _, count in changed] == sorted((count for _, count in changed), reverse=True)
    assert len({count for _, count in changed}) == len(stages(network)) == (8 if config.method == "dcam" else 6)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_shuffled_head_moves_every_weight_to_another_channel(config):
    network = build_network(config)
    weight, shuffled = network.head.weight, with_shuffled_head(network, 3).head.weight
    assert torch.equal(weight.sort(dim=1).values, shuffled.sort(dim=1).values)
    assert not (weight == shuffled).any()


@pytest.fixture(scope="module")
def run(dcam_run):
    return restore_run(dcam_run)


def test_a_map_of_learnt_features_changes_with_the_weights(run, small_cohort):
    found = similarities(explain(run, open_cohort(small_cohort), "case002"), run)
    assert next(iter(found)) == "head" and list(found)[-1] == "down 1"
    assert abs(found["down 1"]["spearman"]) < 0.9 and found["down 1"]["ssim"] < 0.9


def test_a_map_that_shows_edges_whatever_the_weights_is_caught(dcam_run, small_cohort):
    edges = restore_run(dcam_run)

    def show_edges(volume, *, last_relu=True):
        steps = sum(torch.diff(volume, dim=axis, append=volume.narrow(axis, 0, 1)).abs() for axis in (2, 3, 4))
        return steps.expand(-1, edges.network.body.channels, -1, -1, -1)

    explained = explain(edges, open_cohort(small_cohort), "case002")
    edges.network.body.forward = show_edges
    volume, lungs = explained.volume_DHW, explained.mapped.lung_mask_DHW
    own = class_map(edges.network, volume, lungs, explained.mapped.class_id)
    found = similarities(replace(explained, maps={DCAM: own}), edges)
    assert all(abs(one["spearman"]) > 0.999 for one in found.values())


def test_random_weights_are_the_end_of_the_cascade_and_unlike_those_of_another_seed(run, small_cohort):
    explained = explain(run, open_cohort(small_cohort), "case002")
    lungs, class_id = explained.mapped.lung_mask_DHW, explained.mapped.class_id
    *_, (_, last) = randomized_maps(run, explained.volume_DHW, lungs, class_id, explained.seed)
    np.testing.assert_array_equal(explained.maps[RANDOM_WEIGHTS], last)
    found = chance_similarity(explained, run)
    assert 0 < abs(found) < 0.999 and found == chance_similarity(explained, run)


def test_controls_are_followed_and_a_map_that_does_not_vary_is_not(run, small_cohort):
    explained = explain(run, open_cohort(small_cohort), "case002")
    maps = {**explained.maps, GRAD_CAM: np.zeros_like(explained.maps[GRAD_CAM])}
    curves = follow(replace(explained, maps=maps), run, 0.1)
    assert {DCAM, RANDOM, RANDOM_WEIGHTS, SHUFFLED} <= {method for method, both in curves.items() if both}
    assert curves[GRAD_CAM] == {} and areas(curves[GRAD_CAM]) == {}
    assert "gap/normal/margin" in areas(curves[SHUFFLED])


def test_what_a_grad_cam_cuts_off_is_drawn_as_nothing(run, small_cohort):
    explained = explain(run, open_cohort(small_cohort), "case002")
    lungs = explained.mapped.lung_mask_DHW
    grad_cam_DHW = np.where(np.arange(lungs.shape[0])[:, None, None] < 8, 0, explained.maps[DCAM] + 100)
    ranks = _ranks(replace(explained, maps={GRAD_CAM: grad_cam_DHW}), GRAD_CAM)
    cut_off = (grad_cam_DHW == 0) & lungs
    assert cut_off.sum() > 0.2 * lungs.sum() and (ranks[cut_off] == 0).all()
    assert ranks[lungs & ~cut_off].min() >= cut_off.sum() / lungs.sum() - 1e-6 and ranks.max() == 1


def test_all_explanations_are_of_the_class_of_the_scan(run, small_cohort):
    explained = explain(run, open_cohort(small_cohort), "case005")
    lungs = explained.mapped.lung_mask_DHW
    own = explained.mapped.maps.dense_KDHW[explained.mapped.class_id]
    np.testing.assert_array_equal(explained.maps[DCAM], own)
    assert own[lungs].mean() == pytest.approx(explained.mapped.maps.logit_K[explained.mapped.class_id], abs=1e-5)
    again = explain(run, open_cohort(small_cohort), "case005")
    assert all((explained.maps[name] == again.maps[name]).all() for name in explained.maps)
    reseeded = replace(run, config=run.config.model_copy(update={"seed": 9}))
    other = explain(reseeded, open_cohort(small_cohort), "case005")
    assert (other.maps["random"] != again.maps["random"]).any()

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dcam_dist.cohort import open_cohort
from dcam_dist.cohort.stream import read_volume
from dcam_dist.maps import activation_maps, map_case
from dcam_dist.maps.compute import softmax
from dcam_dist.models import build_network
from dcam_dist.runs import restore_run


@pytest.fixture(scope="module")
def case(cohort_path):
    return read_volume(open_cohort(cohort_path), "case-1", (-1150.0, -300.0))


def network_with_a_past(config):
    """A network whose head and running statistics are not the initial ones, as after training."""
    network = build_network(config)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        network.head.weight.normal_(generator=generator)
        network.head.bias.normal_(generator=generator)
        for name, buffer in network.named_buffers():
            buffer.uniform_(0.5, 1.5, generator=generator) if name.endswith("var") else buffer.normal_(
                0, 0.1, generator=generator
            )
    return network


def as_batch(*arrays):
    return tuple(torch.from_numpy(array)[None, None] for array in arrays)


def test_lung_mean_of_the_maps_is_the_scans_logits(settings, case):
    network = network_with_a_past(settings("clustering.clusters=6"))
    maps = activation_maps(network, *case)
    with torch.no_grad():
        logits = network(*as_batch(*case))[0].numpy()
    assert maps.dense_KDHW.dtype == np.float32 and maps.dense_KDHW.shape == (6, *case[0].shape)
    assert np.ptp(logits) > 0.1
    np.testing.assert_allclose(maps.dense_KDHW[:, case[1]].astype(np.float64).mean(axis=1), logits, atol=1e-5)
    np.testing.assert_allclose(maps.logit_K, logits, atol=1e-5)


def test_the_baselines_maps_cover_the_grid_and_agree_with_its_logits_at_their_own_resolution(settings, case):
    network = network_with_a_past(settings("method=baseline"))
    maps = activation_maps(network, *case)
    assert maps.dense_KDHW.shape == (2, *case[0].shape)
    volume, mask = as_batch(*case)
    share = F.avg_pool3d(mask.float(), 16)
    with torch.no_grad():
        coarse = network.activation_maps(network.body(volume))
    np.testing.assert_allclose((coarse * share).sum((0, 2, 3, 4)) / share.sum(), maps.logit_K, atol=1e-5)
    interpolated = maps.dense_KDHW.reshape(2, 1, 16, 2, 16, 2, 16)[:, :, 7:9, :, 7:9, :, 7:9].mean(axis=(2, 4, 6))
    assert np.abs(interpolated - coarse[0].numpy()).max() < 0.1 * np.ptp(coarse.numpy())  # not shifted


def test_mapping_leaves_the_network_as_it_was(settings, case):
    network = network_with_a_past(settings())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    first, second = activation_maps(network, *case), activation_maps(network, *case)
    np.testing.assert_array_equal(first.dense_KDHW, second.dense_KDHW)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_features_are_those_that_the_clustering_sees(settings, case):
    network = network_with_a_past(settings())
    after, before = (activation_maps(network, *case, last_relu=last_relu) for last_relu in (True, False))
    assert after.feature_C.min() >= 0 > before.feature_C.min()
    np.testing.assert_array_equal(after.logit_K, before.logit_K)


def test_training_cases_keep_the_cluster_of_the_closing_assignment(trained_run, cohort_path):
    run, cohort = restore_run(trained_run), open_cohort(cohort_path)
    mapped = {case_id: map_case(run, cohort, case_id) for case_id in run.checkpoint.assignment.case_id_N}
    assert {case_id: case.class_id for case_id, case in mapped.items()} == run.checkpoint.assignment.by_case()
    for case in mapped.values():
        assert case.distance_K.argmin() == case.class_id
        assert case.probability_K.sum() == pytest.approx(1, abs=1e-6)


def test_softmax_is_stable_and_over_the_first_axis():
    probability = softmax(np.array([[1000.0, 0.0], [1000.0, np.log(3)]]))
    np.testing.assert_allclose(probability, [[0.5, 0.25], [0.5, 0.75]], rtol=1e-6)
    assert probability.dtype == np.float32

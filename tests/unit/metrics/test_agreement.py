import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import adjusted_rand_score, cohen_kappa_score, normalized_mutual_info_score

from dcam_dist import metrics
from dcam_dist.types import UNASSIGNED

LABELS = 6
ids = hnp.arrays(np.int64, 40, elements=st.integers(0, LABELS - 1))
ids_or_none = hnp.arrays(np.int64, 40, elements=st.sampled_from([UNASSIGNED, *range(LABELS)]))


def array(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def accuracy(cluster: np.ndarray, label: np.ndarray, clusters: int, labels: int) -> float:
    mapping = metrics.match_clusters(cluster, label, clusters=clusters, labels=labels)
    return metrics.clustering_accuracy(cluster, label, mapping)


def test_contingency_counts_cases_that_have_both():
    cluster, label = array(0, 0, 1, 1, UNASSIGNED, 2), array(1, 1, 0, UNASSIGNED, 0, 2)
    table = metrics.contingency(cluster, label, 3, 3)
    assert table.dtype == np.int64
    assert table.tolist() == [[0, 2, 0], [1, 0, 0], [0, 0, 1]]


def test_matching_beats_the_greedy_choice():
    # Greedy takes the 5 of cluster 0 and leaves 0 for cluster 1; the best matching takes 4 + 4.
    cluster = np.repeat(array(0, 0, 1), [5, 4, 4])
    label = np.repeat(array(0, 1, 0), [5, 4, 4])
    assert metrics.match_clusters(cluster, label, clusters=2, labels=2).tolist() == [1, 0]
    assert accuracy(cluster, label, 2, 2) == pytest.approx(8 / 13)


def test_more_clusters_than_labels_leaves_the_surplus_unassigned():
    cluster, label = array(0, 0, 0, 1, 2, 2), array(0, 0, 0, 0, 1, 1)
    mapping = metrics.match_clusters(cluster, label, clusters=3, labels=2)
    assert mapping.tolist() == [0, UNASSIGNED, 1]
    assert metrics.clustering_accuracy(cluster, label, mapping) == pytest.approx(5 / 6)


def test_fewer_clusters_than_labels_leaves_a_label_unreached():
    cluster, label = array(0, 0, 1, 1, 1), array(2, 2, 0, 0, 1)
    mapping = metrics.match_clusters(cluster, label, clusters=2, labels=3)
    assert mapping.tolist() == [2, 0]
    assert metrics.clustering_accuracy(cluster, label, mapping) == pytest.approx(4 / 5)


def test_an_unmatched_cluster_never_hits_an_unlabelled_case():
    cluster, label = array(0, 1, 2), array(0, UNASSIGNED, UNASSIGNED)
    assert metrics.clustering_accuracy(cluster, label, array(0, UNASSIGNED, UNASSIGNED)) == 1.0


def test_a_matching_stays_fixed_on_other_cases():
    mapping = metrics.match_clusters(array(0, 0, 1, 1), array(0, 0, 1, 1), clusters=2, labels=2)
    swapped_cluster, label = array(1, 1, 0, 0), array(0, 0, 1, 1)
    assert metrics.clustering_accuracy(swapped_cluster, label, mapping) == 0.0
    assert accuracy(swapped_cluster, label, 2, 2) == 1.0


def test_unlabelled_cases_change_nothing_and_unclustered_ones_count_as_misses():
    cluster, label, mapping = array(0, 1, 1, 0), array(0, 1, 0, UNASSIGNED), array(0, 1)
    assert metrics.clustering_accuracy(cluster, label, mapping) == pytest.approx(2 / 3)
    assert metrics.clustering_accuracy(array(0, UNASSIGNED, 1, 0), label, mapping) == pytest.approx(1 / 3)


def test_a_matching_without_a_usable_case_is_refused():
    for cluster, label in [(array(), array()), (array(0, 1), array(UNASSIGNED, UNASSIGNED)), (array(-100), array(1))]:
        with pytest.raises(ValueError, match="at least one case"):
            metrics.match_clusters(cluster, label, clusters=2, labels=2)


@pytest.mark.parametrize("label", [array(), array(UNASSIGNED, UNASSIGNED)])
def test_scores_without_a_labelled_case_are_nan(label: np.ndarray):
    cluster = np.zeros(len(label), dtype=np.int64)
    scores = [
        metrics.clustering_accuracy(cluster, label, array(0, 1)),
        metrics.adjusted_rand(cluster, label),
        metrics.normalized_mutual_information(cluster, label),
        metrics.weighted_kappa(cluster, label, labels=2),
        metrics.within_one_grade(cluster, label),
        metrics.majority_share(label),
    ]
    assert np.isnan(scores).all()


def test_bad_tables_are_refused():
    with pytest.raises(ValueError, match="same cases"):
        metrics.contingency(array(0, 1), array(0), 2, 2)
    with pytest.raises(ValueError, match="cluster id 2 must be 0 to 1"):
        metrics.contingency(array(0, 2), array(0, 1), 2, 2)
    with pytest.raises(ValueError, match="label id -1"):
        metrics.contingency(array(0, 1), array(0, -1), 2, 2)
    with pytest.raises(ValueError, match="one-dimensional integer"):
        metrics.majority_share(np.array([0.5, 1.0]))


def test_narrow_and_unsigned_ids_are_accepted():
    assert metrics.contingency(np.array([0, 5], np.uint8), np.array([5, 0], np.int8), 6, 6).sum() == 2


@given(ids, ids)
def test_partition_scores_match_scikit_learn(cluster: np.ndarray, label: np.ndarray):
    assert metrics.adjusted_rand(cluster, label) == pytest.approx(adjusted_rand_score(label, cluster))
    nmi = metrics.normalized_mutual_information(cluster, label)
    assert nmi == pytest.approx(normalized_mutual_info_score(label, cluster), abs=1e-12)


@given(ids, ids)
def test_kappa_matches_scikit_learn_over_the_whole_label_set(predicted: np.ndarray, label: np.ndarray):
    ours = metrics.weighted_kappa(predicted, label, labels=LABELS)
    if len(np.unique([*predicted, *label])) == 1:
        assert np.isnan(ours)
    else:
        theirs = cohen_kappa_score(label, predicted, labels=range(LABELS), weights="linear")
        assert ours == pytest.approx(theirs, abs=1e-12)


@given(ids_or_none, ids_or_none)
def test_unlabelled_cases_are_ignored_by_every_score(cluster: np.ndarray, label: np.ndarray):
    kept, mapping = label != UNASSIGNED, np.arange(LABELS)
    for name, score in {
        "acc": lambda c, y: metrics.clustering_accuracy(c, y, mapping),
        "ari": metrics.adjusted_rand,
        "nmi": metrics.normalized_mutual_information,
        "kappa": lambda c, y: metrics.weighted_kappa(c, y, labels=LABELS),
        "near": metrics.within_one_grade,
    }.items():
        assert score(cluster, label) == pytest.approx(score(cluster[kept], label[kept]), nan_ok=True), name


def test_a_missing_prediction_is_a_miss_to_kappa_and_to_the_grade():
    label = array(0, 1, 2, 3, 4, 5)
    missing = array(0, 1, 2, 3, 4, UNASSIGNED)
    assert metrics.weighted_kappa(label, label, labels=6) == 1.0
    # Observed: one case 5 grades away. By chance: (55 from the five predicted grades + 6·5) / 6.
    assert metrics.weighted_kappa(missing, label, labels=6) == pytest.approx(1 - 5 * 6 / 85)
    assert metrics.weighted_kappa(np.full(6, UNASSIGNED), label, labels=6) == pytest.approx(0.0)
    assert metrics.within_one_grade(missing, label) == pytest.approx(5 / 6)


def test_within_one_grade_counts_neighbours_only():
    assert metrics.within_one_grade(array(0, 1, 2, 3), array(0, 0, 0, 0)) == 0.5


def test_majority_share():
    assert metrics.majority_share(array(2, 2, 2, 0, UNASSIGNED)) == 0.75


@given(ids, st.permutations(range(LABELS)))
def test_renamed_labels_are_a_perfect_clustering(label: np.ndarray, names: list[int]):
    cluster = metrics.apply_permutation(label, np.array(names))
    assert accuracy(cluster, label, LABELS, LABELS) == 1.0
    assert metrics.adjusted_rand(cluster, label) == 1.0
    assert metrics.normalized_mutual_information(cluster, label) == pytest.approx(1.0)


@given(ids, ids, st.permutations(range(LABELS)))
def test_scores_do_not_depend_on_the_names_of_the_clusters(cluster: np.ndarray, label: np.ndarray, names: list[int]):
    renamed = metrics.apply_permutation(cluster, np.array(names))
    assert accuracy(renamed, label, LABELS, LABELS) == accuracy(cluster, label, LABELS, LABELS)
    assert metrics.adjusted_rand(renamed, label) == pytest.approx(metrics.adjusted_rand(cluster, label))


@given(ids, ids)
def test_no_one_to_one_matching_does_better(cluster: np.ndarray, label: np.ndarray):
    best = accuracy(cluster, label, LABELS, LABELS)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert metrics.clustering_accuracy(cluster, label, rng.permutation(LABELS)) <= best

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from dcam_dist.maps import ActivationMaps, MappedCase, Scene, style
from dcam_dist.maps.figure1 import write_figure1
from dcam_dist.maps.naming import ClassNames
from dcam_dist.maps.overview import write_overview
from dcam_dist.maps.slices import Slice, cut, strongest_slice
from dcam_dist.maps.typical import TypicalCases
from dcam_dist.types import CaseRecord, Geometry

SHAPE, SPACING = (16, 20, 24), (5.0, 2.0, 1.5)
NAMES = ClassNames("cluster", ("cluster 1", "cluster 2"), ("dcam-cluster-1", "dcam-cluster-2"), 1)


def space(shape, spacing):
    matrix = np.diag([*spacing[::-1], 1.0])
    return Geometry.from_matrix(shape, matrix)


def scene_of(dense_KDHW, hu_DHW=None, lungs_DHW=None):
    """A case whose grid is its native crop."""
    geometry = space(SHAPE, SPACING)
    record = CaseRecord("case", "patient", "train", 0, geometry, geometry, geometry)
    lungs = np.ones(SHAPE, bool) if lungs_DHW is None else lungs_DHW
    hu = np.full(SHAPE, -850, np.int16) if hu_DHW is None else hu_DHW
    maps = ActivationMaps(dense_KDHW.astype(np.float32), np.zeros(2, np.float32), np.zeros(4, np.float32))
    return Scene(MappedCase(record, maps, lungs, 1, np.array([0.4, 0.6], np.float32), None), hu, lungs)


def view_of(times_chance_RC, lungs_RC=None):
    """A slice of two classes in which class 0 has the given probability over chance."""
    first = np.asarray(times_chance_RC, np.float32) / 2
    lungs = np.ones(first.shape, bool) if lungs_RC is None else lungs_RC
    hu = np.full(first.shape, -850, np.int16)
    return Slice(hu, lungs, np.stack([first, 1 - first]), (first < 0.5).astype(int), (50.0, 40.0))


@pytest.mark.parametrize(
    ("plane", "index_zyx", "row_column"),
    [
        ("axial", (7, 2, 3), (2, 3)),  # anterior above, the patient's right at the left
        ("axial", (7, 18, 21), (18, 21)),
        ("coronal", (14, 9, 3), (1, 3)),  # superior above, the patient's right at the left
        ("coronal", (1, 9, 21), (14, 21)),
        ("sagittal", (14, 2, 9), (1, 2)),  # superior above, anterior at the left
        ("sagittal", (1, 18, 9), (14, 18)),
    ],
)
def test_slices_are_turned_as_radiologists_read_them(plane, index_zyx, row_column):
    hu, lungs, dense = np.full(SHAPE, -850, np.int16), np.zeros(SHAPE, bool), np.zeros((2, *SHAPE))
    hu[index_zyx], lungs[index_zyx], dense[(1, *index_zyx)] = 400, True, 6.0
    axis = ("axial", "coronal", "sagittal").index(plane)
    view = cut(scene_of(dense, hu, lungs), plane, index_zyx[axis])
    for marked in (view.hu_RC == 400, view.lungs_RC, view.winner_RC == 1, view.probability_KRC[1] > 0.9):
        assert np.argwhere(marked).tolist() == [list(row_column)]


@pytest.mark.parametrize(
    ("plane", "size_mm"), [("axial", (40.0, 36.0)), ("coronal", (80.0, 36.0)), ("sagittal", (80.0, 40.0))]
)
def test_panels_keep_the_physical_aspect(plane, size_mm):
    view = cut(scene_of(np.zeros((2, *SHAPE))), plane, 4)
    assert view.size_mm == size_mm
    axes = Figure().add_subplot()
    style.empty_panel(axes, 100, 100)
    style.draw_ct(axes, view)
    left, right, bottom, top = axes.images[0].get_extent()
    assert (top - bottom, right - left) == size_mm
    assert axes.get_aspect() == 1


def test_the_strongest_slice_is_where_the_class_is_likely_and_not_where_there_is_hardly_any_lung():
    dense, lungs = np.zeros((2, *SHAPE)), np.ones(SHAPE, bool)
    dense[1, 11, :, :], dense[1, 3] = 2.0, 5.0
    lungs[3, 1:, :] = False
    scene = scene_of(dense, lungs_DHW=lungs)
    assert strongest_slice(scene, "axial", 1) == 11
    assert strongest_slice(scene, "axial", 0) not in (3, 11)


def test_the_strongest_slice_is_found_in_a_crop_of_another_resolution():
    dense = np.zeros((2, *SHAPE))
    dense[1, 10] = 3.0
    scene = scene_of(dense)
    finer = space((48, 20, 24), (5.0 / 3, 2.0, 1.5))
    record = CaseRecord("case", "patient", "train", 0, finer, finer, scene.mapped.record.grid)
    mapped = MappedCase(record, scene.mapped.maps, scene.mapped.lung_mask_DHW, 1, scene.mapped.probability_K, None)
    assert strongest_slice(Scene(mapped, scene.hu_DHW, scene.lungs_DHW), "axial", 1) == 30


def test_one_value_has_one_colour_whatever_else_the_slice_holds():
    colours = []
    for others in (0.3, 1.9):
        axes = Figure().add_subplot()
        style.draw_map(axes, view_of([[1.2, others], [1.2, others]]), 0)
        colours.append(np.asarray(axes.images[1].get_array())[:, 0])
    np.testing.assert_array_equal(colours[0], colours[1])


def test_a_pixel_that_speaks_for_no_class_is_not_drawn_and_one_that_is_sure_is_at_the_top():
    for classes in (2, 6):
        probability = np.full((classes, 2, 2), 1 / classes, np.float32)
        probability[:, 1, 1], probability[:, 1, 0] = 0, 0.9 / (classes - 1)
        probability[0, 1, 1], probability[0, 1, 0] = 1, 0.1
        view = Slice(
            np.zeros((2, 2), np.int16), np.ones((2, 2), bool), probability, np.zeros((2, 2), int), (10.0, 10.0)
        )
        axes = Figure().add_subplot()
        style.draw_map(axes, view, 0)
        drawn_RC4 = np.asarray(axes.images[1].get_array())
        assert drawn_RC4[0, 0, 3] < 0.01 and drawn_RC4[1, 0, 3] == 0
        np.testing.assert_allclose(drawn_RC4[1, 1], style.map_colours()(1.0), atol=0.01)
        assert max(style.scale_ticks(classes)) == pytest.approx(min(4, classes))


def test_colours_lie_inside_the_lungs_alone():
    lungs = np.zeros((6, 6), bool)
    lungs[2:4, 1:3] = True
    view = view_of(np.full((6, 6), 1.8), lungs)
    for draw in (lambda axes: style.draw_map(axes, view, 0), lambda axes: style.draw_winner(axes, view)):
        axes = Figure().add_subplot()
        draw(axes)
        np.testing.assert_array_equal(np.asarray(axes.images[1].get_array())[..., 3] > 0, lungs)


@pytest.mark.parametrize("classes", [2, 7, 12])
def test_classes_have_colours_of_their_own(classes):
    assert len({tuple(colour) for colour in style.winner_colours(classes)}) == classes


def test_an_overview_has_three_rows_and_a_column_for_each_map(tmp_path):
    dense = np.random.default_rng(0).normal(size=(2, *SHAPE))
    path = write_overview(scene_of(dense), tmp_path / "overlay.png", NAMES)
    height, width = imread(path).shape[:2]
    assert height > 300 and width > 900


@pytest.mark.parametrize("sizes", [(2, 2), (1, 0), (2, 1)])
def test_the_figure_leaves_out_classes_without_cases(tmp_path, sizes):
    groups = [TypicalCases(k, tuple(f"{k}{n}" for n in range(size)), 9) for k, size in enumerate(sizes)]
    views = {case_id: view_of(np.full((8, 6), 1.5)) for group in groups for case_id in group.case_ids}
    path = write_figure1(groups, views, tmp_path / "figure1.png", NAMES, "title")
    assert imread(path).ndim == 3

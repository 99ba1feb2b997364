import pytest
import torch

from benchmarks.gpu_clustering import measure


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_torch_and_sklearn_are_measured_and_cuml_is_named():
    found = measure([2000], [2, 3], 1)
    assert [one.name.partition(": ")[::2] for one in found.series] == [
        (f"2000 rows, k = {k}", name) for k in (2, 3) for name in ("torch", "sklearn")
    ]
    assert found.notes[0].startswith("cuml is left out: cuML cannot be used: this process has no CUDA device")
    assert found.notes[1] == "device: none but the CPU"
    rows = found.tables["Scale, PCA, k-means"].splitlines()[2:]
    inertia = [float(row.split("|")[-2]) for row in rows]
    assert inertia[0] == pytest.approx(inertia[1], rel=0.02) and inertia[2] == pytest.approx(inertia[3], rel=0.02)

"""NOT cuML: scikit-learn and NumPy in its shape, so that the adapter's own logic can be tested without a GPU.

It takes the place of ``dcam_dist.clustering.cuml_libraries``. It has cuML 26.10's keyword-only arguments and refuses
any other (``test_cuml_signatures`` holds them against the real ones), and what cuML's sources say of its behaviour: one
channel is refused, PCA works in float32 from the covariance, centres its input in place and puts the mean back, gives
signs of its own, and both want float32 in the order that spares a copy. It says nothing of the real numbers.
"""

from contextlib import nullcontext

import numpy as np
from sklearn.cluster import KMeans as SklearnKMeans

VERSIONS = "a stand-in for cuML"


class PCA:
    def __init__(
        self,
        *,
        copy=True,
        iterated_power=15,
        n_components=None,
        svd_solver="auto",
        tol=1e-07,
        verbose=False,
        whiten=False,
        output_type=None,
    ):
        assert svd_solver == "full" and not whiten and output_type == "cupy"
        self.n_components = n_components

    def fit(self, X, y=None):
        assert X.dtype == np.float32 and X.flags.f_contiguous, "cuML would make a copy"
        if min(X.shape) < 2 or self.n_components > X.shape[1]:
            raise ValueError("at least 2 rows and channels, and no more components than channels")
        mean = X.mean(axis=0)
        X -= mean
        variance, vectors = np.linalg.eigh(X.T @ X / np.float32(len(X) - 1))
        X += mean
        mixed = np.where(np.arange(len(variance)) % 2, 1, -1)
        self.components_ = np.asfortranarray((vectors * mixed)[:, ::-1].T[: self.n_components])
        self.explained_variance_ = np.ascontiguousarray(variance[::-1][: self.n_components])
        return self


class KMeans:
    def __init__(
        self,
        *,
        n_clusters=8,
        max_iter=300,
        tol=0.0001,
        verbose=False,
        random_state=None,
        init="scalable-k-means++",
        n_init="auto",
        oversampling_factor=2.0,
        max_samples_per_batch=32768,
        device_buffer_samples=0,
        init_size=0,
        output_type=None,
    ):
        assert init in {"scalable-k-means++", "random"} and output_type == "cupy"
        if not 0 <= random_state < 2**32:
            raise ValueError("Expected `0 <= random_state <= 2**32 - 1`")
        self.worker = SklearnKMeans(
            n_clusters,
            init="random" if init == "random" else "k-means++",
            n_init=n_init,
            max_iter=max_iter,
            tol=tol,
            random_state=random_state,
        )

    def fit(self, X, y=None, sample_weight=None):
        assert X.dtype == np.float32 and X.flags.c_contiguous, "cuML would make a copy"
        self.cluster_centers_ = self.worker.fit(X).cluster_centers_
        return self


def array_of(tensor):
    return tensor.numpy()


def on_device(device):
    return nullcontext()


def free_bytes(device):
    return 2**40

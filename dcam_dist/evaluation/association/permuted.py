"""The joint test of cluster effects by permuting residuals, for clusters too small for the F distribution."""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.association.groups import Floats, permutation_p


def freedman_lane(outcome_M: Floats, matrix_MP: Floats, clusters: int) -> float:
    """Test all clusters together by residuals of the covariates alone in random orders (Freedman & Lane 1983).

    The statistic is Wald's with HC3 errors, as of the model itself, so that clusters may differ in spread.

    Args:
        outcome_M: The outcome.
        matrix_MP: The clusters' columns, then those of the covariates; no constant.
        clusters: How many columns are clusters'.

    Returns:
        p.
    """
    constant_M1 = np.ones((outcome_M.size, 1))
    reduced_M = _residuals(np.hstack([constant_M1, matrix_MP[:, clusters:]]), outcome_M[:, None])[:, 0]
    full_MP = np.hstack([constant_M1, matrix_MP])
    observed = float(_wald_hc3(full_MP, reduced_M[:, None], clusters)[0])

    def statistics(reduced_RM: Floats) -> Floats:
        return _wald_hc3(full_MP, reduced_RM.T, clusters)

    return permutation_p(observed, reduced_M, statistics, 2 * outcome_M.size)


def _residuals(matrix_MP: Floats, outcome_MR: Floats) -> Floats:
    basis_MP: NDArray[np.float64] = np.linalg.qr(matrix_MP)[0]
    return outcome_MR - basis_MP @ (basis_MP.T @ outcome_MR)


def _wald_hc3(matrix_MP: Floats, outcome_MR: Floats, clusters: int) -> Floats:
    """Wald's statistic of the columns after the first, for each of R outcomes."""
    basis_MP, upper_PP = np.linalg.qr(matrix_MP)
    leverage_M = (basis_MP**2).sum(axis=1)
    inverse_PM = np.linalg.solve(upper_PP, basis_MP.T)[1 : 1 + clusters]
    estimate_RK = (inverse_PM @ outcome_MR).T
    weight_MR = (_residuals(matrix_MP, outcome_MR) / (1 - leverage_M)[:, None]) ** 2
    first, second = np.indices((clusters, clusters)).reshape(2, -1)
    covariance_RKK = ((inverse_PM[first] * inverse_PM[second]) @ weight_MR).T.reshape(-1, clusters, clusters)
    size_R = np.trace(covariance_RKK, axis1=1, axis2=2)  # where two clusters have no spread it would be singular
    covariance_RKK = covariance_RKK + 1e-12 * size_R[:, None, None] * np.eye(clusters)
    solved_RK = np.linalg.solve(covariance_RKK, estimate_RK[:, :, None])[:, :, 0]
    return np.asarray((estimate_RK * solved_RK).sum(axis=1), np.float64)

"""Mean and variance of eps^T A eps, by enumeration of signs and by moments of normal variables."""

from itertools import product

import numpy as np

from autograder.checking import weight
from autograder.checking.compare import close_number

A = np.array([[2.0, 1, 0], [3, -1, 2], [-2, 0, 4]])
SIGNS = np.array(list(product((-1.0, 1.0), repeat=3)))
FORMS = np.einsum("ni,ij,nj->n", SIGNS, A, SIGNS)
S = (A + A.T) / 2


@weight(1)
def test_mean(student):
    """The mean is right."""
    assert close_number(student.value("t3_mean"), FORMS.mean(), atol=1e-3), "the estimator is unbiased: of what?"


@weight(2)
def test_rademacher(student):
    """The variance for random signs is right (to 0.001)."""
    answer = student.value("t3_rademacher")
    unsymmetric = 2 * ((A**2).sum() - (A.diagonal() ** 2).sum())
    assert not close_number(answer, unsymmetric, atol=1e-3), "eps_i eps_j meets both A_ij and A_ji: they add before squaring"
    assert close_number(answer, FORMS.var(), atol=1e-3), "enumerate the eight sign vectors: what does the diagonal contribute?"


@weight(2)
def test_gaussian(student):
    """The variance for normal vectors is right (to 0.001)."""
    answer = student.value("t3_gaussian")
    assert not close_number(answer, 2 * (A**2).sum(), atol=1e-3), "only the symmetric part of A is seen"
    assert close_number(answer, 2 * (S**2).sum(), atol=1e-3), (
        "with S the symmetric part of A, rotate to its eigenvectors: a sum of eigenvalues times squared normal variables"
    )

"""The reference numbers of the unit tests of `src/uncertainty/mahalanobis.rs`, with numpy 2.4.6.

Means, covariances and inverses are numpy's. The program prints the constant of the test.
"""

import numpy as np

LABELS = np.array([7, 2, 7, 2, 7, 2, 7, 7])
FEATURES = np.array([
    [1.0, 0.5, -0.25], [3.0, 2.0, 1.5], [0.0, -1.0, 0.75], [4.0, 2.5, 0.0],
    [-1.5, 0.25, 2.0], [2.5, 4.0, -1.0], [0.5, 1.5, 1.0], [1.25, -0.5, 0.5],
])
NEW = np.array([[0.0, 0.0, 0.0], [3.0, 3.0, 0.5], [9.0, -4.0, 2.0]])


def shrunk(covariance, shrinkage):
    width = len(covariance)
    return (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / width * np.eye(width)


def nearest(labels, shrinkage):
    within = sum(
        np.cov(FEATURES[labels == label].T, bias=True) * np.mean(labels == label) for label in set(labels)
    )
    inverse = np.linalg.inv(shrunk(within, shrinkage))
    means = [FEATURES[labels == label].mean(0) for label in set(labels)]
    return np.min([np.einsum("ij,jk,ik->i", NEW - mean, inverse, NEW - mean) for mean in means], axis=0)


print("const REFERENCE: [(f64, [f64; 3], [f64; 3]); 2] = [")
for shrinkage in [0.0, 0.25]:
    distance = nearest(LABELS, shrinkage)
    relative = distance - nearest(0 * LABELS, shrinkage)
    show = lambda numbers: "[" + ", ".join(repr(float(x)) for x in numbers) + "]"
    print(f"    ({shrinkage}, {show(distance)}, {show(relative)}),")
print("];")

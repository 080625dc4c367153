"""The data of examples/techniques, by scikit-learn. Run: python techniques.py FILE (scikit-learn, safetensors)."""

import sys

import numpy as np
import sklearn
from safetensors.numpy import save_file
from sklearn.datasets import make_blobs, make_circles, make_moons, make_regression

print("scikit-learn", sklearn.__version__)


def blobs(seed):
    x, y, centers = make_blobs(
        1000, n_features=2, centers=3, cluster_std=2, random_state=seed, return_centers=True
    )
    print(f"centers of seed {seed}:", centers.tolist())
    return x, y


sets = {
    "moons_100": make_moons(100, noise=0.2, random_state=1),
    "circles_100": make_circles(100, noise=0.1, random_state=1),
    "circles_1000": make_circles(1000, noise=0.1, random_state=1),
    "blobs_1000": blobs(2),
    "blobs_1000_seed1": blobs(1),
    "regression_1000": make_regression(1000, n_features=20, noise=0.1, random_state=1),
}
tensors = {}
for name, (x, y) in sets.items():
    tensors[f"{name}.x"] = np.ascontiguousarray(x, dtype=np.float64)
    tensors[f"{name}.y"] = np.ascontiguousarray(y, dtype=np.float64 if name.startswith("reg") else np.uint8)
save_file(tensors, sys.argv[1])

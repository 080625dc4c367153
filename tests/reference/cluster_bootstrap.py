"""The reference numbers of the cluster bootstrap in the tests of `src/statistics/bootstrap_mean.rs`.

Run with numpy (the numbers committed come from numpy 2.4.6). The Rust tests build the same tables.
"""

import numpy as np


def table(equal_sizes):
    differences, groups = [], []
    for group in range(20):
        size = 50 if equal_sizes else 5 + 10 * (group % 10)
        value = ((group * 7 + 3) % 20) / 20 - 0.475 + group % 3
        differences += [value + (row % 5) / 10 - 0.2 for row in range(size)]
        groups += [(group * 13) % 20] * size
    return np.array(differences), np.array(groups)


for equal_sizes in (True, False):
    differences, groups = table(equal_sizes)
    rng = np.random.default_rng(1)
    sums = np.bincount(groups, weights=differences)
    sizes = np.bincount(groups)
    drawn = rng.integers(0, 20, (200_000, 20))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    print(equal_sizes, differences.mean(), np.quantile(means, [0.025, 0.975]).tolist())

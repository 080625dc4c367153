"""Sums of the best assignments, for src/merge/align/assignment.rs. Run: python assignment.py (scipy)."""

import numpy as np
import scipy
from scipy.optimize import linear_sum_assignment

print("scipy", scipy.__version__)
for n in (3, 8, 32, 64):
    gains = np.array(
        [[(i * 37 + j * 91 + i * j * 17 + i * i * 5) % 101 / 7 - 5 for j in range(n)] for i in range(n)]
    )
    rows, columns = linear_sum_assignment(gains, maximize=True)
    print(n, repr(float(gains[rows, columns].sum())))

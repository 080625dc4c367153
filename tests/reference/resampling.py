"""Reference numbers for src/resample: sizes, class counts and index sets of scikit-learn's splitters.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    python tests/reference/resampling.py
"""

import warnings

import numpy as np
import sklearn
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

warnings.filterwarnings("ignore", message="The least populated class")
print("numpy", np.__version__, "scikit-learn", sklearn.__version__)

print("\nKFold: rows, k, fold sizes")
for n, k in [(10, 3), (11, 4), (7, 7), (100, 7), (5, 2)]:
    print((n, k, [len(test) for _, test in KFold(k).split(np.zeros(n))]))

# Classes in an order other than that of their numbers: 2 is the first to occur.
print("\nStratifiedKFold: rows of each class, k, rows of class 0, 1, 2 in each fold")
for counts, k in [((13, 7, 5), 4), ((20, 3, 10), 5), ((6, 6, 6), 3), ((1, 9, 2), 3)]:
    y = np.repeat([2, 0, 1], [counts[2], counts[0], counts[1]])
    folds = [np.bincount(y[test], minlength=3).tolist() for _, test in StratifiedKFold(k).split(y, y)]
    print((counts, k, folds))

print("\nGroupKFold: group sizes, k, fold sizes")
for sizes, k in [((5, 1, 1, 4, 3, 3, 2), 3), ((10, 1, 1, 1), 2), ((2, 2, 2, 2, 2), 3), ((9, 8, 7, 6, 5, 4, 3, 2, 1), 4)]:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    print((sizes, k, [len(test) for _, test in GroupKFold(k).split(groups, groups=groups)]))

print("\nTimeSeriesSplit: rows, n_splits, max_train_size, gap, test_size, (train from, to, test from, to)")
for n, k, window, gap, test in [
    (12, 3, None, 0, None),
    (13, 4, None, 0, None),
    (12, 3, None, 2, 2),
    (20, 4, 6, 0, None),
    (20, 4, 5, 1, 3),
    (30, 5, 40, 3, 4),
    (7, 6, None, 0, None),
]:
    split = TimeSeriesSplit(k, max_train_size=window, gap=gap, test_size=test).split(np.zeros(n))
    ends = lambda rows: (int(rows[0]), int(rows[-1]) + 1)
    print((n, k, window, gap, test, [ends(a) + ends(b) for a, b in split]))

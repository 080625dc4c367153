"""The numbers of the unit tests of `data::scale`, by scikit-learn.

Needs numpy and scikit-learn (made with 1.9.1 on scipy 1.17.1). Run: python3 tests/reference/scaling.py
"""

import numpy as np
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

# Positive and skewed; of both signs; negative; with ties; constant.
ROWS = np.array(
    [
        [0.1, -2.0, -7.0, 1.0, 3.0],
        [0.3, 0.5, -1.5, 1.0, 3.0],
        [0.4, 7.25, -0.5, 2.0, 3.0],
        [0.9, -1.5, -0.25, 1.0, 3.0],
        [1.7, 0.0, -2.5, 5.0, 3.0],
        [3.0, 1.25, -0.1, 2.0, 3.0],
        [12.0, -4.0, -3.0, 2.0, 3.0],
        [45.0, 2.5, -0.75, 9.0, 3.0],
    ]
)
# Within the rows of the fit, and beyond them.
FRESH = np.array([[0.35, 1.0, -2.0, 2.0, 3.0], [60.0, -5.0, -0.05, 0.0, 4.0], [0.2, 0.25, -4.0, 3.0, 3.0]])


def show(name, table):
    print(name)
    for row in np.atleast_2d(table):
        print("    [" + ", ".join(repr(float(x)) for x in row) + "],")


for name, scaler in [
    ("standardize", StandardScaler()),
    ("min-max:-1:3", MinMaxScaler((-1, 3))),
    ("max-abs", MaxAbsScaler()),
    ("robust", RobustScaler()),
    ("robust:0.1:0.8", RobustScaler(quantile_range=(10, 80))),
    ("power", PowerTransformer()),
    ("quantile:8", QuantileTransformer(n_quantiles=8)),
    ("quantile:5", QuantileTransformer(n_quantiles=5)),
    ("quantile:5:true", QuantileTransformer(n_quantiles=5, output_distribution="normal")),
]:
    scaler.fit(ROWS)
    show(name, scaler.transform(FRESH))
    if name == "power":
        show("lambda", scaler.lambdas_)
    if name.startswith("quantile:5"):
        z = np.array([[0.3, 0.6, 0.1, 0.9, 0.5], [-0.4, 1.4, 0.77, 0.5, 0.2]])
        show("its inverse of\n" + str(z), scaler.inverse_transform(z))

encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(ROWS[:, 3:])
show("one-hot of columns 3 and 4", encoder.transform(FRESH[:, 3:]))

"""Numbers for src/combine/stack/tests.rs: linear models with fewer rows (60) than meta-features (80).

Run: python tests/reference/stacking_wide.py   (scikit-learn 1.9.1, numpy 2.4.6). The table is that of stacking.py,
with 4 members, 20 classes and the seed 7; shown are the coefficients of the first five meta-features and the
intercept for class 3.
"""
import numpy as np
from sklearn.linear_model import ElasticNet, Ridge

from lcg import Lcg

ROWS, MEMBERS, CLASSES = 60, 4, 20

g = Lcg(7)
labels = [int(g.draw() * CLASSES) for _ in range(ROWS)]
said = np.array(
    [[[3 * g.draw() + (1.2 if c == y else 0) for c in range(CLASSES)] for y in labels] for _ in range(MEMBERS)]
)
said = np.exp(said)
said /= said.sum(2, keepdims=True)
_ = [g.draw() for _ in range(2 * ROWS)]
weights = np.array([0.5 + g.draw() for _ in range(ROWS)])
x = said.transpose(1, 0, 2).reshape(ROWS, MEMBERS * CLASSES)
y = (np.array(labels)[:, None] == np.arange(CLASSES)).astype(float)


def least_norm(w):
    """The solution of least norm in units of the standard deviations."""
    share = w / w.sum()
    mean, target = share @ x, share @ y
    deviation = np.sqrt(share @ (x - mean) ** 2)
    root = np.sqrt(share)[:, None]
    b = np.linalg.pinv(root * (x - mean) / deviation, rcond=1e-6) @ (root * (y - target)) / deviation[:, None]
    return b[:, 3], target[3] - mean @ b[:, 3]


for w in (np.ones(ROWS), weights):
    ridge = Ridge(alpha=3.0, solver="svd").fit(x, y, sample_weight=w)
    net = ElasticNet(alpha=0.002, l1_ratio=0.5, tol=1e-12, max_iter=100000).fit(x, y[:, 3], sample_weight=w)
    for name, b, c in (
        ("linear", *least_norm(w)),
        ("ridge", ridge.coef_[3], ridge.intercept_[3]),
        ("net", net.coef_, net.intercept_),
    ):
        print(name, [float(v) for v in b[:5]], float(c))

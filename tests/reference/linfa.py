"""Numbers for tests/linfa.rs, from scikit-learn.

Run: python tests/reference/linfa.py   (scikit-learn 1.9.1, numpy 2.4.6)
"""
import math

import numpy as np
import sklearn
from sklearn.linear_model import LinearRegression, TweedieRegressor

from lcg import Lcg

ROWS = 60


def rows():
    """(ROWS, 3) predictions of three members, counts, weights (every fifth is 0)."""
    g = Lcg(7)
    x = np.array([[3 * g.draw() for _ in range(3)] for _ in range(ROWS)])
    means = [3 * math.exp(0.3 * a + 0.2 * b - 0.1 * c) for a, b, c in x]
    counts = np.array([math.floor(mean * (0.3 + g.draw())) for mean in means], dtype=float)
    weights = np.array([0.0 if i % 5 == 0 else 0.5 + g.draw() for i in range(ROWS)])
    return x, counts, weights


def rust(name, model):
    row = ", ".join(f"{x:.10}" for x in [*model.coef_, model.intercept_])
    print(f"const {name}: &[f64] = &[{row}];")


def main():
    print(f"// scikit-learn {sklearn.__version__}, numpy {np.__version__}")
    x, counts, weights = rows()
    rust("LEAST_SQUARES", LinearRegression().fit(x, counts))
    rust("LEAST_SQUARES_WEIGHTED", LinearRegression().fit(x, counts, sample_weight=weights))
    cases = [
        ("NORMAL", 0, 0.1, "auto", 0.0),
        ("NORMAL_LOG", 0, 0.1, "log", 0.0),
        ("POISSON", 1, 0.0, "auto", 0.0),
        ("POISSON_PENALTY", 1, 0.5, "auto", 0.0),
        ("COMPOUND", 1.5, 0.1, "auto", 0.0),
        ("GAMMA", 2, 0.0, "auto", 0.5),
        ("GAMMA_PENALTY", 2, 0.1, "auto", 0.5),
        ("INVERSE_GAUSSIAN", 3, 0.01, "auto", 0.5),
    ]
    for name, power, alpha, link, more in cases:
        def model():
            return TweedieRegressor(
                power=power, alpha=alpha, link=link, solver="newton-cholesky", tol=1e-11, max_iter=1000
            )

        rust(name, model().fit(x, counts + more))
        rust(f"{name}_WEIGHTED", model().fit(x, counts + more, sample_weight=weights))


if __name__ == "__main__":
    main()

"""The reference numbers in the tests of `src/combine/calibrate`.

Run with numpy, scipy and scikit-learn installed (the numbers committed come from numpy 2.4.6, scipy 1.17.1 and
scikit-learn 1.9.1). The Rust tests build the same tables from the same integer formulas.
"""

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from sklearn.isotonic import IsotonicRegression

ROWS = 80
EPSILON = np.finfo(np.float64).eps


def table(classes):
    """Over-confident, a little skewed; every seventh row is certain of a class."""
    i, c = np.arange(ROWS)[:, None], np.arange(classes)[None, :]
    raw = ((i * 37 + c * 101 + i * c * 17) % 97 + 1).astype(np.float64) ** 3
    probs = raw / raw.sum(1, keepdims=True)
    row = np.arange(ROWS)
    certain = row % 7 == 0
    probs[certain] = np.eye(classes)[(row % classes)[certain]]
    other = (row % 3 == 0) & ~certain | (row == 14)
    labels = np.where(other, (row * row + 1) % classes, probs.argmax(1))
    return probs, labels, 0.5 * (1 + row % 6)


def nll(logits, labels, weights):
    losses = -log_softmax(logits, axis=1)[np.arange(ROWS), labels]
    return np.average(losses, weights=weights)


def isotonic(probs, labels, weights):
    """One against the rest, as scikit-learn's CalibratedClassifierCV does it."""
    classes = probs.shape[1]
    out = np.zeros_like(probs)
    for k in range(1 if classes == 2 else 0, classes):
        model = IsotonicRegression(out_of_bounds="clip")
        model.fit(probs[:, k], labels == k, sample_weight=weights)
        # On other values, too.
        out[:, k] = model.predict(0.9 * probs[:, k] + 0.02)
    if classes == 2:
        out[:, 0] = 1 - out[:, 1]
    total = out.sum(1, keepdims=True)
    return np.where(total == 0, 1 / classes, out / np.where(total == 0, 1, total))


for classes in (2, 4):
    probs, labels, weights = table(classes)
    logs = np.log(np.clip(probs, EPSILON, 1))
    for name, w in (("even", np.ones(ROWS)), ("weighted", weights)):
        print(classes, name, "before", repr(nll(logs, labels, w)))
        best = minimize_scalar(
            lambda t: nll(logs * np.exp(-t), labels, w), bounds=(-4, 4), method="bounded", options={"xatol": 1e-12}
        )
        print("  temperature", repr(np.exp(best.x)), repr(best.fun))

        def penalised(ab):
            a, b = ab[:classes], ab[classes:]
            return nll(a * logs + b, labels, w) + 0.5e-8 * (((a - 1) ** 2).sum() + (b**2).sum())

        start = np.concatenate([np.full(classes, np.exp(-best.x)), np.zeros(classes)])
        found = minimize(penalised, start, method="BFGS", options={"gtol": 1e-10, "maxiter": 10000})
        print("  vector", repr(found.fun))
        calibrated = isotonic(probs, labels, w)
        print("  isotonic", [repr(float(x)) for x in calibrated[[0, 1, 2, 3, 9, 40]].ravel()])
        print("  isotonic sums", [repr(float(x)) for x in calibrated.sum(0)])

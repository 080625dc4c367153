"""The reference numbers in `src/combine/blend/tests.rs`.

Run with numpy, scipy, scikit-learn and arviz installed (the numbers committed come from numpy 2.4.6, scipy 1.17.1,
scikit-learn 1.9.1 and arviz 0.23.4). The Rust tests build the same tables from the same integer formulas.
"""

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy
import sklearn
import xarray as xr
from scipy.optimize import differential_evolution, minimize
from sklearn.linear_model import Ridge

warnings.simplefilter("ignore")
import arviz as az

EPSILON = 2.0**-52


def classes(slots, rows, width):
    s, i, c = np.arange(slots)[:, None, None], np.arange(rows)[None, :, None], np.arange(width)[None, None, :]
    raw = (i * 37 + c * 101 + s * 53 + i * c * 17 + s * i * 11 + s * c * 29) % 97 + 1.0
    labels = (np.arange(rows) ** 2 + np.arange(rows) // 3) % width
    # Each slot is better on some classes.
    bonus = 20.0 + 13.0 * ((s * 5 + c * 3) % 7)
    raw = raw + bonus * (c == labels[None, :, None])
    return raw / raw.sum(2, keepdims=True), labels


def with_zeros(probs, labels):
    probs = probs.copy()
    slots, rows, _ = probs.shape
    for s in range(slots):
        for i in range(rows):
            if (i + s) % 7 == 0 or i % 50 == 0:
                probs[s, i, labels[i]] = 0.0
                probs[s, i] /= probs[s, i].sum()
    return probs


def values(slots, rows, width):
    s, i, k = np.arange(slots)[:, None, None], np.arange(rows)[None, :, None], np.arange(width)[None, None, :]
    y = ((i * 29 + k * 53 + i * k * 7) % 83) / 8.0 - 5.0
    error = ((i * 31 + k * 43 + s * 59 + s * i * 13) % 41 - 20) / 16.0 * (1 + s / 4.0) + (s - 1) * 0.125
    return y + error, y[0]


def row_weights(rows):
    w = 0.5 * (1 + np.arange(rows) % 6)
    return w / w.sum()


def simplex(f, gradient, slots):
    """The best of SLSQP from several starts."""
    rng = np.random.default_rng(0)
    starts = [np.full(slots, 1 / slots)] + list(rng.dirichlet(np.ones(slots), 5))
    best = None
    for start in starts:
        done = minimize(
            f, start, jac=gradient, method="SLSQP", bounds=[(0, 1)] * slots,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
            options={"ftol": 1e-16, "maxiter": 2000},
        )
        if best is None or done.fun < best.fun:
            best = done
    return best


def log_loss(probs, labels, omega, strength=0.0):
    p = np.maximum(probs[:, np.arange(len(labels)), labels], EPSILON)
    even = 1 / len(p)
    f = lambda w: -omega @ np.log(w @ p) + strength * ((w - even) ** 2).sum()
    g = lambda w: -(p / (w @ p)) @ omega + 2 * strength * (w - even)
    return simplex(f, g, len(p))


def squares(said, truth, omega, share, strength=0.0):
    even = 1 / len(said)
    f = lambda w: share * omega @ ((np.tensordot(w, said, 1) - truth) ** 2).sum(1) + strength * ((w - even) ** 2).sum()
    def g(w):
        rest = np.tensordot(w, said, 1) - truth
        return 2 * share * np.einsum("src,rc,r->s", said, rest, omega) + 2 * strength * (w - even)
    return simplex(f, g, len(said))


print("numpy", np.__version__, "scipy", scipy.__version__, "scikit-learn", sklearn.__version__, "arviz", az.__version__)

even = lambda rows: np.full(rows, 1 / rows)
problems = {
    "ten": (*classes(10, 200, 3), even(200)),
    "two": (*classes(2, 60, 2), even(60)),
    "weighted": (*classes(10, 200, 3), row_weights(200)),
}
p, y = classes(5, 200, 3)
problems["duplicates"] = (np.concatenate([p, p]), y, even(200))
p, y = classes(10, 200, 3)
problems["zeros"] = (with_zeros(p, y), y, even(200))
for name, (p, y, omega) in problems.items():
    onehot = np.eye(p.shape[2])[y]
    print(f"{name:12} log-loss {log_loss(p, y, omega).fun!r} Brier {squares(p, onehot, omega, 1.0).fun!r}")

p, y, omega = problems["ten"]
onehot = np.eye(3)[y]
for strength in (0.01, 1.0):
    a, b = log_loss(p, y, omega, strength), squares(p, onehot, omega, 1.0, strength)
    print(f"penalty {strength}: log-loss {a.fun!r} Brier {b.fun!r}")

said, truth = values(5, 80, 2)
print("values, squares", repr(squares(said, truth, even(80), 0.5).fun))
print("values, weighted", repr(squares(said, truth, row_weights(80), 0.5).fun))

flat = said.reshape(5, -1).T
print("lstsq", list(np.linalg.lstsq(flat, truth.ravel())[0]))
twice = np.concatenate([flat, flat[:, :1]], 1)
print("lstsq, duplicate", list(np.linalg.lstsq(twice, truth.ravel())[0]))
root = np.sqrt(np.repeat(row_weights(80), 2))
print("lstsq, weighted", list(np.linalg.lstsq(flat * root[:, None], truth.ravel() * root)[0]))
ridge = Ridge(alpha=0.1 * 160, fit_intercept=False, solver="svd").fit(flat, truth.ravel())
print("ridge .1", list(ridge.coef_))
p4, y4 = classes(4, 200, 3)
print("lstsq, classes", list(np.linalg.lstsq(p4.reshape(4, -1).T, np.eye(3)[y4].ravel())[0]))


def brier(w):
    w = w / w.sum()
    return ((np.tensordot(w, p4, 1) - np.eye(3)[y4]) ** 2).sum(1).mean()


done = differential_evolution(brier, [(0, 1)] * 4, seed=1, polish=False, updating="deferred")
print("differential evolution", repr(done.fun), "of", repr(squares(p4, np.eye(3)[y4], even(200), 1.0).fun))

# Pointwise log densities as arviz wants them.
pb, yb = classes(4, 40, 3)
logs = np.log(pb[:, np.arange(40), yb])


def elpd(one):
    names = ["elpd_loo", "se", "p_loo", "n_samples", "n_data_points", "warning", "loo_i", "scale"]
    data = [one.sum(), np.sqrt(len(one) * one.var()), 0.0, 1, len(one), False, xr.DataArray(one, dims="row"), "log"]
    return az.stats.stats_utils.ELPDData(data=data, index=names)


table = {str(s): elpd(one) for s, one in enumerate(logs)}
for method, extra in (("pseudo-BMA", {}), ("BB-pseudo-BMA", {"b_samples": 200_000, "seed": 1}), ("stacking", {})):
    found = az.compare(table, ic="loo", method=method, scale="log", **extra)["weight"]
    print(method, [float(found[str(s)]) for s in range(4)])
said, truth = values(3, 40, 2)
scale = np.sqrt(((said - truth) ** 2).mean(1, keepdims=True))
logs = scipy.stats.norm(said, scale).logpdf(truth).sum(2)
table = {str(s): elpd(one) for s, one in enumerate(logs)}
for method, extra in (("pseudo-BMA", {}), ("BB-pseudo-BMA", {"b_samples": 200_000, "seed": 1}), ("stacking", {})):
    found = az.compare(table, ic="loo", method=method, scale="log", **extra)["weight"]
    print("values", method, [float(found[str(s)]) for s in range(3)])
high = logs.max(0)
f = lambda w: -np.log(w @ np.exp(logs - high)).mean() - high.mean()
g = lambda w: -(np.exp(logs - high) / (w @ np.exp(logs - high))).mean(1)
print("values, log score", repr(simplex(f, g, 3).fun))


def exact_least_squares(predicted, y):
    """The weights of least squared error in rational numbers, which lose no digits."""
    a = [[Fraction(float(x)) for x in row] for row in predicted]
    target = [Fraction(float(x)) for x in y]
    n = len(a)
    dot = lambda u, v: sum(x * z for x, z in zip(u, v))
    h, b = [[dot(u, v) for v in a] for u in a], [dot(u, target) for u in a]
    for i in range(n):
        for j in range(i + 1, n):
            f = h[j][i] / h[i][i]
            h[j], b[j] = [x - f * z for x, z in zip(h[j], h[i])], b[j] - f * b[i]
    w = [Fraction(0)] * n
    for i in reversed(range(n)):
        w[i] = (b[i] - sum(h[i][j] * w[j] for j in range(i + 1, n))) / h[i][i]
    return [float(x) for x in w]


said, truth = values(5, 80, 2)
for offset in (1e7, 1e10):
    print("exact, offset", offset, exact_least_squares(said.reshape(5, -1) + offset, truth.ravel() + offset))
# The rows that the example fits on by default.
case = np.load(Path(__file__).parents[1] / "cases" / "npz_least_squares_offset" / "p.npz")
print("exact, case", exact_least_squares(case["predictions"][:, ::2], case["targets"][::2]))

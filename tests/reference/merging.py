"""Numbers for tests/merging.rs: the merging methods in numpy, straight from the papers' formulas.

Run `python tests/reference/merging.py`; it writes the inputs and the expected results to tests/merging/.
The files committed come from numpy 2.4.6 and safetensors 0.8.0. Sums are float64; differences from the base are float32, as
networks hold them, because the ranks of magnitudes depend on it.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

OUT = Path(__file__).parent.parent / "merging"
SHAPES = {"layer.weight": (41, 59), "layer.bias": (59,), "scale": ()}
rng = np.random.default_rng(20260101)


def network(spread):
    """Normal numbers, a third of them on a coarse grid, so that magnitudes are equal in many places."""
    tensors = {}
    for name, shape in SHAPES.items():
        x = rng.normal(size=shape) * spread
        grid = np.round(x * 4 / spread) / 4 * spread
        tensors[name] = np.where(rng.random(shape) < 1 / 3, grid, x).astype(np.float32)
    return tensors


base = {k: np.asarray(np.round(v * 8) / 8, np.float32) for k, v in network(1.0).items()}
common = network(0.25)
nets = [{k: np.asarray(base[k] + common[k] + v, np.float32) for k, v in network(0.25).items()} for _ in range(3)]
fishers = [{k: np.asarray(v**2 * (v > 0), np.float32) for k, v in network(1.0).items()} for _ in range(3)]


def deltas(name):
    return [n[name].ravel() - base[name].ravel() for n in nets]  # float32


def averaged(weights):
    return lambda name: sum(w * n[name].astype(np.float64) for w, n in zip(weights, nets)) / sum(weights)


def added(name, joined, lam):
    return base[name].astype(np.float64) + lam * np.reshape(joined, base[name].shape)


def descending(x):
    """Indices by falling magnitude; of equal ones the first comes first."""
    return np.argsort(-np.abs(x), kind="stable")


def largest(x, density):
    mask = np.zeros(x.size)
    mask[descending(x)[: int(density * x.size)]] = 1
    return x * mask


def crumbs(x, density, gamma):
    kept = int(density * x.size)
    dropped = min(int(gamma * x.size), x.size - kept)
    mask = np.zeros(x.size)
    mask[descending(x)[dropped : dropped + kept]] = 1
    return x * mask


def summed(vectors, weights):
    return sum(w * v.astype(np.float64) for w, v in zip(weights, vectors))


def elected(vectors, weights):
    """TIES, steps 2 and 3."""
    v = np.array(vectors, np.float64)
    w = np.array(weights, np.float64)[:, None]
    sign = np.where((w * v).sum(0) >= 0, 1, -1)
    agree = (np.sign(v) == sign).astype(np.float64)
    total = (w * agree).sum(0)
    return (w * v * agree).sum(0) / np.where(total == 0, 1, total)


def slerp(t):
    def of(name):
        a, b = (n[name].astype(np.float64).ravel() for n in nets[:2])
        cosine = a / np.linalg.norm(a) @ (b / np.linalg.norm(b))
        if abs(cosine) > 0.9995:
            r = (1 - t) * a + t * b
        else:
            angle = np.arccos(cosine)
            r = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
        return r.reshape(base[name].shape)

    return of


def model_stock(name):
    d = [x.astype(np.float64) for x in deltas(name)]
    pairs = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in combinations(d, 2)]
    c, n = np.mean(pairs), len(d)
    t = n * c / (1 + (n - 1) * c)
    return t * averaged([1] * n)(name) + (1 - t) * base[name]


def fisher(weights, floor):
    def of(name):
        f = [w * np.maximum(f[name].astype(np.float64), floor) for w, f in zip(weights, fishers)]
        return sum(f * n[name].astype(np.float64) for f, n in zip(f, nets)) / sum(f)

    return of


ones = [1, 1, 1]
methods = {
    "uniform": averaged(ones),
    "linear": averaged([3 / 3, 2 / 3, 1 / 3]),
    "exponential": averaged(np.exp(-np.arange(3) / 2)),
    "weighted": averaged([0.5, 2, 1.5]),
    "task-arithmetic": lambda n: added(n, summed(deltas(n), ones), 0.4),
    "task-arithmetic-weighted": lambda n: added(n, summed(deltas(n), [0.5, -1, 2]), 1),
    "ties": lambda n: added(n, elected([largest(x, 0.2) for x in deltas(n)], ones), 1),
    "ties-weighted": lambda n: added(n, elected([largest(x, 0.7) for x in deltas(n)], [0.5, 1, 2]), 0.8),
    "breadcrumbs": lambda n: added(n, summed([crumbs(x, 0.3, 0.05) for x in deltas(n)], ones), 0.6),
    "breadcrumbs-ties": lambda n: added(n, elected([crumbs(x, 0.9, 0.2) for x in deltas(n)], ones), 1),
    "slerp": slerp(0.3),
    "model-stock": model_stock,
    "fisher": fisher([1, 2, 0.5], 1e-3),
}

if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for label, tensors in [("base", base)] + list(zip("abc", nets)):
        count = np.array(ord(label[0]), np.int64)
        save_file({**tensors, "steps": count}, OUT / f"{label}.safetensors", {"format": "pt"})
    for label, tensors in zip("abc", fishers):
        save_file(tensors, OUT / f"fisher_{label}.safetensors", {"format": "pt"})
    results = {
        f"{method}/{name}": np.asarray(of(name), np.float32).reshape(SHAPES[name])
        for method, of in methods.items()
        for name in SHAPES
    }
    save_file(results, OUT / "expected.safetensors", {"format": "pt"})

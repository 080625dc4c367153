"""Numbers for tests/merging.rs: the merging methods in numpy, straight from the papers' formulas.

Run `python tests/reference/merging.py`; it writes the inputs and the expected results to tests/merging/.
The files committed come from numpy 2.4.6 and safetensors 0.8.0. Everything is computed in float64, differences from
the base too, because the ranks of magnitudes depend on it.

Facts about other programs: mergekit's `normalize` divides by the sum of the weights that take part, and is true by
default for `ties` and false for `dare_ties`, `breadcrumbs_ties` and all methods without sign election. The code of
Matena and Raffel raises only the Fisher information of the first network to the floor (`favor_target_model`).
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


def summed(vectors, weights, normalize=False):
    total = sum(w * v for w, v in zip(weights, vectors))
    return total / sum(weights) if normalize else total


def elected(vectors, weights, normalize=True):
    """TIES, steps 2 and 3."""
    v = np.array(vectors, np.float64)
    w = np.array(weights, np.float64)[:, None]
    sign = np.where((w * v).sum(0) >= 0, 1, -1)
    agree = (np.sign(v) == sign).astype(np.float64)
    total = (w * agree).sum(0)
    joined = (w * v * agree).sum(0)
    return joined / np.where(total == 0, 1, total) if normalize else joined


def results(base, nets, fishers):
    """What each method makes of a tensor, all arrays float64."""
    d = [(n - base).ravel() for n in nets]
    ones = [1, 1, 1]

    def averaged(weights):
        return sum(w * n for w, n in zip(weights, nets)) / sum(weights)

    def added(joined, lam):
        return base + lam * np.reshape(joined, base.shape)

    def slerp(t):
        a, b = (n.ravel() for n in nets[:2])
        cosine = a / np.linalg.norm(a) @ (b / np.linalg.norm(b))
        if abs(cosine) > 0.9995:
            r = (1 - t) * a + t * b
        else:
            angle = np.arccos(cosine)
            r = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
        return r.reshape(base.shape)

    def model_stock():
        pairs = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in combinations(d, 2)]
        c, n = np.mean(pairs), len(d)
        t = n * c / (1 + (n - 1) * c)
        return t * averaged([1] * n) + (1 - t) * base

    def fisher(weights, floor, favor_first=False):
        floors = [floor if i == 0 or not favor_first else 0 for i in range(3)]
        f = [w * np.maximum(f, floor) for w, f, floor in zip(weights, fishers, floors)]
        return sum(f * n for f, n in zip(f, nets)) / sum(f)

    some = [crumbs(x, 0.9, 0.2) for x in d]
    return {
        "uniform": averaged(ones),
        "linear": averaged([3 / 3, 2 / 3, 1 / 3]),
        "exponential": averaged(np.exp(-np.arange(3) / 2)),
        "weighted": averaged([0.5, 2, 1.5]),
        "task-arithmetic": added(summed(d, ones), 0.4),
        "task-arithmetic-weighted": added(summed(d, [0.5, -1, 2]), 1),
        "task-arithmetic-normalized": added(summed(d, [0.5, -1, 2], True), 1),
        "ties": added(elected([largest(x, 0.2) for x in d], ones), 1),
        "ties-weighted": added(elected([largest(x, 0.7) for x in d], [0.5, 1, 2]), 0.8),
        "ties-added": added(elected([largest(x, 0.7) for x in d], [0.5, 1, 2], False), 0.8),
        "breadcrumbs": added(summed([crumbs(x, 0.3, 0.05) for x in d], ones), 0.6),
        "breadcrumbs-ties": added(elected(some, ones), 1),
        "breadcrumbs-ties-added": added(elected(some, ones, False), 1),
        "slerp": slerp(0.3),
        "model-stock": model_stock(),
        "fisher": fisher([1, 2, 0.5], 1e-3),
        "fisher-favor-first": fisher([1, 2, 0.5], 1e-3, True),
    }


def expected(base, nets, fishers, dtype):
    wide = lambda tensors, name: tensors[name].astype(np.float64)
    found = {}
    for name in base:
        of = results(wide(base, name), [wide(n, name) for n in nets], [wide(f, name) for f in fishers])
        for method, x in of.items():
            found[f"{method}/{name}"] = np.asarray(x, dtype).reshape(base[name].shape)
    return found


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for label, tensors in [("base", base)] + list(zip("abc", nets)):
        count = np.array(ord(label[0]), np.int64)
        save_file({**tensors, "steps": count}, OUT / f"{label}.safetensors", {"format": "pt"})
    for label, tensors in zip("abc", fishers):
        save_file(tensors, OUT / f"fisher_{label}.safetensors", {"format": "pt"})
    save_file(expected(base, nets, fishers, np.float32), OUT / "expected.safetensors", {"format": "pt"})

    # Networks of float64 that float32 cannot hold: small changes to a base near 1.
    rng = np.random.default_rng(64)
    base = {"w": 1 + rng.random((9, 7))}
    nets = [{"w": base["w"] + 1e-9 * rng.normal(size=(9, 7))} for _ in range(3)]
    fishers = [{"w": rng.random((9, 7)) ** 2 * (rng.random((9, 7)) > 0.3)} for _ in range(3)]
    for label, tensors in [("base", base)] + list(zip("abc", nets)):
        save_file(tensors, OUT / f"double_{label}.safetensors", {"format": "pt"})
    for label, tensors in zip("abc", fishers):
        save_file(tensors, OUT / f"double_fisher_{label}.safetensors", {"format": "pt"})
    save_file(expected(base, nets, fishers, np.float64), OUT / "double_expected.safetensors", {"format": "pt"})

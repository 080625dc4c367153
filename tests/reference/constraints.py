"""Reference numbers for src/train/constraint: the formulas of Keras' constraints, in float64.

Keras' kernels are (in, out) with the norm over axis 0; candle's are (out, in, ...) with the norm over all axes but
the first, and (in, out, ...) for transposed convolutions.

    pip install numpy
    python tests/reference/constraints.py
"""

import numpy as np

EPSILON = 1e-7


def weights(*shape):
    """Quarters from -5/4 to 5/4."""
    return np.array([((7 * i + 3) % 11 - 5) / 4 for i in range(np.prod(shape))]).reshape(shape)


def norms(w, units):
    axes = tuple(axis for axis in range(w.ndim) if axis != units)
    return np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True))


def max_norm(w, units, high):
    n = norms(w, units)
    return w * np.clip(n, 0, high) / (EPSILON + n)


def unit_norm(w, units):
    return w / (EPSILON + norms(w, units))


def min_max_norm(w, units, low, high, rate):
    n = norms(w, units)
    return w * (rate * np.clip(n, low, high) + (1 - rate) * n) / (EPSILON + n)


if __name__ == "__main__":
    for text, constraint in [
        ("max-norm:1.4", lambda w, units: max_norm(w, units, 1.4)),
        ("unit-norm", unit_norm),
        ("min-max-norm:1.4:1.5:0.25", lambda w, units: min_max_norm(w, units, 1.4, 1.5, 0.25)),
        ("non-negative", lambda w, units: w * (w >= 0)),
    ]:
        for shape, units in [((2, 3), 0), ((2, 3, 1), 1), ((1, 2, 3), 1)]:
            if text == "non-negative" and units == 1:
                continue
            w = weights(*shape)
            extra = ":units=1" if units == 1 else ""
            print(f'("{text}{extra}", &{list(shape)}, {constraint(w, units).flatten().tolist()}),')
    print(norms(weights(2, 3), 0).flatten(), norms(weights(2, 3), 1).flatten())

"""Reference values and gradients in `src/train/loss/tests.rs`.

Run with numpy and torch installed (the numbers committed come from numpy 2.4.6 and torch 2.15.0). Where PyTorch has the
loss, it is called; the others are Keras' formulas in numpy, differentiated by PyTorch's autograd in f64.
"""

import numpy as np
import torch
import torch.nn.functional as F

X = [[0.3, 1.2, 2.5], [0.05, 0.7, 4.0]]
Y = [[0.0, 1.0, 3.0], [2.0, 0.7, 1.5]]
SIGNS = [[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]]
MARGINS = [[0.3, -1.2, -0.5], [0.05, 0.7, -0.9]]
Q = [[0.2, 0.0, 0.8], [0.5, 0.25, 0.25]]
NEGATIVE = [[-0.5, 1.2, 2.5], [0.05, -3.0, 4.0]]


def t(values):
    return torch.tensor(values, dtype=torch.float64)


def msle(x, y):
    """keras.losses.mean_squared_logarithmic_error"""
    first, second = torch.log(x.clamp(min=1e-7) + 1), torch.log(y.clamp(min=1e-7) + 1)
    return (first - second).square().mean(-1)


def log_cosh(x, y):
    """keras.losses.log_cosh"""
    d = x - y
    return (d + F.softplus(-2 * d) - np.log(2.0)).mean(-1)


def hinge(x, y):
    """keras.losses.hinge"""
    return torch.relu(1 - y * x).mean(-1)


def squared_hinge(x, y):
    """keras.losses.squared_hinge"""
    return torch.relu(1 - y * x).square().mean(-1)


def poisson(x, y):
    return F.poisson_nll_loss(x, y, log_input=False, eps=1e-7, reduction="none").mean(-1)


def log_poisson(x, y):
    return F.poisson_nll_loss(x, y, log_input=True, reduction="none").mean(-1)


def kl(x, y):
    return F.kl_div(F.log_softmax(x, -1), y, reduction="none").sum(-1)


def cosine(x, y):
    return 1 - F.cosine_similarity(x, y, dim=-1)


for name, loss, x, y in [
    ("msle", msle, X, Y),
    ("msle, clipped", msle, NEGATIVE, [[-1.0, 1.0, 3.0], [2.0, 0.7, 1.5]]),
    ("log-cosh", log_cosh, X, Y),
    ("hinge", hinge, MARGINS, SIGNS),
    ("squared hinge", squared_hinge, MARGINS, SIGNS),
    ("poisson", poisson, X, Y),
    ("poisson, log-rate", log_poisson, X, Y),
    ("kl", kl, X, Q),
    ("cosine", cosine, X, Y),
]:
    x = t(x).requires_grad_()
    value = (loss(x, t(y)) * t([0.25, 0.75])).sum()
    value.backward()
    print(f"{name}: {value.item()!r}")
    print("   ", [repr(g) for g in x.grad.flatten().tolist()])

# Numerically hard places of log-cosh, with numpy's extended precision.
for d in (1e-8, 1e-3, 0.5, 0.999999, 1.0, 3.0, 30.0):
    d = np.longdouble(d)
    print("ln cosh", float(d), repr(float(0.5 * np.log1p(np.sinh(d) ** 2))), repr(float(np.tanh(d))))
print("numpy", np.__version__, "torch", torch.__version__)

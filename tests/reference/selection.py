"""Ensemble selection as auto-sklearn 0.15.0 does it (`EnsembleSelection._slow`), written anew, on the problem of its own
unit test (`testEnsembleSelection`), and on a table with classes.

Run with numpy installed (the numbers committed come from numpy 2.4.6). The Rust tests build the same tables from the
same integer formulas.
"""

import numpy as np


def select(predictions, loss, steps):
    chosen, trajectory = [], []
    for _ in range(steps):
        losses = [loss(np.mean([predictions[m] for m in chosen + [j]], axis=0)) for j in range(len(predictions))]
        best = int(np.nanargmin(losses))
        chosen.append(best)
        trajectory.append(float(losses[best]))
    return chosen, trajectory


values = []
for i in range(1, 20):
    member = np.full(100, i, dtype=np.float64)
    member[i * 5 : 5 * (i + 1)] = 5.5 * i
    values.append(member)
chosen, trajectory = select(values, lambda p: np.sqrt(np.mean((p - 5.5) ** 2)), 10)
print("auto-sklearn's problem", chosen, trajectory)

SLOTS, ROWS, CLASSES = 9, 120, 4
s, i, c = np.ogrid[:SLOTS, :ROWS, :CLASSES]
labels = (np.arange(ROWS) * 7 + np.arange(ROWS) // 5) % CLASSES
raw = ((s * 61 + i * 37 + c * 101 + i * c * 17 + s * i * 13) % 97 + 1).astype(np.float64)
raw = raw + 60 * (c == labels[None, :, None])
probs = raw / raw.sum(2, keepdims=True)
row, onehot = np.arange(ROWS), np.eye(CLASSES)[labels]
for name, loss in (
    ("log-loss", lambda p: -np.mean(np.log(p[row, labels]))),
    ("brier", lambda p: np.mean(((p - onehot) ** 2).sum(1))),
):
    chosen, trajectory = select(list(probs), loss, 12)
    print(name, chosen, trajectory[0], min(trajectory), trajectory[-1])

"""Reference values in `src/train/loss/ordinal_tests.rs`, `src/metrics/rps.rs` and `src/metrics/ordinal_mae.rs`.

Run with numpy installed (the numbers committed come from numpy 2.4.6). The losses are those of coral_pytorch 1.4.0
(`coral_pytorch/losses.py`), written out with numpy and in its own order of operations; gradients are central differences in
extended precision.
"""

import numpy as np

from metric_tables import classification, ties

# Four classes, three logits.
LOGITS = np.array(
    [[1.5, 0.2, -0.7], [-0.3, 0.9, 2.1], [0.0, -1.2, 0.4], [2.5, 1.1, 0.6], [-1.0, -2.0, -3.0]], np.longdouble
)
LABELS = np.array([0, 1, 3, 2, 0])
WEIGHTS = np.array([1.0, 0.5, 2.0, 0.25, 3.0])


def log_sigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def coral_rows(logits, labels):
    """coral_pytorch.losses.coral_loss with reduction=None and the levels of levels_from_labelbatch."""
    levels = (labels[:, None] > np.arange(logits.shape[1])[None, :]).astype(logits.dtype)
    return -(log_sigmoid(logits) * levels + (log_sigmoid(logits) - logits) * (1 - levels)).sum(1)


def corn_loss(logits, labels):
    """coral_pytorch.losses.corn_loss: the sum over the tasks, and the number of logits that count."""
    examples, losses = 0, 0.0
    for task in range(logits.shape[1]):
        mask = labels > task - 1
        above = (labels[mask] > task).astype(logits.dtype)
        if len(above) < 1:
            continue
        examples += len(above)
        pred = logits[mask, task]
        losses += -(log_sigmoid(pred) * above + (log_sigmoid(pred) - pred) * (1 - above)).sum()
    return losses / examples, examples


def corn_rows(logits, labels):
    """Each row alone, so that rows can have weights."""
    rows = [corn_loss(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
    return np.array([loss * examples for loss, examples in rows])


def gradient(f, x, h=np.longdouble(1e-6)):
    result = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[at] += h
        down[at] -= h
        result[at] = (f(up) - f(down)) / (2 * h)
    return result


loss, examples = corn_loss(LOGITS, LABELS)
assert np.isclose(float(loss * examples), float(corn_rows(LOGITS, LABELS).sum()), rtol=1e-15)
for name, rows in [("coral", coral_rows), ("corn", corn_rows)]:
    for kind, weights in [("mean", np.ones(len(LABELS))), ("weighted", WEIGHTS)]:

        def mean(x):
            return (weights * rows(x, LABELS)).sum() / weights.sum()

        print(f"{name}, {kind}: {float(mean(LOGITS))!r}")
        print("   ", [round(float(g), 13) for g in gradient(mean, LOGITS).ravel()])

print("corn_loss of coral_pytorch:", float(loss), "over", examples)
for name, (probs, labels, weights) in [("classification", classification()), ("ties", ties())]:
    below = np.cumsum(probs, 1)[:, :-1]
    right = labels[:, None] <= np.arange(probs.shape[1] - 1)[None, :]
    rps, mae = ((below - right) ** 2).sum(1), np.abs(probs.argmax(1) - labels)
    for metric, each in [("rps", rps), ("ordinal-mae", mae)]:
        print(f"{name} {metric}: [{each.mean()!r}, {np.average(each, weights=weights)!r}]")
print("numpy", np.__version__)

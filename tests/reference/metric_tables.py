"""The tables that the tests of the metrics share; `src/metrics/reference.rs` has the same ones."""

import numpy as np

ROWS, CLASSES, OUTPUTS = 60, 4, 3


def weights():
    return 0.5 * (1 + np.arange(ROWS) % 6)


def with_labels(raw):
    probs = raw / raw.sum(1, keepdims=True)
    row = np.arange(ROWS)
    labels = np.where(row % 3 == 0, (row * row + 1) % CLASSES, probs.argmax(1))
    return probs, labels, weights()


def classification():
    i, c = np.arange(ROWS)[:, None], np.arange(CLASSES)[None, :]
    return with_labels(((i * 37 + c * 101 + i * c * 17) % 97 + 1).astype(np.float64))


def ties():
    """Probabilities in sixths, so that rows and classes tie."""
    i, c = np.arange(ROWS)[:, None], np.arange(CLASSES)[None, :]
    raw = (i * 5 + c * 3 + i * c) % 3
    raw[:, 3] = 6 - raw[:, :3].sum(1)
    turned = np.take_along_axis(raw, (c + i) % CLASSES, 1)
    return with_labels(turned.astype(np.float64))


def regression():
    i, k = np.arange(ROWS)[:, None], np.arange(OUTPUTS)[None, :]
    targets = ((i * 29 + k * 53 + i * k * 7) % 83) / 8.0 - 5.0
    predictions = targets + (((i * 31 + k * 43) % 41) - 20) / 16.0
    return predictions, targets, weights()

"""The reference numbers in the tests of `src/metrics`.

Run with numpy, scipy and scikit-learn installed (the numbers committed come from numpy 2.4.6, scipy 1.17.1 and
scikit-learn 1.9.1). The Rust tests build the same tables from the same integer formulas.
"""

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics as m

from metric_tables import CLASSES, ROWS, classification, regression


def ece(probs, labels, weights, bins):
    """Guo et al. 2017, equation 3, bin by bin."""
    confidence, hit = probs.max(1), probs.argmax(1) == labels
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        mass = weights[inside].sum()
        if mass > 0:
            gap = np.average(hit[inside], weights=weights[inside]) - np.average(
                confidence[inside], weights=weights[inside]
            )
            total += mass / weights.sum() * abs(gap)
    return total


def ece_equal_mass(probs, labels, bins):
    """For distinct confidences and a number of rows that `bins` divides."""
    confidence, hit = probs.max(1), probs.argmax(1) == labels
    assert len(np.unique(confidence)) == len(confidence) and len(hit) % bins == 0
    order = np.argsort(confidence)
    gaps = (hit[order] - confidence[order]).reshape(bins, -1).mean(1)
    return np.abs(gaps).mean()


def show(name, value):
    print(f"{name:38} {value!r}" if isinstance(value, tuple) else f"{name:38} {float(value)!r}")


print("numpy", np.__version__, "scipy", scipy.__version__, "scikit-learn", sklearn.__version__)

probs, labels, w = classification()
for tag, weights in (("", None), (", weighted", w)):
    show("accuracy" + tag, m.accuracy_score(labels, probs.argmax(1), sample_weight=weights))
    show("nll" + tag, m.log_loss(labels, probs, sample_weight=weights, labels=range(CLASSES)))
    brier = m.brier_score_loss(labels, probs, sample_weight=weights, labels=range(CLASSES), scale_by_half=False)
    by_hand = np.average(((np.eye(CLASSES)[labels] - probs) ** 2).sum(1), weights=weights)
    assert np.isclose(brier, by_hand, rtol=1e-14)
    show("brier" + tag, brier)
    for bins in (5, 15):
        show(f"ece, {bins} bins" + tag, ece(probs, labels, np.ones(ROWS) if weights is None else weights, bins))
for bins in (5, 15):
    show(f"ece_equal_mass, {bins} bins", ece_equal_mass(probs, labels, bins))

predictions, targets, w = regression()
for tag, weights in (("", None), (", weighted", w)):
    for what, p, t in (("3 outputs", predictions, targets), ("1 output", predictions[:, 0], targets[:, 0])):
        show(f"rmse, {what}" + tag, np.sqrt(m.mean_squared_error(t, p, sample_weight=weights)))
        show(f"mae, {what}" + tag, m.mean_absolute_error(t, p, sample_weight=weights))
        show(f"r2, {what}" + tag, m.r2_score(t, p, sample_weight=weights))
show("sklearn's rmse, 3 outputs", m.root_mean_squared_error(targets, predictions))
show("r2, constant targets, right", m.r2_score([2.0, 2.0, 2.0], [2.0, 2.0, 2.0]))
show("r2, constant targets, wrong", m.r2_score([2.0, 2.0, 2.0], [2.0, 2.5, 2.0]))

d = np.array([0.012, -0.004, 0.021, 0.008, 0.015, 0.003, -0.001, 0.019, 0.007, 0.011])
for level in (0.5, 0.9, 0.95, 0.999):
    low, high = stats.t.interval(level, len(d) - 1, loc=d.mean(), scale=stats.sem(d))
    show(f"t interval, {level}", (float(low), float(high)))
scale = d.std(ddof=1) * np.sqrt(1 / len(d) + 100 / 900)
low, high = stats.t.interval(0.95, len(d) - 1, loc=d.mean(), scale=scale)
show("corrected t interval, 100 of 1000", (float(low), float(high)))
for level in (0.1, 0.5, 0.95, 0.999, 0.999999):
    print(f"t quantiles, {level}:", [(n, float(-stats.t.ppf((1 - level) / 2, n))) for n in (1, 2, 3, 9, 499, 500, 10**7)])
x = np.array([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16])
show("mean and sd", (float(x.mean()), float(x.std(ddof=1))))
show("quantile .1 of 1 2 4 8 16", np.quantile([1, 2, 4, 8, 16], 0.1))

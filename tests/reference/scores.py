"""The reference numbers of the metrics that `metrics.py` does not have: areas under curves, metrics of the confusion
matrix, calibration errors, the decomposition of the Brier score, and further metrics of values.

Run with numpy, scikit-learn and torchmetrics installed (the numbers committed come from numpy 2.4.6, scikit-learn
1.9.1, torchmetrics 1.9.0 and torch 2.15.0 on a CPU). scikit-learn computes every number that it can;
torchmetrics and the formulas written out below compute the others, and where two of them can, the script checks that
they agree.
"""

import warnings

import numpy as np
import sklearn
import torch
import torchmetrics
from sklearn import metrics as m
from torchmetrics.functional import classification as tm

from metric_tables import CLASSES, OUTPUTS, ROWS, classification, regression, ties

warnings.filterwarnings("ignore")
ONES = np.ones(ROWS)


def show(name, *values):
    print(f"{name:46} [{', '.join(repr(float(value)) for value in values)}]")


def both(name, score, weights):
    show(name, score(ONES), score(weights))


def binary(probs, labels):
    """Class 1 against class 0: the first two classes, and whether the label is odd."""
    two = probs[:, :2] + probs[:, 2:]
    return two, labels % 2


def top_k(probs, labels, k, weights, lowest_first=True):
    """Ties go to the lowest class, or to the highest as in scikit-learn."""
    own, c = probs[np.arange(ROWS), labels][:, None], np.arange(CLASSES)[None, :]
    first = c < labels[:, None] if lowest_first else c > labels[:, None]
    before = ((probs > own) | ((probs == own) & first)).sum(1)
    return np.average(before < k, weights=weights)


def bin_of(confidence, bins):
    """The bin (b/bins, (b+1)/bins]; 0 is in the first."""
    return np.clip(np.searchsorted(np.arange(1, bins + 1) / bins, confidence, side="left"), 0, bins - 1)


def gaps(confidence, hit, bins, weights):
    inside = [bin_of(confidence, bins) == b for b in range(bins)]
    mass = np.array([weights[i].sum() for i in inside])
    gap = np.array([abs((weights[i] * (hit[i] - confidence[i])).sum()) for i in inside])
    return mass, gap


def ece(confidence, hit, bins, weights):
    return gaps(confidence, hit, bins, weights)[1].sum() / weights.sum()


def mce(confidence, hit, bins, weights):
    mass, gap = gaps(confidence, hit, bins, weights)
    return (gap[mass > 0] / mass[mass > 0]).max()


def classwise(probs, labels, bins, weights):
    return np.mean([ece(probs[:, c], labels == c, bins, weights) for c in range(CLASSES)])


def decomposition(probs, labels, bins, weights):
    """Murphy 1973; for the last two terms Stephenson, Coelho and Jolliffe 2008."""
    share = weights / weights.sum()
    terms = np.zeros(5)
    for c in range(probs.shape[1]):
        forecast, outcome = probs[:, c], (labels == c).astype(float)
        base = share @ outcome
        groups = np.unique(forecast, return_inverse=True)[1] if bins is None else bin_of(forecast, bins)
        terms[2] += base * (1 - base)
        for group in np.unique(groups):
            i = groups == group
            s = share[i].sum()
            f, o = share[i] @ forecast[i] / s, share[i] @ outcome[i] / s
            terms[0] += s * (f - o) ** 2
            terms[1] += s * (o - base) ** 2
            terms[3] += share[i] @ (forecast[i] - f) ** 2
            terms[4] += 2 * share[i] @ ((forecast[i] - f) * (outcome[i] - o))
    reliability, resolution, uncertainty, variance, covariance = terms
    brier = share @ ((np.eye(probs.shape[1])[labels] - probs) ** 2).sum(1)
    assert np.isclose(reliability - resolution + uncertainty + variance - covariance, brier, rtol=1e-13)
    assert bins is not None or np.allclose(terms[3:], 0, atol=1e-30)
    return terms


print("numpy", np.__version__, "scikit-learn", sklearn.__version__, end=" ")
print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)

for table, (probs, labels, w) in (("generic", classification()), ("ties", ties())):
    print("\n" + table)
    tensors = torch.tensor(probs), torch.tensor(labels)
    one_hot, top, classes = np.eye(CLASSES)[labels], probs.argmax(1), range(CLASSES)
    two, odd = binary(probs, labels)
    for average in ("macro", "weighted", "micro"):
        area = lambda v: m.roc_auc_score(labels, probs, multi_class="ovr", average=average, sample_weight=v)
        precision = lambda v: m.average_precision_score(one_hot, probs, average=average, sample_weight=v)
        if average != "micro":
            assert np.isclose(area(ONES), tm.multiclass_auroc(*tensors, CLASSES, average=average), rtol=1e-6)
            ap = tm.multiclass_average_precision(*tensors, CLASSES, average=average)
            assert np.isclose(precision(ONES), ap, rtol=1e-6)
        both(f"roc_auc {average}", area, w)
        both(f"average_precision {average}", precision, w)
        f1 = tm.multiclass_f1_score(torch.tensor(top), tensors[1], CLASSES, average=average)
        assert np.isclose(m.f1_score(labels, top, average=average), f1, rtol=1e-6)
        for name, score in (("f1", m.f1_score), ("precision", m.precision_score), ("recall", m.recall_score)):
            both(f"{name} {average}", lambda v: score(labels, top, average=average, sample_weight=v), w)
    both("roc_auc binary", lambda v: m.roc_auc_score(odd, two[:, 1], sample_weight=v), w)
    both("average_precision binary", lambda v: m.average_precision_score(odd, two[:, 1], sample_weight=v), w)
    for name, score in (("f1", m.f1_score), ("precision", m.precision_score), ("recall", m.recall_score)):
        both(f"{name} binary", lambda v: score(odd, two.argmax(1), sample_weight=v), w)
    both("balanced_accuracy", lambda v: m.balanced_accuracy_score(labels, top, sample_weight=v), w)
    both("matthews", lambda v: m.matthews_corrcoef(labels, top, sample_weight=v), w)
    for form in (None, "linear", "quadratic"):
        both(f"kappa {form}", lambda v: m.cohen_kappa_score(labels, top, weights=form, sample_weight=v), w)
    for k in (1, 2, 3):
        for v in (None, w):
            found = m.top_k_accuracy_score(labels, probs, k=k, sample_weight=v, labels=classes)
            assert np.isclose(found, top_k(probs, labels, k, v, lowest_first=False), rtol=1e-14)
        both(f"top_k {k}", lambda v: top_k(probs, labels, k, v), w)
    confidence, hit = probs.max(1), (top == labels).astype(float)
    for bins in (5, 15):
        if table == "generic":
            # torchmetrics has the lower edges in the bins, so it gets 1 - p in place of p; with 1 in a bin of its own.
            others = lambda c: (torch.tensor(1 - probs[:, c]), tensors[1] != c)
            of_classes = [tm.binary_calibration_error(*others(c), bins) for c in classes]
            assert np.isclose(np.mean(of_classes), classwise(probs, labels, bins, ONES), rtol=1e-5)
            worst = tm.binary_calibration_error(torch.tensor(1 - confidence), torch.tensor(1 - hit), bins, norm="max")
            assert np.isclose(worst, mce(confidence, hit, bins, ONES), rtol=1e-5)
        both(f"mce, {bins} bins", lambda v: mce(confidence, hit, bins, v), w)
        both(f"classwise_ece, {bins} bins", lambda v: classwise(probs, labels, bins, v), w)
    for bins in (None, 5):
        for tag, v in (("", ONES), (", weighted", w)):
            show(f"brier_decomposition, {bins} bins{tag}", *decomposition(probs, labels, bins, v))

print("\nthree rows of the classes 0, 1, 1 of three")
p, y = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]]), [0, 1, 1]
for average in ("macro", "weighted"):
    show(f"roc_auc {average}", m.roc_auc_score(y, p, multi_class="ovr", labels=[0, 1, 2], average=average))
    show(f"average_precision {average}", m.average_precision_score(np.eye(3)[y], p, average=average))
show("f1, predicted 0, 1, 2, macro", m.f1_score(y, [0, 1, 2], average="macro"))
show("balanced_accuracy, predicted 0, 1, 2", m.balanced_accuracy_score(y, [0, 1, 2]))
show("one class: matthews, kappa", m.matthews_corrcoef([1, 1], [1, 1]), m.cohen_kappa_score([1, 1], [1, 1]))

print("\nvalues")
predictions, targets, w = regression()
for name, score, by in (
    ("mape", m.mean_absolute_percentage_error, 8),
    ("median_absolute_error", m.median_absolute_error, 0),
    ("explained_variance", m.explained_variance_score, 0),
    ("pinball .9", lambda *a, **k: m.mean_pinball_loss(*a, alpha=0.9, **k), 0),
    ("pinball .25", lambda *a, **k: m.mean_pinball_loss(*a, alpha=0.25, **k), 0),
    ("msle", m.mean_squared_log_error, 8),
):
    for what, columns in ((f"{OUTPUTS} outputs", OUTPUTS), ("1 output", 1)):
        p, t = predictions[:, :columns] + by, targets[:, :columns] + by
        show(f"{name}, {what}", score(t, p), score(t, p, sample_weight=w))
median = lambda v: m.median_absolute_error([0, 0, 0, 0], [1, 2, 3, 4], sample_weight=v)
show("median of 1 2 3 4", median(None), median([1, 2, 2, 1.0]), median([3, 0, 2, 1.0]), median([1, 1, 1, 5.0]))
constant = [m.explained_variance_score([1, 1], p) for p in ([1, 2], [2, 2])]
show("explained_variance, constant targets", *constant)

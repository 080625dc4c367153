"""The reference numbers in the tests of diversity and of decompositions, `src/evaluate/diversity/tests.rs` and
`src/evaluate/decomposition/tests.rs`.

Pairwise measures come from DESlib, Cohen's kappa from scikit-learn; the measures of a group are written out from Kuncheva
and Whitaker 2003. The decompositions come from the code of the authors of Wood et al. 2023, MIT licence,
https://github.com/EchoStatements/Decompose at commit 27cc3a4, on PYTHONPATH. The numbers committed come from DESlib 0.3.7,
scikit-learn 1.9.1 and numpy 2.4.6. The Rust tests build the same tables from the same integer formulas.
"""

import sys
import types
from itertools import combinations

import numpy as np
from deslib.util import diversity as des
from sklearn.metrics import cohen_kappa_score

SLOTS, ROWS, CLASSES, REPEATS = 5, 70, 3, 4


def tables():
    r, s, i, c = np.ogrid[:REPEATS, :SLOTS, :ROWS, :CLASSES]
    labels = (np.arange(ROWS) ** 2 + 1) % CLASSES
    raw = ((s * 131 + i * 37 + c * 101 + s * i * c * 17 + s * c * 59 + r * 71 + r * i * 13) % 97 + 1).astype(np.float64)
    lucky = (i * 11 + s * 29 + r * 13 + s * i * 3) % 7 < 4
    raw = raw + 60 * (lucky & (c == labels[None, None, :, None]))
    return raw / raw.sum(3, keepdims=True), labels


def group(right):
    n, members = right.shape[1], right.shape[0]
    l = right.sum(0)
    p = right.mean()
    wrong = members - l
    p1 = (wrong / members).mean()
    p2 = (wrong * (wrong - 1) / (members * (members - 1))).mean()
    any_wrong = (wrong > 0).mean()
    return {
        "entropy": np.minimum(l, members - l).sum() / n / (members - np.ceil(members / 2)),
        "kohavi-wolpert": (l * (members - l)).sum() / n / members**2,
        "interrater-kappa": 1 - (l * (members - l)).sum() / members / (n * (members - 1) * p * (1 - p)),
        "difficulty": np.var(l / members),
        "generalized": 1 - p2 / p1,
        "coincident-failure": ((members - wrong) / (members - 1))[wrong > 0].sum() / n / any_wrong,
    }


if __name__ == "__main__":
    p, labels = tables()
    votes = p.argmax(3)
    mean = lambda f: np.mean([f(labels, votes[0, a], votes[0, b]) for a, b in combinations(range(SLOTS), 2)])
    for name, f in {
        "q-statistic": des.Q_statistic,
        "correlation": des.correlation_coefficient,
        "disagreement": des.disagreement_measure,
        "double-fault": des.double_fault,
        "ratio-of-errors": des.ratio_errors,
        "kappa": lambda y, a, b: cohen_kappa_score(a == y, b == y),
        "cohen-kappa": lambda y, a, b: cohen_kappa_score(a, b),
    }.items():
        print(f'("{name}", {mean(f)!r}),'.replace("np.float64(", "").replace(")),", "),"))
    for name, x in group(votes[0] == labels).items():
        print(f'("{name}", {float(x)!r}),')

    # The package imports its plots and experiments, which are not needed.
    for name in ("experiments", "plotting_utils", "margin_losses"):
        module = types.ModuleType(f"decompose.{name}")
        module.__getattr__ = lambda _: None
        sys.modules[f"decompose.{name}"] = module
    from decompose import CrossEntropy, MultivariateSquaredLoss, ZeroOneLoss

    one_hot = np.eye(CLASSES)[labels]
    for name, parts in {
        "squared": MultivariateSquaredLoss(p, one_hot),
        "cross-entropy": CrossEntropy(p, labels),
    }.items():
        names = "expected_ensemble_loss expected_member_loss average_bias average_variance diversity ensemble_bias"
        names = (names + " ensemble_variance").split()
        print(name, [float(np.mean(getattr(parts, n))) for n in names])
    parts = ZeroOneLoss(votes, labels)
    names = "expected_ensemble_loss expected_member_loss average_bias average_variance_effect diversity_effect"
    names = (names + " ensemble_bias ensemble_variance_effect").split()
    print("zero-one", [float(np.mean(getattr(parts, n))) for n in names])

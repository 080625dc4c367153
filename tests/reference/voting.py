"""The reference numbers in the tests of the fixed rules, `src/combine/tests.rs`.

Run with numpy, scipy and scikit-learn installed (the numbers committed come from numpy 2.4.6, scipy 1.17.1 and
scikit-learn 1.9.1). The Rust tests build the same tables from the same integer formula.
"""

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import VotingClassifier

MEMBERS, ROWS, CLASSES = 7, 6, 4


def probabilities():
    s, i, c = np.ogrid[:MEMBERS, :ROWS, :CLASSES]
    raw = ((s * 131 + i * 37 + c * 101 + s * i * c * 17 + s * c * 59) % 97 + 1).astype(np.float64)
    return raw / raw.sum(2, keepdims=True)


class Given(ClassifierMixin, BaseEstimator):
    """A member that says what it is given; its inputs are the numbers of rows."""

    def __init__(self, table=None):
        self.table = table

    def fit(self, x, y):
        self.classes_ = np.arange(self.table.shape[1])
        return self

    def predict_proba(self, x):
        return self.table[np.asarray(x)[:, 0].astype(int)]

    def predict(self, x):
        return self.predict_proba(x).argmax(1)


def voting(tables, how, weights=None):
    members = [(str(s), Given(table)) for s, table in enumerate(tables)]
    x, y = np.arange(ROWS)[:, None], np.arange(ROWS) % CLASSES
    model = VotingClassifier(members, voting=how, weights=weights).fit(x, y)
    return model.predict(x), model.transform(x) if how == "hard" else model.predict_proba(x)


def normalised(p):
    return p / p.sum(1, keepdims=True)


def show(name, table):
    print(f"// {name}")
    print(repr(np.asarray(table).round(15).tolist()))


if __name__ == "__main__":
    np.set_printoptions(precision=17)
    print(np.__version__, scipy.__version__, sklearn.__version__)
    p = probabilities()
    show("VotingClassifier, hard", voting(p, "hard")[0])
    show("VotingClassifier, hard, members 0 to 2, weights 2, 1, 1", voting(p[:3], "hard", [2, 1, 1])[0])
    show("VotingClassifier, hard, weights 1 to 7", voting(p, "hard", [1, 2, 3, 4, 5, 6, 7])[0])
    show("VotingClassifier, soft, members 0 to 2, weights 2, 1, 1", voting(p[:3], "soft", [2, 1, 1])[1])
    show("VotingClassifier, soft, row 0", voting(p, "soft")[1][:1])
    show("median, row 0, values", np.median(p, 0)[:1])
    for cut in (0.15, 0.3, 0.45):
        show(f"trim_mean {cut}, rows 0 and 1", stats.trim_mean(p, cut, axis=0)[:2])
        drawn = stats.mstats.winsorize(p.copy(), limits=(cut, cut), axis=0)
        show(f"winsorize {cut}, rows 0 and 1", np.asarray(drawn).mean(0)[:2])
    coarse = np.floor(p * 8)  # with ties
    show("rankdata average, shares", normalised(stats.rankdata(coarse, axis=2).sum(0)))
    gmean = stats.gmean(p, axis=0)
    show("gmean, row 0", normalised(gmean)[:1])
    show("mean of logits, rows 0 and 1", normalised(scipy.special.expit(scipy.special.logit(p).mean(0)))[:2])
    show("product, row 0", normalised(p.prod(0))[:1])

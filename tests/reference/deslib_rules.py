"""The reference numbers in the tests of dynamic selection, `src/combine/dynamic/tests.rs`.

Run with DESlib installed (the numbers committed come from DESlib 0.3.7 with scikit-learn 1.5.2 and numpy 1.26.4: it
does not run with scikit-learn 1.6 or later). The Rust tests build the same tables from the same integer formulas.
"""

import sys

import deslib
import numpy as np
import sklearn
from deslib.des.knora_e import KNORAE
from deslib.des.knora_u import KNORAU
from deslib.des.meta_des import METADES
from sklearn.base import BaseEstimator, ClassifierMixin

MEMBERS, HELD_OUT, FRESH, CLASSES = 5, 60, 12, 3


def tables():
    i, f = np.ogrid[: HELD_OUT + FRESH, :2]
    x = ((i * i * 31 + i * 17 + f * 43 + i * f * 29 + i * i * i * f * 7) % 997) / 997
    y = ((x[:, 0] * 4).astype(int) + (x[:, 1] * 3).astype(int)) % CLASSES
    s, i, c = np.ogrid[:MEMBERS, : HELD_OUT + FRESH, :CLASSES]
    raw = ((s * 131 + i * 37 + c * 101 + s * i * c * 17 + s * c * 59) % 97 + 1).astype(np.float64)
    knows = (x[None, :, 0] * 5).astype(int) != np.arange(MEMBERS)[:, None]
    lucky = (np.arange(HELD_OUT + FRESH)[None, :] * 11 + np.arange(MEMBERS)[:, None] * 29) % 7 < 5
    raw += 90 * (knows & lucky)[:, :, None] * (c == y[None, :, None])
    return x, y, raw / raw.sum(2, keepdims=True)


class Given(ClassifierMixin, BaseEstimator):
    """A member that says what it is given of the rows that it knows by their inputs."""

    def __init__(self, x, table):
        self.x, self.table = x, table
        self.rows = {tuple(row): p for row, p in zip(x, table)}
        self.classes_ = np.arange(table.shape[1])

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return np.array([self.rows[tuple(row)] for row in x])

    def predict(self, x):
        return self.predict_proba(x).argmax(1)


def show(name, table):
    print(f"// {name}")
    print(repr(np.asarray(table).round(15).tolist()).replace("], [", "],\n["))


if __name__ == "__main__":
    print(sys.version.split()[0], deslib.__version__, sklearn.__version__, np.__version__)
    x, y, p = tables()
    d = ((x[:, None] - x[None, :HELD_OUT]) ** 2).sum(2)
    assert all(len(np.unique(row)) == HELD_OUT for row in d), "neighbours that lie as far"
    pool = [Given(x, table) for table in p]
    fresh = np.arange(HELD_OUT, HELD_OUT + FRESH)
    said = p[:, fresh].transpose(1, 0, 2)
    votes = said.argmax(2)
    print("accuracy of members", (p.argmax(2) == y).mean(1))

    def combined(rule):
        distances, near = rule.get_competence_region(x[fresh])
        return rule.predict_proba_with_ds(votes, said, near, distances)

    def competence(rule):
        distances, near = rule.get_competence_region(x[fresh])
        return rule.estimate_competence(near, distances, votes)

    for k in (7, 3):
        hard = KNORAE(pool, k=k).fit(x[:HELD_OUT], y[:HELD_OUT])
        show(f"KNORA-E, k = {k}, selected", hard.select(competence(hard)).astype(int))
        show(f"KNORA-E, k = {k}, shares of votes", combined(hard))
        soft = KNORAE(pool, k=k, voting="soft").fit(x[:HELD_OUT], y[:HELD_OUT])
        show(f"KNORA-E, k = {k}, means", combined(soft))
    rule = KNORAU(pool, k=7).fit(x[:HELD_OUT], y[:HELD_OUT])
    show("KNORA-U, votes", competence(rule))
    show("KNORA-U, shares of votes", combined(rule))
    rule = METADES(pool, k=7, Kp=5).fit(x[:HELD_OUT], y[:HELD_OUT])
    distances, near = rule.get_competence_region(x[fresh])
    right = rule.estimate_competence_from_proba(near, said, distances)
    show("META-DES, competence", right)
    show("META-DES, selected", rule.select(right).astype(int))
    show("META-DES, shares of votes", combined(rule))
    x2, y2, p2 = x, y % 2, p[:, :, :2] / p[:, :, :2].sum(2, keepdims=True)
    pool = [Given(x2, table) for table in p2]
    rule = METADES(pool, k=7, Kp=5).fit(x2[:HELD_OUT], y2[:HELD_OUT])
    distances, near = rule.get_competence_region(x2[fresh])
    show("META-DES, two classes, competence", rule.estimate_competence_from_proba(near, p2[:, fresh].transpose(1, 0, 2), distances))

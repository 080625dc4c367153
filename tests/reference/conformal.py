"""The reference numbers of the tests of `src/conformal`: intervals and sets of MAPIE for the same predictions.

Run with mapie 1.6.0, numpy 2.4.6, scipy 1.17.1 and scikit-learn 1.9.1 (the versions of the numbers committed); it takes
a few seconds and writes `src/conformal/tests/reference.json`. The inputs are drawn here, and are in the file too.
"""

import json
import pathlib
import warnings

import mapie
import numpy as np
from mapie.classification import CrossConformalClassifier, SplitConformalClassifier
from mapie.conformity_scores import RAPSConformityScore, ResidualNormalisedScore
from mapie.regression import (
    ConformalizedQuantileRegressor,
    CrossConformalRegressor,
    JackknifeAfterBootstrapRegressor,
    SplitConformalRegressor,
)
from mapie.subsample import Subsample
from scipy.stats import binomtest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import BaseCrossValidator, KFold, LeaveOneOut
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeRegressor

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20)

ROWS, NEW, ALPHAS = 44, 12, [0.1, 0.2, 0.25]


class Column(RegressorMixin, BaseEstimator):
    """Predicts a column of the inputs."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, x, y):
        self.fitted_ = True
        return self

    def predict(self, x):
        return np.asarray(x)[:, self.column]


class Probabilities(ClassifierMixin, BaseEstimator):
    """Predicts the inputs as probabilities."""

    def __init__(self, classes=4):
        self.classes = classes

    def fit(self, x, y):
        self.classes_ = np.arange(self.classes)
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.asarray(x).argmax(axis=1)


class Rounded(GaussianNB):
    """Predicts probabilities of few digits, none of them 0."""

    def predict_proba(self, x):
        p = super().predict_proba(x) ** 0.5 + 0.01
        p = np.round(p / p.sum(axis=1, keepdims=True), 4)
        p[:, -1] = np.round(1 - p[:, :-1].sum(axis=1), 4)
        return p


class Repeated(BaseCrossValidator):
    """Four folds, three times."""

    def split(self, x, y=None, groups=None):
        for seed in range(3):
            yield from KFold(4, shuffle=True, random_state=seed).split(x)

    def get_n_splits(self, x=None, y=None, groups=None):
        return 12


class Replay(np.random.RandomState):
    """A generator whose uniform numbers are given."""

    queue = []

    def uniform(self, low=0.0, high=1.0, size=None):
        return np.ravel(Replay.queue.pop(0))[: np.prod(size)].reshape(size)

    def __deepcopy__(self, memo):
        return self


def numbers(values, digits=4):
    return np.round(values, digits)


def listed(values):
    """A list with null for NaN."""
    return [None if isinstance(v, float) and np.isnan(v) else v for v in np.ravel(values).tolist()]


def ends(intervals):
    return {"low": listed(intervals[:, 0, 0]), "high": listed(intervals[:, 1, 0])}


def regression():
    table = rng.normal(size=(ROWS, 4))
    y = numbers(1.5 * table[:, 0] + (1 + np.abs(table[:, 1])) * rng.normal(size=ROWS))
    new = rng.normal(size=(NEW, 4))

    def columns(t):
        scale = 0.3 + np.abs(t[:, 1])
        return numbers(np.column_stack([1.4 * t[:, 0] + 0.1, scale, 1.4 * t[:, 0] - scale, 1.4 * t[:, 0] + scale]))

    x, new = columns(table), columns(new)
    split, normalized, quantile = [], [], []
    for alpha in ALPHAS:
        level = 1 - alpha
        model = SplitConformalRegressor(Column(0).fit(x, y), confidence_level=level, prefit=True)
        split.append({"alpha": alpha, **ends(model.conformalize(x, y).predict_interval(new)[1])})
        score = ResidualNormalisedScore(Column(1).fit(x, y), prefit=True, sym=True)
        model = SplitConformalRegressor(
            Column(0).fit(x, y), confidence_level=level, conformity_score=score, prefit=True
        )
        normalized.append({"alpha": alpha, **ends(model.conformalize(x, y).predict_interval(new)[1])})
        three = [Column(2).fit(x, y), Column(3).fit(x, y), Column(0).fit(x, y)]
        model = ConformalizedQuantileRegressor(three, confidence_level=level, prefit=True).conformalize(x, y)
        for symmetric in [True, False]:
            found = model.predict_interval(new, symmetric_correction=symmetric)[1]
            quantile.append({"alpha": alpha, "symmetric": symmetric, **ends(found)})
    columns = {
        name: listed(values)
        for name, values in zip(
            ["predictions", "scales", "lows", "highs", "targets", "new", "new_scales", "new_lows", "new_highs"],
            [*x.T, y, *new.T],
        )
    }
    return {**columns, "split": split, "normalized": normalized, "quantile": quantile}


def ensemble(model):
    """The fitted ensemble inside a regressor of MAPIE."""
    return model._mapie_regressor.estimator_


def cross():
    x = rng.normal(size=(24, 2))
    y = numbers(2 * x[:, 0] + np.abs(x[:, 1]) * rng.normal(size=24))
    new = rng.normal(size=(6, 2))
    tree = DecisionTreeRegressor(max_depth=2, random_state=0)
    found = []
    for name, folds, aggregation, rows in [
        ("jackknife", LeaveOneOut(), "mean", 12),
        ("folds", KFold(5), "mean", 24),
        ("repeated folds", Repeated(), "mean", 24),
        ("repeated folds", Repeated(), "median", 24),
        ("bootstrap", Subsample(n_resamplings=15, random_state=1), "mean", 24),
        ("bootstrap", Subsample(n_resamplings=15, random_state=1), "median", 24),
    ]:
        for method in ["plus", "minmax"]:
            for alpha in [0.1, 0.3]:
                x_fit, y_fit = x[:rows], y[:rows]
                if name == "bootstrap":
                    model = JackknifeAfterBootstrapRegressor(
                        tree,
                        confidence_level=1 - alpha,
                        method=method,
                        resampling=folds,
                        aggregation_method=aggregation,
                    )
                    predict = {}
                else:
                    model = CrossConformalRegressor(tree, confidence_level=1 - alpha, method=method, cv=folds)
                    # This attribute says how the held-out predictions of a row are aggregated.
                    model._mapie_regressor.agg_function = aggregation
                    predict = {"aggregate_point_predictions": aggregation}
                model.fit_conformalize(x_fit, y_fit)
                intervals = model.predict_interval(new, **predict)[1]
                inner = ensemble(model)
                members = [numbers(m.predict(x_fit), 12) for m in inner.estimators_]
                held_out = np.where(np.isnan(inner.k_.T), np.nan, members)
                case = {
                    "name": name,
                    "aggregation": aggregation,
                    "method": method,
                    "alpha": alpha,
                    "members": len(members),
                    "targets": listed(y_fit),
                    "held_out": listed(held_out.astype(float)),
                    "new": listed(np.array([numbers(m.predict(new), 12) for m in inner.estimators_])),
                    **ends(intervals),
                }
                found.append(case)
    return shared(found)


def shared(cases):
    """The tables that several cases have are listed once."""
    tables = []
    for case in cases:
        table = {key: case.pop(key) for key in ["members", "targets", "held_out", "new"]}
        if table not in tables:
            tables.append(table)
        case["table"] = tables.index(table)
    return {"tables": tables, "cases": cases}


def class_tables(count):
    logits = 2 * rng.normal(size=(count, 4))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(4, p=p) for p in true])
    labels[:4] = range(4)
    p = np.exp(1.3 * logits) / np.exp(1.3 * logits).sum(axis=1, keepdims=True)
    p = numbers(p + 0.01) / numbers(p + 0.01).sum(axis=1, keepdims=True)
    return p, labels


def scored(model):
    return model._mapie_classifier.conformity_score_function_


def sets(model, new, last, uniform):
    Replay.queue = [uniform]
    return model.predict_set(new, conformity_score_params={"include_last_label": last})[1][:, :, 0].astype(int)


def classes():
    p, labels = class_tables(ROWS)
    new, _ = class_tables(NEW)
    u, u_new = numbers(rng.uniform(size=99)), numbers(rng.uniform(size=NEW))
    model = Probabilities(4).fit(p, labels)
    lac, aps, raps = [], [], []
    for alpha in ALPHAS:
        fitted = SplitConformalClassifier(
            model, confidence_level=1 - alpha, conformity_score="lac", prefit=True, random_state=Replay(0)
        ).conformalize(p, labels)
        found = fitted.predict_set(new)[1][:, :, 0].astype(int)
        lac.append({"alpha": alpha, "quantile": float(scored(fitted).quantiles_[0]), "sets": listed(found)})
        for randomized in [False, True]:
            Replay.queue = [u if randomized else np.zeros(99)]
            fitted = SplitConformalClassifier(
                model, confidence_level=1 - alpha, conformity_score="aps", prefit=True, random_state=Replay(0)
            ).conformalize(p, labels)
            case = {"alpha": alpha, "randomized": randomized}
            for last in [True, False, "randomized"]:
                case["randomized sets" if last == "randomized" else str(last)] = listed(sets(fitted, new, last, u_new))
            aps.append({**case, "quantile": float(scored(fitted).quantiles_[0])})
    # 11 of 110 rows select the penalty, and 99 are left.
    wide, wide_labels = class_tables(110)
    for alpha in ALPHAS:
        for randomized in [False, True]:
            Replay.queue = [u if randomized else np.zeros(99)]
            fitted = SplitConformalClassifier(
                Probabilities(4).fit(wide, wide_labels),
                confidence_level=1 - alpha,
                conformity_score=RAPSConformityScore(size_raps=0.1),
                prefit=True,
                random_state=Replay(5),
            ).conformalize(wide, wide_labels)
            case = {"alpha": alpha, "randomized": randomized}
            for last in [True, False]:
                case[str(last)] = listed(sets(fitted, new, last, u_new))
            score = scored(fitted)
            selecting = [int(np.flatnonzero((wide == row).all(axis=1))[0]) for row in score.X_raps]
            raps.append({
                **case,
                "lambda": float(np.ravel(score.lambda_star)[0]),
                "k_reg": int(np.ravel(score.k_star)[0]),
                "quantile": float(np.ravel(score.quantiles_)[0]),
                "selecting": selecting,
                "rows": list(KEPT_ROWS),
            })
    return {
        "probabilities": listed(p), "labels": listed(labels), "new": listed(new), "u": listed(u),
        "u_new": listed(u_new), "lac": lac, "aps": aps,
        "raps_probabilities": listed(wide), "raps_labels": listed(wide_labels), "raps": raps,
    }


def cross_classes():
    """CV+ for classes.

    A class is in the set of Romano et al. 2020 where fewer than (1 - alpha)(n + 1) rows have a lower score. MAPIE's rule is
    `at least alpha (n - 1) rows have no lower score` for LAC, and `at most (1 - alpha)(n + 1) rows have a lower or equal
    score` for APS with the last label. For 40 rows and these alphas the rules are one, but for classes that are the least
    probable ones: their score of 1 equals that of rows whose label is the least probable one.
    """
    x, new = rng.normal(size=(40, 2)), rng.normal(size=(20, 2))
    logits = 3 * x @ [[1, 0, -1], [0, 1, -1]]
    y = np.array([rng.choice(3, p=np.exp(row) / np.exp(row).sum()) for row in logits])
    folds, cases = KFold(5), []
    for score in ["lac", "aps"]:
        for alpha in ALPHAS:
            Replay.queue = [np.zeros(40)]
            model = CrossConformalClassifier(
                Rounded(), confidence_level=1 - alpha, conformity_score=score, cv=folds, random_state=Replay(0)
            ).fit_conformalize(x, y)
            last = {"include_last_label": True} if score == "aps" else {}
            found = model.predict_set(new, conformity_score_params=last, agg_scores="crossval")[1][:, :, 0]
            members = model._mapie_classifier.estimator_.estimators_
            cases.append({"score": score, "alpha": alpha, "sets": listed(found.astype(int))})
    held_out = np.full((5, 40, 3), np.nan)
    for member, (_, rows) in enumerate(folds.split(x)):
        held_out[member, rows] = members[member].predict_proba(x[rows])
    return {
        "members": 5,
        "labels": listed(y),
        "held_out": listed(held_out),
        "new": listed(np.array([m.predict_proba(new) for m in members])),
        "cases": cases,
    }


KEPT_ROWS = []
split_data = RAPSConformityScore.split_data


def recording(self, x, *arguments, **named):
    """Notes which rows are left for the calibration."""
    result = split_data(self, x, *arguments, **named)
    KEPT_ROWS[:] = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in result[0]]
    return result


RAPSConformityScore.split_data = recording


def clopper_pearson():
    cases = []
    for hits, trials, level in [
        (0, 1, 0.95), (1, 1, 0.95), (9, 10, 0.95), (90, 100, 0.99), (3, 100, 0.9), (899, 1000, 0.95),
        (500, 1000, 0.5), (49_990, 50_000, 0.95), (123_456, 1_000_000, 0.999),
    ]:
        found = binomtest(hits, trials).proportion_ci(level, "exact")
        cases.append({"hits": hits, "trials": trials, "level": level, "low": float(found.low), "high": float(found.high)})
    return cases


if __name__ == "__main__":
    result = {
        "mapie": mapie.__version__,
        "regression": regression(),
        "cross": cross(),
        "classes": classes(),
        "cross_classes": cross_classes(),
        "clopper_pearson": clopper_pearson(),
    }
    path = pathlib.Path(__file__).parents[2] / "src/conformal/tests/reference.json"
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)

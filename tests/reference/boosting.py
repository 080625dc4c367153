"""Reference numbers for src/sequence/tests: AdaBoost and gradient boosting of scikit-learn, with the predictions of the base
learners injected. Run: python tests/reference/boosting.py (with scikit-learn 1.9.1 and numpy).

The first part prints `numbers.rs`. The estimators are stubs whose predictions are formulas of row and round, which the Rust
test has too. SAMME.R was removed from scikit-learn in version 1.8; it is computed here as version 1.5 did (`_boost_real`,
`_samme_proba`).

The second part writes `gradient_boosting.json`: whole GradientBoostingRegressor and GradientBoostingClassifier, fitted with
their own trees. What a tree predicts after the update of its leaves is injected as what a member predicts.
"""
import json
import pathlib

import numpy as np
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss, HalfSquaredError
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, GradientBoostingClassifier, GradientBoostingRegressor, _gb
from sklearn.model_selection import train_test_split

N, ROUNDS = 12, 4
np.set_printoptions(precision=17)


def show(name, values):
    print(f"const {name}: [f64; {np.size(values)}] = {[float(x) for x in np.ravel(values)]};")


def classes(k):
    return np.array([(i * i + i // 3) % k for i in range(N)])


def guess(k, i, m):
    """The class that member m predicts for row i: wrong for some of the rows."""
    y = (i * i + i // 3) % k
    return (y + 1 + m) % k if (i * 7 + m * 5) % 4 == 0 and (1 + m) % k != 0 else y


def probabilities(k, i, m):
    raw = np.array([1.0 + ((i * 5 + m * 3 + c * 7) % 11) / 4 for c in range(k)])
    y = (i * i + i // 3) % k
    raw[(y + 1) % k if (i * 7 + m * 5) % 4 == 0 else y] += 4
    return raw / raw.sum()


class Classifier(ClassifierMixin, BaseEstimator):
    calls = []

    def fit(self, X, y, sample_weight=None):
        self.m = len(Classifier.calls)
        Classifier.calls.append(sample_weight.copy())
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.array([guess(len(self.classes_), int(i), self.m) for i in X[:, 0]])


X = np.arange(N, dtype=float)[:, None]
W0 = np.array([1.0 + (i % 3) / 2 for i in range(N)])

for k in (2, 3):
    Classifier.calls = []
    boost = AdaBoostClassifier(Classifier(), n_estimators=ROUNDS, learning_rate=0.7)
    boost.fit(X, classes(k), sample_weight=W0)
    show(f"SAMME_ROWS_{k}", Classifier.calls)
    show(f"SAMME_MEMBERS_{k}", boost.estimator_weights_)
    show(f"SAMME_PROBABILITIES_{k}", boost.predict_proba(X))

    # SAMME.R
    y, w, each = classes(k), W0 / W0.sum(), []
    lr, eps = 0.7, np.finfo(float).eps
    coding = np.array([-1.0 / (k - 1), 1.0]).take(np.arange(k) == y[:, None])
    decision = 0
    for m in range(ROUNDS):
        w = np.clip(w, eps, None)
        each.append(w.copy())
        p = np.clip([probabilities(k, i, m) for i in range(N)], eps, None)
        exponent = -lr * ((k - 1.0) / k) * (coding * np.log(p)).sum(axis=1)
        w = w * np.exp(exponent)
        w = w / w.sum()
        decision = decision + (k - 1) * (np.log(p) - np.log(p).sum(axis=1)[:, None] / k)
    decision = decision / ROUNDS
    if k == 2:
        d = decision[:, 1] - decision[:, 0]
        decision = np.vstack([-d, d]).T / 2
    else:
        decision = decision / (k - 1)
    e = np.exp(decision - decision.max(axis=1, keepdims=True))
    show(f"SAMME_R_ROWS_{k}", each)
    show(f"SAMME_R_PROBABILITIES_{k}", e / e.sum(axis=1, keepdims=True))


def value(i):
    return np.sin(i) * 3 + i / 4


def estimate(i, m):
    return value(i) + ((i * 5 + m * 7) % 9 - 4) * (0.3 + 0.1 * m) * (1 if (i + m) % 5 else 2.5)


class Regressor(RegressorMixin, BaseEstimator):
    count = 0

    def fit(self, X, y):
        self.m = Regressor.count
        Regressor.count += 1
        return self

    def predict(self, X):
        return np.array([estimate(int(i), self.m) for i in X[:, 0]])


class Recorded(AdaBoostRegressor):
    def _boost(self, iboost, X, y, sample_weight, random_state):
        self.seen = getattr(self, "seen", []) + [sample_weight.copy()]
        return super()._boost(iboost, X, y, sample_weight, random_state)


for loss in ("linear", "square", "exponential"):
    Regressor.count = 0
    boost = Recorded(Regressor(), n_estimators=ROUNDS, learning_rate=0.7, loss=loss, random_state=0)
    boost.fit(X, value(np.arange(N)), sample_weight=W0)
    show(f"R2_ROWS_{loss.upper()}", boost.seen)
    show(f"R2_MEMBERS_{loss.upper()}", boost.estimator_weights_)
    show(f"R2_PREDICTED_{loss.upper()}", boost.predict(X))

# Gradient boosting: the gradients of scikit-learn's losses at raw predictions that grow by injected outputs.
W = W0 / W0.sum()
SHRINKAGE = 0.3


def output(i, m, c):
    return np.cos(i + 2 * m + 3 * c)


def boosted(name, loss, y, start):
    k = len(start)
    raw = np.tile(np.array(start, dtype=float), (N, 1))
    gradients, losses = [], []
    for m in range(ROUNDS):
        shaped = raw if k > 1 else raw[:, 0]
        gradients.append(-loss.gradient(y_true=y, raw_prediction=shaped))
        raw = raw + SHRINKAGE * np.array([[output(i, m, c) for c in range(k)] for i in range(N)])
        losses.append(loss(y_true=y, raw_prediction=raw if k > 1 else raw[:, 0], sample_weight=W))
    show(f"{name}_START", start)
    show(f"{name}_RESIDUALS", gradients)
    show(f"{name}_LOSSES", losses)
    proba = getattr(loss, "predict_proba", None)
    show(f"{name}_PREDICTED", proba(raw if k > 1 else raw[:, 0]) if proba else raw)


y = value(np.arange(N))
loss = HalfSquaredError()
boosted("SQUARED", loss, y, [np.average(y, weights=W)])
y = classes(2).astype(float)
loss = HalfBinomialLoss()
p = np.average(y, weights=W)
boosted("LOGISTIC", loss, y, [loss.link.link(np.array([p]))[0]])
y = classes(3).astype(float)
loss = HalfMultinomialLoss(n_classes=3)
p = np.array([[W[y == c].sum() for c in range(3)]])
boosted("MULTINOMIAL", loss, y, loss.link.link(p)[0])

# Whole estimators of gradient boosting.
fitted_on = []


class RecordingTree(_gb.DecisionTreeRegressor):
    """A tree that notes the targets and the weights that it is given."""

    def fit(self, X, y, sample_weight=None, check_input=True):
        fitted_on.append((np.array(y, dtype=float), np.array(sample_weight, dtype=float)))
        return super().fit(X, y, sample_weight=sample_weight, check_input=check_input)


_gb.DecisionTreeRegressor = RecordingTree


def flat(values):
    return [float(x) for x in np.ravel(values)]


def problem(task, rows, seed):
    """Inputs, targets that trees of depth 2 fit in part, and weights of rows, which f32 represents exactly."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(rows, 3)), 2)
    raw = X[:, 0] + np.sin(2 * X[:, 1]) + np.round(rng.normal(scale=0.7, size=rows), 2)
    weights = np.ceil(rng.uniform(0, 3, size=rows) * 8) / 8
    y = {"squared": raw, "logistic": (raw > 0.3).astype(int), "multinomial": np.digitize(raw, [-0.6, 0.8])}[task]
    return X, y, weights


def outputs(estimator, X):
    """What the trees predict: rounds, rows, outputs."""
    return np.array([[tree.predict(X) for tree in of_round] for of_round in estimator.estimators_]).transpose(0, 2, 1)


def estimator_of(task, **arguments):
    loss = {"loss": "squared_error"} if task == "squared" else {"loss": "log_loss"}
    kind = GradientBoostingRegressor if task == "squared" else GradientBoostingClassifier
    return kind(max_depth=2, random_state=0, **loss, **arguments)


def start_and_raw(estimator, task, X):
    """The raw predictions before the first round and after each one."""
    start = estimator._raw_predict_init(X)
    assert (start == start[0]).all()
    staged = estimator.staged_predict(X) if task == "squared" else estimator.staged_decision_function(X)
    return start[0], [np.reshape(raw, (len(X), -1)) for raw in staged]


def factor(task):
    """scikit-learn doubles these two losses where it reports them and where it compares them with `tol`."""
    return {"squared": 2, "logistic": 2, "multinomial": 1}[task]


def step_by_step(task, shrinkage, subsample, n_estimators=5, rows=24):
    X, y, weights = problem(task, rows, 18)
    fitted_on.clear()
    estimator = estimator_of(task, n_estimators=n_estimators, learning_rate=shrinkage, subsample=subsample)
    estimator.fit(X, y, sample_weight=weights)
    start, raw = start_and_raw(estimator, task, X)
    staged = estimator.staged_predict(X) if task == "squared" else estimator.staged_predict_proba(X)
    predicted = [np.reshape(p, (rows, -1)) for p in staged]
    of_trees, width = outputs(estimator, X), len(start)
    rounds = []
    for m in range(n_estimators):
        given = fitted_on[m * width:(m + 1) * width]
        # All trees of a round have the same weights, which are 0 for rows out of the bag.
        in_bag = given[0][1] > 0
        assert np.array_equal(given[0][1], weights * in_bag) and in_bag.sum() == int(subsample * rows)
        rounds.append({
            "targets": flat(np.stack([targets for targets, _ in given], axis=1)),
            "rows": [int(row) for row in np.flatnonzero(in_bag)],
            "outputs": flat(of_trees[m]),
            "raw": flat(raw[m]),
            "predicted": flat(predicted[m]),
            "loss": float(estimator.train_score_[m]) / factor(task),
            "out_of_bag_loss": float(estimator.oob_scores_[m]) / factor(task) if subsample < 1 else None,
        })
    return {"loss": task, "shrinkage": shrinkage, "subsample": subsample, "targets": flat(y), "weights": flat(weights),
            "start": flat(start), "rounds": rounds}


def best_of(losses, patience, tolerance):
    """How many members are trained, and how many kept, where the sequence ends after `patience` members without a loss that
    is smaller than the least one by more than `tolerance`, and keeps those up to that one."""
    best, least = 0, np.inf
    for members, loss in enumerate(losses, 1):
        if loss < least - tolerance:
            best, least = members, loss
        elif members - best == patience:
            return members, best
    return len(losses), best


def early_stopping(task, shrinkage, patience, tolerance, seed, rows=60, n_estimators=40):
    X, y, weights = problem(task, rows, seed)
    arguments = {"learning_rate": shrinkage, "n_estimators": n_estimators}
    stopped = estimator_of(task, n_iter_no_change=patience, validation_fraction=0.25, tol=tolerance * factor(task), **arguments)
    stopped.fit(X, y, sample_weight=weights)
    stratify = None if task == "squared" else y
    X_train, X_val, y_train, y_val, w_train, w_val = train_test_split(
        X, y, weights, random_state=0, test_size=0.25, stratify=stratify)
    # The same without an end, whose first trees are the same.
    endless = estimator_of(task, **arguments).fit(X_train, y_train, sample_weight=w_train)
    count = stopped.n_estimators_
    assert np.array_equal(outputs(stopped, X_val), outputs(endless, X_val)[:count]) and count < n_estimators
    start, raw = start_and_raw(endless, task, X_val)
    losses = [endless._loss(y_val.astype(float), r if r.shape[1] > 1 else r[:, 0].copy(), w_val) for r in raw]
    trained, kept = best_of(losses, patience, tolerance)
    of_trees, stored = outputs(endless, X_val), max(trained, count)
    return {"loss": task, "shrinkage": shrinkage, "patience": patience, "tolerance": tolerance,
            "targets": flat(y_train), "weights": flat(w_train), "valid_targets": flat(y_val), "valid_weights": flat(w_val),
            "start": flat(start), "planned": n_estimators, "outputs": [flat(of) for of in of_trees[:stored]],
            "losses": flat(losses[:stored]), "trained": trained, "kept": kept, "trained_by_scikit_learn": count}


TASKS = ["squared", "logistic", "multinomial"]
found = {
    "steps": [step_by_step(task, shrinkage, subsample)
              for task in TASKS for shrinkage, subsample in [(0.3, 1.0), (1.0, 0.6)]],
    "early_stopping": [early_stopping(task, *arguments)
                       for task in TASKS for arguments in [(0.5, 3, 0.0, 1), (0.2, 2, 0.01, 2)]],
}
path = pathlib.Path(__file__).parents[2] / "src/sequence/tests/gradient_boosting.json"
path.write_text(json.dumps(found) + "\n")

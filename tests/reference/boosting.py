"""Reference numbers for src/sequence/tests.rs: AdaBoost and gradient boosting of scikit-learn, with the predictions of the base
learners injected. Run: python boosting.py (with scikit-learn 1.9.1 and numpy).

The estimators are stubs whose predictions are formulas of row and round, which the Rust test has too.
SAMME.R was removed from scikit-learn in version 1.8; it is computed here as version 1.5 did (`_boost_real`, `_samme_proba`).
"""
import numpy as np
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss, HalfSquaredError
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor

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

"""Numbers for src/combine/stack/tests.rs, from scikit-learn (and mlxtend for its columns).

Run: python tests/reference/stacking.py   (scikit-learn 1.9.1, numpy 2.4.6, mlxtend 0.25.0)
"""
import warnings

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge

from lcg import Lcg

warnings.filterwarnings("ignore")
ROWS = 60


def classes(members, classes, seed):
    """(members, ROWS, classes) probabilities, labels, (ROWS, 2) inputs, weights."""
    g = Lcg(seed)
    labels = [int(g.draw() * classes) for _ in range(ROWS)]
    said = np.array(
        [
            [[3 * g.draw() + (1.2 if c == y else 0) for c in range(classes)] for y in labels]
            for _ in range(members)
        ]
    )
    said = np.exp(said)
    said /= said.sum(2, keepdims=True)
    inputs = np.array([[g.draw(), g.draw()] for _ in range(ROWS)])
    weights = np.array([0.5 + g.draw() for _ in range(ROWS)])
    return said, np.array(labels), inputs, weights


def values(members, seed):
    g = Lcg(seed)
    answers = np.array([6 * g.draw() - 3 for _ in range(ROWS)])
    said = np.array([[[0.8 * y + 2 * g.draw() - 0.3 * m] for y in answers] for m in range(members)])
    inputs = np.array([[g.draw(), g.draw()] for _ in range(ROWS)])
    weights = np.array([0.5 + g.draw() for _ in range(ROWS)])
    return said, answers, inputs, weights


class Given(BaseEstimator):
    """A fitted member: it looks up what it said of a row, by the row's first input."""

    def __init__(self, said=None, keys=None, labels=None):
        self.said, self.keys, self.labels = said, keys, labels
        self.fitted_ = True
        if labels is not None:
            self.classes_ = np.unique(labels)

    def fit(self, x, y):
        return self

    def look_up(self, x):
        return self.said[[int(np.flatnonzero(self.keys == key)[0]) for key in x[:, 0]]]


class GivenClassifier(ClassifierMixin, Given):
    def predict_proba(self, x):
        return self.look_up(x)

    def predict(self, x):
        return self.look_up(x).argmax(1)


class GivenRegressor(RegressorMixin, Given):
    def predict(self, x):
        return self.look_up(x)[:, 0]


def rust(name, table):
    table = np.atleast_2d(np.asarray(table, dtype=float))
    rows = ",\n    ".join("&[" + ", ".join(f"{x:.10}" for x in row) + "]" for row in table)
    print(f"const {name}: &[&[f64]] = &[\n    {rows},\n];")


def exact(c=1.0):
    return LogisticRegression(C=c, tol=1e-12, max_iter=1000, solver="newton-cholesky")


def main():
    print(f"// scikit-learn {sklearn.__version__}, numpy {np.__version__}")
    for name, members, k, seed in [("THREE", 4, 3, 7), ("TWO", 3, 2, 8)]:
        said, labels, inputs, weights = classes(members, k, seed)
        given = [
            (str(m), GivenClassifier(said[m], inputs[:, 0], labels)) for m in range(members)
        ]
        for suffix, through in [("", False), ("_THROUGH", True)]:
            stack = StackingClassifier(given, exact(), cv="prefit", passthrough=through)
            stack.fit(inputs, labels)
            print(f"// {name}{suffix}: {stack.transform(inputs).shape[1]} columns")
            rust(f"{name}{suffix}_COEFFICIENTS", stack.final_estimator_.coef_)
            rust(f"{name}{suffix}_INTERCEPTS", stack.final_estimator_.intercept_)
            rust(f"{name}{suffix}_DECISIONS", stack.decision_function(inputs)[:3].reshape(3, -1))
            rust(f"{name}{suffix}_PROBABILITIES", stack.predict_proba(inputs)[:3])
        stack = StackingClassifier(given, exact(), cv="prefit", stack_method="predict")
        print(f"// {name}, classes: {stack.fit(inputs, labels).transform(inputs).shape[1]} columns")
        if k == 2:
            rust("TWO_CLASSES_COEFFICIENTS", stack.final_estimator_.coef_)
        stack = StackingClassifier(given, exact(), cv="prefit")
        stack.fit(inputs, labels, sample_weight=weights)
        rust(f"{name}_WEIGHTED_COEFFICIENTS", stack.final_estimator_.coef_)

    # Rules over rules: two logistic stacks, a third over their out-of-fold words, refit on all rows.
    said, labels, _, _ = classes(4, 3, 7)
    table = said.transpose(1, 0, 2).reshape(ROWS, -1)
    fold_of = [int(c) for c in FOLDS]
    folds = [
        ([i for i in range(ROWS) if fold_of[i] != f], [i for i in range(ROWS) if fold_of[i] == f])
        for f in range(5)
    ]
    stack = StackingClassifier([("a", exact(1.0)), ("b", exact(0.1))], exact(), cv=folds)
    rust("LAYERS_PROBABILITIES", stack.fit(table, labels).predict_proba(table)[:3])

    said, answers, inputs, weights = values(4, 9)
    given = [(str(m), GivenRegressor(said[m], inputs[:, 0])) for m in range(4)]
    learners = [
        ("LINEAR", LinearRegression()),
        ("RIDGE", Ridge(alpha=3.0)),
        ("NET", ElasticNet(alpha=0.05, l1_ratio=0.5, tol=1e-14, max_iter=1_000_000)),
        ("LASSO", ElasticNet(alpha=0.3, l1_ratio=1.0, tol=1e-14, max_iter=1_000_000)),
    ]
    for name, learner in learners:
        for suffix, through in [("", False), ("_THROUGH", True)]:
            stack = StackingRegressor(given, learner, cv="prefit", passthrough=through)
            stack.fit(inputs, answers)
            final = stack.final_estimator_
            print(f"// {name}{suffix}: {stack.transform(inputs).shape[1]} columns")
            rust(f"{name}{suffix}", [[*final.coef_, final.intercept_]])
            rust(f"{name}{suffix}_SAID", [stack.predict(inputs)[:3]])
        stack = StackingRegressor(given, learner, cv="prefit")
        stack.fit(inputs, answers, sample_weight=weights)
        rust(f"{name}_WEIGHTED", [[*stack.final_estimator_.coef_, stack.final_estimator_.intercept_]])

    try:
        from mlxtend.classifier import StackingCVClassifier

        class Classifier(GivenClassifier):
            def fit(self, x, y):
                return self

        for k, members in [(3, 4), (2, 3)]:
            said, labels, inputs, _ = classes(members, k, 7 if k == 3 else 8)
            for drop in [None, "first"]:
                given = [Classifier(said[m], inputs[:, 0], labels) for m in range(members)]
                stack = StackingCVClassifier(
                    given, exact(), use_probas=True, drop_proba_col=drop, use_clones=False, cv=2
                )
                stack.fit(inputs, labels)
                print(f"// mlxtend, {k} classes, drop_proba_col={drop}: {stack.meta_clf_.coef_.shape[1]} columns")
    except ImportError:
        print("// mlxtend is not installed")


# The fold of each row, as HeldOut::folds deals them in the test.
FOLDS = "311002430103420434002314404134220022420121104342333423131112"

if __name__ == "__main__":
    main()

"""The reference numbers of the tests of differences in `src/statistics`.

Run with numpy 2.4.6, scipy 1.17.1, statsmodels 0.15.0, mlxtend 0.25.0, scikit-learn 1.9.1, pandas 3.1.1 and mpmath 1.3.0
(the versions of the numbers committed); it takes five minutes. The Rust tests draw the same tables: `lcg.py` has the generator.
"""

import mpmath as mp
import numpy as np
import pandas as pd
import statsmodels.api as sm
from lcg import Lcg
from mlxtend.evaluate import cochrans_q, combined_ftest_5x2cv, mcnemar as mlxtend_mcnemar, mcnemar_table, paired_ttest_5x2cv
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from statsmodels.formula.api import ols
from statsmodels.stats.contingency_tables import cochrans_q as sm_cochrans_q, mcnemar
from statsmodels.stats.multitest import multipletests

GAINS = np.array([0.012, -0.004, 0.021, 0.008, 0.015, 0.003, -0.001, 0.019, 0.007, 0.011])


def show(name, *values):
    print(name, *[float(v) for v in np.ravel(values)])


print("# t")
test = stats.ttest_1samp(GAINS, 0)
show("paired", test.statistic, test.pvalue)
scale = GAINS.std(ddof=1) * np.sqrt(1 / 10 + 100 / 900)
show("corrected", GAINS.mean() / scale, 2 * stats.t.sf(GAINS.mean() / scale, 9))
for freedom in [1, 2, 5, 9, 499, 500, 1e4, 1e7]:
    show(f"t tails {freedom}", [2 * stats.t.sf(t, freedom) for t in [0.1, 1.0, 2.5, 6.0, 20.0]])
for freedom in [1, 3, 30]:
    show(f"chi-square tails {freedom}", [stats.chi2.sf(x, freedom) for x in [0.1, 4.0, 40.0]])
for freedoms in [(10, 5), (3, 39), (2, 2)]:
    show(f"F tails {freedoms}", [stats.f.sf(x, *freedoms) for x in [0.1, 3.0, 30.0]])

print("# 5x2cv")


class Scripted(BaseEstimator, ClassifierMixin):
    """A classifier whose scores are listed: mlxtend asks for the first and the second fold of each repetition."""

    def __init__(self, scores=None):
        self.scores = scores

    def fit(self, x, y):
        return self


lcg = Lcg(5)
differences = np.array([[lcg.draw() * 0.1 - 0.02 for _ in range(2)] for _ in range(5)])
queues = {"a": [], "b": []}


def scoring(estimator, x, y):
    return queues[estimator.scores].pop(0)


for function in (paired_ttest_5x2cv, combined_ftest_5x2cv):
    # mlxtend tests on the second half first; only the order of the ten differences matters.
    queues["a"], queues["b"] = list(differences.ravel() + 0.5), [0.5] * 10
    rows = np.arange(20.0)[:, None]
    show(function.__name__, function(Scripted("a"), Scripted("b"), rows, np.arange(20) % 2, scoring=scoring, random_seed=1))

print("# McNemar")
for rows, seed in [(40, 1), (300, 2), (5000, 3)]:
    lcg = Lcg(seed)
    first, second = [], []
    for _ in range(rows):
        first.append(lcg.draw() < 0.8)
        second.append(first[-1] if lcg.draw() < 0.6 else lcg.draw() < 0.7)
    table = mcnemar_table(np.ones(rows, int), np.array(first, int), np.array(second, int))
    exact, chi = mcnemar(table, exact=True), mcnemar(table, exact=False, correction=True)
    b, c = int(table[0, 1]), int(table[1, 0])
    midp = min(1, 2 * stats.binom.cdf(min(b, c), b + c, 0.5)) - stats.binom.pmf(min(b, c), b + c, 0.5)
    assert np.isclose(exact.pvalue, mlxtend_mcnemar(table, exact=True)[1])
    assert np.isclose(chi.pvalue, mlxtend_mcnemar(table, exact=False, corrected=True)[1])
    show(f"{rows}", (b - c) / rows, exact.statistic, exact.pvalue, midp, chi.statistic, chi.pvalue)
show("large", [stats.binomtest(k, n).pvalue for k, n in [(499_000, 1_000_000), (100, 1000), (0, 3)]])

print("# Cochran")
lcg = Lcg(7)
right = np.array([[lcg.draw() < p for p in [0.8, 0.75, 0.8, 0.7]] for _ in range(200)])
test = sm_cochrans_q(right)
show("Q", test.statistic, test.pvalue, *cochrans_q(np.ones(200, int), *right.T.astype(int)))

print("# sign flips")
show("exact", stats.permutation_test((GAINS,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue)
lcg = Lcg(9)
values = np.array([lcg.draw() - 0.4 for _ in range(16)])
show("exact 16", stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue)
# By convolution of the values in units of a hundredth: 26 of them, and 60.
for count in (26, 60):
    lcg = Lcg(10)
    units = np.array([int(lcg.draw() * 100) - 42 for _ in range(count)])
    weights = {0: 1}
    for u in units:
        step = {}
        for total, ways in weights.items():
            for signed in (total + int(u), total - int(u)):
                step[signed] = step.get(signed, 0) + ways
        weights = step
    reached = sum(ways for total, ways in weights.items() if abs(total) >= abs(int(units.sum())))
    show(f"hundredths {count}", reached / 2 ** len(units))

print("# Wilcoxon and Hodges-Lehmann")


def hodges_lehmann(x):
    i, j = np.triu_indices(len(x))
    return np.median((x[i] + x[j]) / 2)


def wilcoxon(name, x, **kwargs):
    result = stats.wilcoxon(x, **kwargs)
    ranks = stats.rankdata(np.abs(x[x != 0])) if kwargs.get("zero_method") != "pratt" else stats.rankdata(np.abs(x))
    signs = x[x != 0] if kwargs.get("zero_method") != "pratt" else x
    show(name, ranks[signs > 0].sum(), result.pvalue, hodges_lehmann(x))


all_signs = stats.PermutationMethod(n_resamples=np.inf)
wilcoxon("no ties", GAINS, method="exact")
lcg = Lcg(11)
wilcoxon("50", np.array([lcg.draw() - 0.4 for _ in range(50)]), method="exact")
tied = np.array([1, 2, 2, -1, 3, 3, -2, 4, 1, 5, -1, 2], float)
wilcoxon("ties", tied, method=all_signs)
zeros = np.array([0, 2, 2, -1, 3, 0, -2, 4, 1, 5, 0, 2], float)
wilcoxon("zeros pratt", zeros, method=all_signs, zero_method="pratt")
wilcoxon("zeros wilcox", zeros, method=all_signs, zero_method="wilcox")
lcg = Lcg(12)
many = np.array([int(lcg.draw() * 21) - 9 for _ in range(200)], float)
wilcoxon("many pratt", many, method="approx", zero_method="pratt", correction=False)
wilcoxon("many wilcox", many, method="approx", zero_method="wilcox", correction=False)

print("# Friedman")
# Table 6 of Demsar 2006: areas under the curve of C4.5 with m, cf, both and neither.
DEMSAR = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967], [0.628, 0.661, 0.654, 0.657],
    [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931], [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625],
    [0.775, 0.838, 0.866, 0.875], [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
])  # fmt: skip
lcg = Lcg(13)
coarse = np.array([[int(lcg.draw() * 6 + method / 3) / 10 for method in range(5)] for _ in range(9)])
for name, table in [("Demsar", DEMSAR), ("coarse", coarse)]:
    ranks = stats.rankdata(-table, axis=1).mean(0)
    chi, p = stats.friedmanchisquare(*table.T)
    n, k = table.shape
    f = (n - 1) * chi / (n * (k - 1) - chi)
    show(name, ranks)
    show(name, chi / (n * (k - 1)), chi, p, f, stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    z = [(ranks[j] - ranks[i]) / np.sqrt(k * (k + 1) / 6 / n) for i, j in pairs]
    normal = [2 * stats.norm.sf(abs(v)) for v in z]
    show(f"{name} mean ranks", normal)
    show(f"{name} Holm", multipletests(normal, method="holm")[1])
    control = [normal[pairs.index((0, j))] for j in range(1, k)]
    show(f"{name} Holm against 0", multipletests(control, method="holm")[1])
    show(f"{name} Nemenyi", [stats.studentized_range.sf(abs(v) * np.sqrt(2), k, np.inf) for v in z])
    # scipy ties equal bits only; the library ties what differs by rounding.
    exact = []
    for i, j in pairs[: k - 1]:
        d = np.round((table[:, i] - table[:, j]) * 1e4)
        exact.append(stats.wilcoxon(d, zero_method="pratt", method=all_signs).pvalue)
    show(f"{name} Wilcoxon against 0", exact)
    show(f"{name} its Holm", multipletests(exact, method="holm")[1])
    show(f"{name} CD", stats.studentized_range.isf(0.05, k, np.inf) * np.sqrt(k * (k + 1) / 12 / n))

print("# studentized range, by adaptive quadrature in 40 digits")
mp.mp.dps = 40


def range_tail(q, k):
    below = lambda z: mp.ncdf(z)
    integrand = lambda z: mp.npdf(z) * (below(z) ** (k - 1) - (below(z) - below(z - q)) ** (k - 1))
    return k * mp.quad(integrand, [-30, -8, -4, -2, 0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 40])


for k in [2, 3, 10, 50, 100, 1000]:
    print(k, [float(range_tail(mp.mpf(q), k)) for q in [0.5, 3, 5, 10]])
for k in [2, 5, 10, 50, 100]:
    print(k, [float(mp.findroot(lambda q: range_tail(q, k) - a, (3 + mp.log(k) / 2, 4 + mp.log(k) / 2))) for a in [mp.mpf("0.1"), mp.mpf("0.05"), mp.mpf("0.01")]])

print("# adjusted p-values")
lcg = Lcg(14)
p = [lcg.draw() ** 3 for _ in range(8)]
for method in ["bonferroni", "holm", "simes-hochberg"]:
    show(method, multipletests(p, method=method)[1])

print("# variance components: one-way random effects, method of moments")
for sizes in ([4, 4, 4, 4, 4], [2, 5, 1, 7, 3, 4]):
    lcg = Lcg(15)
    rows = []
    for split, size in enumerate(sizes):
        centre = lcg.draw()
        rows += [(split, centre + 0.3 * lcg.draw()) for _ in range(size)]
    frame = pd.DataFrame(rows, columns=["split", "value"])
    table = sm.stats.anova_lm(ols("value ~ C(split)", frame).fit())
    between, within = table["mean_sq"]
    n, a = sum(sizes), len(sizes)
    size = (n - sum(s * s for s in sizes) / n) / (a - 1)
    variance = (between - within) / size
    show(str(sizes), np.sqrt([within, variance, within + variance]))

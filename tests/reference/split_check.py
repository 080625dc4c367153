"""The reference numbers of the tests of `kolmogorov_smirnov_test` and `homogeneity_test`.

Run with numpy 2.4.6 and scipy 1.17.1.
"""

import numpy as np
from lcg import Lcg
from scipy import stats


def draws(seed, n):
    lcg = Lcg(seed)
    return np.array([lcg.draw() for _ in range(n)])


for name, a, b in [
    ("small", draws(1, 20), draws(2, 15) ** 2),
    ("equal", draws(3, 12), draws(4, 12)),
    ("ties", np.floor(draws(5, 30) * 10), np.floor(draws(6, 25) ** 1.5 * 10)),
    ("exact, larger", draws(7, 300), draws(8, 200) ** 1.2),
]:
    test = stats.ks_2samp(a, b, method="exact")
    print(name, float(test.statistic), float(test.pvalue))
a, b = draws(9, 1000), draws(10, 700) ** 1.1
d = stats.ks_2samp(a, b).statistic
print("limit", float(d), float(stats.kstwobign.sf(d * np.sqrt(1000 * 700 / 1700))), float(stats.ks_2samp(a, b, method="exact").pvalue))

for table in [[[30, 20, 50], [10, 25, 15]], [[8, 2], [1, 9]], [[5, 0, 5], [7, 0, 3]]]:
    table = np.array(table)
    test = stats.chi2_contingency(table[:, table.sum(0) > 0], correction=False)
    print("homogeneity", float(test.statistic), float(test.pvalue))

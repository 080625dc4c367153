"""Reference numbers of the unit tests of findings (src/diagnose): scipy's chi-square quantiles."""
import numpy as np
from scipy.stats import chi2

for n in (2, 3, 5, 10, 20, 50):
    low, high = np.sqrt((n - 1) / chi2.ppf([0.975, 0.025], n - 1))
    print(f"({n}, {low:.15g}, {high:.15g}),")

# The smallest number of runs whose interval lies within a share of the standard deviation.
for within in (0.25, 0.5, 1.0):
    n = 2
    while not (np.sqrt((n - 1) / chi2.ppf(0.025, n - 1)) <= 1 + within
               and np.sqrt((n - 1) / chi2.ppf(0.975, n - 1)) >= 1 - within):
        n += 1
    print(within, n)

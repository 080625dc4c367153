"""Reference numbers for src/train/range_test: the smoothing and the suggestions of fast.ai's lr_find.

`valley` and `minimum` are those of fastai.callback.schedule, `steep` is with slopes over a fifth of the steps, and the smoothed loss that of
fastai.learner.AvgSmoothLoss, written out in numpy. The curve is the one of the test.

    pip install numpy==2.4.6
    python tests/reference/range_test.py
"""

import numpy as np

STEPS, FROM, TO, BETA = 40, 1e-4, 10.0, 0.8


def curve():
    rates = FROM * (TO / FROM) ** (np.arange(STEPS) / (STEPS - 1))
    losses = 2 / (1 + 50 * rates) + 0.3 * rates**2 + np.array([((7 * i) % 5 - 2) / 40 for i in range(STEPS)])
    return rates, losses


def smooth(losses):
    mean, out = 0.0, []
    for i, loss in enumerate(losses):
        mean = BETA * mean + (1 - BETA) * loss
        out.append(mean / (1 - BETA ** (i + 1)))
    return np.array(out)


def valley(lrs, losses):
    n = len(losses)
    max_start, max_end = 0, 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(0, i):
            if losses[i] < losses[j] and lds[i] < lds[j] + 1:
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
                max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return lrs[max_start + int(sections) + int(sections / 2)]


def steep(lrs, losses):
    # fast.ai takes the difference of neighbours, which noise decides; here a tenth of the steps before and after.
    k = max(1, len(lrs) // 10)
    slopes = (losses[2 * k :] - losses[: -2 * k]) / np.log(lrs[2 * k :] / lrs[: -2 * k])
    return lrs[k + np.argmin(slopes)]


def minimum(lrs, losses):
    return lrs[np.argmin(losses)] / 10


rates, losses = curve()
smoothed = smooth(losses)
best, end = np.inf, len(smoothed)
for i, s in enumerate(smoothed):
    best = min(best, s)
    if s > 4 * best:
        end = i + 1
        break
print("steps", end, "smoothed", [f"{smoothed[i]:.12g}" for i in (0, 1, 9, 25, end - 1)])
r, s = rates[STEPS // 10 : end - 5], smoothed[STEPS // 10 : end - 5]
print(f"steep {steep(r, s):.12g} valley {valley(r, s):.12g} minimum {minimum(r, s):.12g}")

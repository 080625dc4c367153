"""Statuses in `src/train/stopping/tests.rs`: Keras' EarlyStopping callback and Prechelt's criteria, in plain Python.

The callback is that of Keras 3 (keras/src/callbacks/early_stopping.py), less the weights. I: improved, -: not
improved, S: stop.
"""


class Keras:
    def __init__(self, min_delta=0.0, patience=0, higher=False, baseline=None, start_from_epoch=0):
        self.sign = 1 if higher else -1
        self.min_delta, self.patience = abs(min_delta), patience
        self.baseline, self.start_from_epoch = baseline, start_from_epoch
        self.wait, self.best = 0, -self.sign * float("inf")

    def is_improvement(self, value, reference):
        return self.sign * (value - reference) > self.min_delta

    def on_epoch_end(self, epoch, current):
        if epoch < self.start_from_epoch:
            return "-"
        self.wait += 1
        if self.is_improvement(current, self.best):
            self.best = current
            if self.baseline is None or self.is_improvement(current, self.baseline):
                self.wait = 0
            return "I"
        return "S" if self.wait >= self.patience and epoch > 0 else "-"


def run(values, **kwargs):
    keras, statuses = Keras(**kwargs), ""
    for epoch, value in enumerate(values):
        statuses += keras.on_epoch_end(epoch, value)
        if statuses.endswith("S"):
            break
    return statuses


VALUES = [5.0, 4.0, 4.5, 3.0, 3.5, 3.25, 2.75, 2.5, 3.0, 3.5, 2.9, 2.0]
for kwargs in [
    dict(patience=2),
    dict(patience=3),
    dict(patience=3, min_delta=0.5),
    dict(patience=3, baseline=2.6),
    dict(patience=6, baseline=3.1),
    dict(patience=2, start_from_epoch=4),
    dict(patience=2, start_from_epoch=2, baseline=1.0),
    dict(patience=2, higher=True),
    dict(patience=2, higher=True, baseline=4.75, start_from_epoch=1),
]:
    print(run(VALUES, **kwargs), kwargs)


# Prechelt 1998, section 2.2.
def gl(valid, t):
    return 100 * (valid[t] / min(valid[: t + 1]) - 1)


def p(train, t, k):
    strip = train[t - k + 1 : t + 1]
    return 1000 * (sum(strip) / (k * min(strip)) - 1)


def up(valid, t, s, k):
    if t - k < 0 or valid[t] <= valid[t - k]:
        return False
    return s == 1 or up(valid, t - k, s - 1, k)


VALID = [8.0, 6.0, 5.0, 5.1, 5.3, 4.8, 4.9, 5.0, 5.4, 5.2, 5.3, 5.5, 5.6, 5.8, 6.0]
TRAIN = [8.0, 6.0, 4.0, 3.6, 3.4, 3.3, 3.2, 3.15, 3.1, 3.08, 3.06, 3.05, 3.04, 3.03, 3.02]
for alpha in (1, 3, 5, 10, 20, 100):
    print("GL", alpha, next((t for t in range(len(VALID)) if gl(VALID, t) > alpha), None))
for k in (2, 3, 5):
    ends = range(k - 1, len(VALID), k)
    for alpha in (0.1, 0.5, 1, 2):
        stop = next((t for t in ends if gl(VALID, t) / p(TRAIN, t, k) > alpha), None)
        print("PQ", alpha, "strip", k, stop)
    for s in (1, 2, 3):
        print("UP", s, "strip", k, next((t for t in ends if up(VALID, t, s, k)), None))

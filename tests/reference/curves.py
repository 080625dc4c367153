"""Makes labelled learning curves: five runs of one setting a file, with a cause that an intervention verifies.

    python curves.py OUT [--cases 720] [--seed 1] [--minutes 60]

Writes OUT/gNNNN.json and OUT/index.csv (file, label, note), one case at a time and the labels in random order, so
that every prefix can be used; started again it goes on where it stopped. A case whose intervention does not show
its cause is thrown away. Needs numpy, scikit-learn and torch (CPU). All runs of a setting train as one network with
a leading run axis; losses are cross-entropy, or MSE / MAE in the target's unit, as in a Keras history.
"""
import argparse, csv, json, math, os, time
from functools import partial
import numpy as np
import torch
import torch.nn.functional as F
from sklearn import datasets as D

class Reject(Exception):
    """The case does not show what its label says."""

def need(so):
    if not so:
        raise Reject

# ---------------------------------------------------------------------------------------------------- data sets
def seed(r):
    return int(r.integers(1 << 30))

def spirals(r, n):
    y, a = r.integers(0, 2, n), np.sqrt(r.random(n)) * r.choice([1.5, 2., 2.5]) * np.pi
    X = np.c_[np.cos(a + y * np.pi), np.sin(a + y * np.pi)] * (a + .5)[:, None]
    return X + r.normal(0, r.choice([.15, .3, .45]), (n, 2)), y

def checkerboard(r, n):
    k, X = r.choice([2, 3]), r.random((n, 2 + r.choice([0, 0, 3])))
    y = np.floor(X[:, :2] * k).sum(1).astype(int) % 2
    return X + r.normal(0, r.choice([0, .03, .08]), X.shape), y

def rings(r, n):
    y, a = r.integers(0, 3, n), r.random(n) * 2 * np.pi
    return np.c_[np.cos(a), np.sin(a)] * (1 + y + r.normal(0, r.choice([.15, .3, .45]), n))[:, None], y

def mixture(dims, kinds):
    def f(r, n):
        d, k = int(r.choice(dims)), int(r.choice(kinds))
        c, y = r.normal(0, r.choice([1.2, 1.7, 2.2]) / d ** .25, (k, 2, d)), r.integers(0, k, n)
        return c[y, r.integers(0, 2, n)] + r.normal(size=(n, d)), y
    return f

def logistic(r, n):
    X, d = r.normal(size=(n, 6)), r.normal(size=6)
    z = X @ d / np.linalg.norm(d) * r.choice([1.5, 3., 5.]) + r.choice([0., 1.]) * X[:, 0] * X[:, 1]
    return X, (r.random(n) < 1 / (1 + np.exp(-z))).astype(int)

def tabular(r, n):
    k = int(r.choice([2, 2, 4]))
    return D.make_classification(n, int(r.choice([8, 12, 20])), n_informative=6, n_classes=k,
                                 n_clusters_per_class=int(r.choice([1, 2])), class_sep=r.choice([.8, 1.2, 1.8]),
                                 flip_y=r.choice([0, .02, .1]), random_state=seed(r))

def hastie(r, n):
    X, y = D.make_hastie_10_2(n, random_state=seed(r))
    return X, (y > 0).astype(int)

def sines(r, n):
    X = r.random((n, 4)) * 2 - 1
    y = np.sin(3 * X[:, 0]) + np.cos(r.choice([2, 4]) * X[:, 1]) + .5 * X[:, 2]
    return X, y + r.normal(0, r.choice([.05, .3, .6]), n)

def linear(r, n):
    d = int(r.choice([5, 10, 20]))
    X, w = r.normal(size=(n, d)), r.normal(size=d)
    return X, X @ w / np.linalg.norm(w) + r.normal(0, r.choice([.3, .6, 1.]), n)

def teacher(r, n):
    d = int(r.choice([4, 8, 16]))
    X, W = r.normal(size=(n, d)), r.normal(size=(d, 6)) * 1.5 / math.sqrt(d)
    return X, np.tanh(X @ W) @ r.normal(size=6) + r.normal(0, r.choice([.05, .3]), n)

def drawn(f, late=False, **kw):
    """A generator of scikit-learn with arguments chosen from lists, and a seed (drawn after them if late)."""
    pick = lambda r: {k: r.choice(v).item() for k, v in kw.items()}
    if late:
        return lambda r, n: f(n_samples=n, **pick(r), random_state=seed(r))
    return lambda r, n: f(n_samples=n, random_state=seed(r), **pick(r))

def real(f):
    return lambda r, n: f(return_X_y=True)

CLASSES = dict(
    blobs=drawn(partial(D.make_blobs, center_box=(-6, 6)), True, centers=[3, 3, 4], cluster_std=[1.5, 2., 2.5]), wine=real(D.load_wine),
    circles=drawn(D.make_circles, noise=[.05, .1, .15], factor=[.5, .7, .8]), make_classification=tabular,
    digits=real(D.load_digits), hastie=hastie, two_spirals=spirals, moons=drawn(D.make_moons, noise=[.1, .2, .3, .4]),
    iris=real(D.load_iris), breast_cancer=real(D.load_breast_cancer), checkerboard=checkerboard, rings=rings,
    gaussian_quantiles=drawn(D.make_gaussian_quantiles, True, n_features=[2, 4, 8], n_classes=[2, 3]),
    logistic=logistic, mixture_low=mixture([2, 3, 5], [2, 3, 4]), mixture_high=mixture([20, 30], [3, 5]))
NUMBERS = dict(
    friedman1=drawn(D.make_friedman1, noise=[.2, 1., 2.]), diabetes=real(D.load_diabetes),
    make_regression=drawn(D.make_regression, True, n_features=[10, 20], n_informative=[5, 10], noise=[1., 10., 40.]),
    friedman2=drawn(D.make_friedman2, noise=[1., 60., 150.]), friedman3=drawn(D.make_friedman3, noise=[0., .05, .15]),
    swiss_roll=drawn(D.make_swiss_roll, True, noise=[0., .5, 1.]), sines=sines, linear=linear, teacher=teacher,
    sparse_uncorrelated=drawn(D.make_sparse_uncorrelated, n_features=[6, 10]))
# a data set that cannot show a label is not tried for it: too few rows for "many random rows", or linear
SMALL = {"wine", "iris", "breast_cancer", "diabetes"}
LINEAR = {"linear", "make_regression", "logistic"}
NOT = {"unrepresentative_train": SMALL, "underfit_capacity": LINEAR | SMALL | {"moons", "sparse_uncorrelated"},
       "high_variance": LINEAR | {"breast_cancer", "diabetes", "sparse_uncorrelated"}}

class Task:
    """One draw of a data set: standardised rows, and who is test, may be validation, may be training."""
    def __init__(self, name, r, dseed):
        self.name, self.reg = name, name in NUMBERS
        X, y = (NUMBERS if self.reg else CLASSES)[name](np.random.default_rng(dseed), 2600)
        X, n = np.asarray(X, float), len(y)
        p = r.permutation(n)
        X, y = X[p], np.asarray(y)[p]
        self.X = torch.tensor((X - X.mean(0)) / (X.std(0) + 1e-9), dtype=torch.float32)
        self.y = (y - y.mean()) / y.std() if self.reg else y.astype(int)
        self.K = 0 if self.reg else int(y.max()) + 1
        a, b = (800, 600) if n > 2000 else (int(.3 * n), int(.3 * n))
        self.test, self.spare, self.pool = np.split(np.arange(n), [a, a + b])

    def noise(self, r, share):
        if self.reg:
            self.y = (self.y + r.normal(0, share * 2, len(self.y))) / math.sqrt(1 + 4 * share * share)
        else:
            self.y = np.where(r.random(len(self.y)) < share, r.integers(0, self.K, len(self.y)), self.y)

    def part(self, i, s):
        if s["loss"] == "ce":
            return self.X[i], torch.eye(self.K)[torch.tensor(self.y[i])]
        return self.X[i], torch.tensor(self.y[i] * s.get("y_mult", 1), dtype=torch.float32)[:, None]

    def no_model(self, i, s):
        """The loss of the best constant on rows i."""
        y = self.y[i] * s.get("y_mult", 1)
        if self.reg:
            return y.var() if s["loss"] == "mse" else np.abs(y - np.median(y)).mean()
        q = np.bincount(y, minlength=self.K) / len(y)
        return max(-(q[q > 0] * np.log(q[q > 0])).sum(), .05)

# --------------------------------------------------------------------------------------- training, batched over runs
class Fit:
    """Trains `runs` networks at once. `lr` may be one rate a run. loss["train" | name of a part] is runs x epochs."""
    def __init__(self, s, train, parts, runs=5, seed=0, stop=None, last=(), **over):
        self.s = s = {**s, **over}
        self.runs, (X, Y), g = runs, train, torch.Generator().manual_seed(int(seed))
        size, n, l2, mom = [X.shape[1], *s["hidden"], Y.shape[1]], len(X), s.get("l2", 0.), s["mom"]
        self.W, self.B = [], []
        for a, b in zip(size, size[1:]):
            k = math.sqrt(6 / (a if s["init"] == "he" else a + b)) * s.get("init_mult", 1.)
            self.W.append((torch.rand(runs, a, b, generator=g) * 2 - 1) * k)
            self.B.append(torch.zeros(runs, 1, b))
        P = [p.requires_grad_() for p in self.W + self.B]
        lr = torch.tensor(np.broadcast_to(np.float32(s["lr"]), runs).copy())[:, None, None]
        M, V, t = [torch.zeros_like(p) for p in P], [torch.zeros_like(p) for p in P], 0
        self.loss, self.metric = {k: [] for k in ("train", *parts)}, {k: [] for k in ("train", *parts)}
        for epoch in range(1, s["epochs"] + 1):
            perm = torch.rand(runs, n, generator=g).argsort(1)
            Xp, Yp, sums = X[perm], Y[perm], [torch.zeros(runs)] * 2
            for b in range(0, n, s["batch"]):
                with torch.enable_grad():
                    y, o = Yp[:, b:b + s["batch"]], self.predict(Xp[:, b:b + s["batch"]], s.get("dropout"), g)
                    l = self.losses(o, y)
                    G = torch.autograd.grad(l.sum(), P)
                if s["rec"] == "running":
                    sums = [sums[0] + l, sums[1] + self.score(o, y)]
                if l2:
                    torch._foreach_add_(G[:len(self.W)], self.W, alpha=2 * l2)
                if s["opt"] == "adam":
                    t += 1
                    torch._foreach_lerp_(M, G, .1)
                    torch._foreach_mul_(V, .999)
                    torch._foreach_addcmul_(V, G, G, .001)
                    D2 = torch._foreach_sqrt(torch._foreach_div(V, 1 - .999 ** t))
                    torch._foreach_add_(D2, 1e-7)
                    U = torch._foreach_mul(torch._foreach_div(M, D2), [lr / (1 - .9 ** t)] * len(P))
                else:
                    torch._foreach_mul_(M, mom)
                    torch._foreach_add_(M, G)
                    U = torch._foreach_mul(M, [lr] * len(P))
                torch._foreach_sub_(P, U)
            steps = math.ceil(n / s["batch"])
            if s["rec"] == "running":
                self.add("train", sums[0] / steps, sums[1] / steps)
            for k, (x, y) in dict(train=train, **parts).items():
                if (k != "train" or s["rec"] != "running") and (k not in last or epoch == s["epochs"]):
                    o, y = self.predict(x.expand(runs, *x.shape)), y.expand(runs, *y.shape)
                    self.add(k, self.losses(o, y), self.score(o, y))
            if stop and epoch == stop[0]:
                need(stop[1](np.array(self.loss["train"]).T))
        for a in (self.loss, self.metric):
            a.update({k: np.array(v).T for k, v in a.items()})

    def predict(self, h, dropout=0, g=None):
        act = getattr(torch, self.s["act"])
        for i, (w, b) in enumerate(zip(self.W, self.B)):
            h = torch.baddbmm(b, h, w)
            if i + 1 < len(self.W):
                h = act(h)
                if dropout:
                    h = h * (torch.rand(h.shape, generator=g) >= dropout) / (1 - dropout)
        return h

    def losses(self, o, y):
        """Loss of each row, averaged over the rows of each run."""
        k = self.s["loss"]
        if k == "ce":
            return -(o.log_softmax(2) * y).sum(2).mean(1)
        return (F.softplus(o) - o * y if k == "bce" else (o - y) ** 2 if k == "mse" else (o - y).abs()).mean((1, 2))

    def score(self, o, y):
        """Accuracy, or mean square, of each run."""
        if self.s["loss"] in ("mse", "mae"):
            return ((o - y) ** 2).mean((1, 2))
        hit = o.argmax(2) == y.argmax(2) if self.s["loss"] == "ce" else (o > 0) == (y > .5)
        return hit.float().mean(1).reshape(len(o))

    def add(self, name, l, a):
        self.loss[name].append(l.detach().numpy().copy())
        self.metric[name].append((a.sqrt() if self.s["loss"] in ("mse", "mae") else a).detach().numpy().copy())

# ------------------------------------------------------------------------------------------------- what is measured
def six(x):
    return float("%.6g" % x)

def cut(f, E):
    """Keeps the first E epochs."""
    for k in f.loss:
        f.loss[k], f.metric[k] = f.loss[k][:, :E], f.metric[k][:, :E]

def end(a, share=.05):
    """Mean over runs of the mean over the last epochs."""
    return float(a[:, -max(1, int(a.shape[1] * share)):].mean())

def step(a):
    """Mean absolute step from epoch to epoch over the last six tenths."""
    return float(np.abs(np.diff(a[:, int(.4 * a.shape[1]):], axis=1)).mean())

def fall(a):
    """Share of the loss that the last fifth of the epochs takes away."""
    a = a.mean(0)
    k = max(1, len(a) // 5)
    return float(1 - a[-1] / a[-1 - k])

def turn(a):
    """Final mean loss over the least one."""
    a = a.mean(0)
    return float(a[-max(1, len(a) // 50):].mean() / a.min())

def drop(a):
    return float(1 - a[:, -1].mean() / a[:, 0].mean())

# ---------------------------------------------------------------------------------------------------------- recipes
class Case:
    """One try: a draw of a data set, its rows, and the settings `s`, which a recipe completes."""
    def __init__(self, r, name):
        self.r, dseed, self.seed = r, int(r.integers(1, 10000)), int(r.integers(1, 1000000))
        self.t = t = Task(name, r, dseed)
        loss = str(r.choice(["mse", "mse", "mae"])) if t.reg else str(r.choice(["ce", "bce"])) if t.K == 2 else "ce"
        adam = r.random() < .45
        self.s = dict(data=name, dseed=dseed, seed=self.seed, hidden=[16], act="relu", init=str(r.choice(["he", "glorot"])),
                      opt="adam" if adam else "sgd", lr=.0, mom=float(r.choice([.9, 0.] if adam else [.9, .9, .9, 0.])),
                      batch=int(r.choice([16, 32, 32, 64])), epochs=100, loss=loss,
                      rec=str(r.choice(["running", "evaluated"])), unit=float(r.choice([1, 1, .1, 12, 80])) if t.reg else 1.)
        self.small = len(t.pool) < 300
        self.train = t.pool if self.small else t.pool[:int(r.integers(250, 800))]
        self.valid = t.spare if self.small else t.spare[:int(r.integers(160, len(t.spare) + 1))]

    def rate(self, lo=0., hi=1.):
        """A usual rate for this optimiser (a part of its range, on the log scale)."""
        s = self.s
        a, b = (.001, .008) if s["opt"] == "adam" else (.004, .05) if s["mom"] else (.03, .12)
        if self.t.reg and s["opt"] == "sgd":
            a, b = a / 2, b / 2
        return six(math.exp(math.log(a) + (lo + (hi - lo) * self.r.random()) * math.log(b / a)))

    def pick(self, *a):
        x = a[int(self.r.integers(len(a)))]
        return list(x) if isinstance(x, list) else x

    def fit(self, parts=("valid",), train=None, **kw):
        t, s = self.t, {**self.s, **kw}
        own = dict(valid=self.valid, test=t.test)
        return Fit(self.s, t.part(self.train if train is None else train, s), {k: t.part(own[k], s) for k in parts},
                   **{"seed": self.seed, **kw})

    def base(self, **kw):
        return self.t.no_model(self.train, {**self.s, **kw})

BOTH = dict(parts=("valid", "test"), last=("test",))
ONLY_TEST = dict(parts=("test",), last=("test",))

def vanishing(c):
    act = c.pick("tanh", "sigmoid")
    c.s.update(hidden=[c.pick(16, 32)] * int(c.r.integers(5, 9)), act=act, init="glorot", opt="sgd", lr=.01, mom=.9,
               batch=c.pick(32, 64), epochs=c.pick(50, 80, 100, 100, 150), init_mult=1. if act == "sigmoid" else c.pick(.1, .2))
    f = c.fit(stop=(15, lambda a: drop(a) < .05))
    a = f.loss["train"]
    need(drop(a) < .03 and end(a) >= .9 * c.base())
    g = drop(c.fit((), runs=2, act="relu", init="he", init_mult=1.).loss["train"])
    need(g > .5)
    return f, "vanishing gradients: %d %s layers; train loss falls %.1f%%; with relu and he_uniform %.0f%%" % (
        len(c.s["hidden"]), act, 100 * drop(a), 100 * g)

def underfit_flat(c):
    if c.r.random() < .6:
        return vanishing(c)
    c.s.update(hidden=c.pick([16], [32], [48], [64], [16, 16], [48, 48]), epochs=c.pick(20, 40, 60, 80, 100))
    u = c.rate()
    lr = c.s["lr"] = six(u * 10 ** c.r.uniform(-3.2, -2))
    f = c.fit(runs=9, lr=[lr] * 5 + [lr * 10] * 2 + [u] * 2)
    a, b, d = (drop(f.loss["train"][i:j]) for i, j in ((0, 5), (5, 7), (7, 9)))
    need(a < .05 and b > 3 * max(a, .003) and d > .3)
    return f, "learning rate far too small; train loss falls %.2f%%; with 10x the rate %.1f%%, with the usual rate %.0f%%" % (
        100 * a, 100 * b, 100 * d)

def underfit_unfinished(c):
    s = c.s
    E = c.pick(20, 20, 25, 40, 60, 80)
    s.update(hidden=c.pick([16], [24], [48], [64], [16, 16], [48, 48]), lr=six(c.rate() * 10 ** c.r.uniform(-1.7, -.5)), epochs=E)
    early = lambda a: fall(a) >= .05 and .2 * c.base() < end(a) < .93 * c.base() and drop(a) > .15
    f = c.fit(("valid", "test"), epochs=4 * E, stop=(E, early))
    a, b = f.loss["test"][:, E - 1].mean(), f.loss["test"][:, -1].mean()
    cut(f, E)
    need(b < .85 * a and end(f.loss["valid"]) < 1.4 * end(f.loss["train"]))
    return f, ("stopped while still falling: train loss still falls %.0f%% over the last fifth; four times the epochs take %.0f%% "
               "off the loss on %d test rows" % (100 * fall(f.loss["train"]), 100 - 100 * b / a, len(c.t.test)))

def unscaled(c):
    c.s.update(hidden=c.pick([16], [48], [32, 32], [64, 64]), opt="sgd", loss="mse", mom=.9, lr=.01, batch=32,
               epochs=c.pick(20, 60, 100, 200), unit=1., y_mult=float(c.pick(10, 30, 100)))
    f = c.fit()
    bad = int((~np.isfinite(f.loss["train"])).any(1).sum())
    need(bad >= 3)
    g = end(c.fit((), runs=2, epochs=min(c.s["epochs"], 60), y_mult=1.).loss["train"]) / c.base(y_mult=1.)
    need(g < .9)
    return f, ("unscaled target, exploding gradients; %d of 5 runs end in NaN; cured: final train loss %.2f of the "
               "no-model loss" % (bad, g))

def unstable_learning(c):
    s = c.s
    if c.t.reg and c.r.random() < .35:
        return unscaled(c)
    s.update(hidden=c.pick([16], [32], [48], [64], [16, 16], [48, 48], [64, 64]), batch=c.pick(8, 16, 16, 32),
             epochs=c.pick(30, 30, 40, 70, 120))
    s["epochs"] = min(s["epochs"], 40 if s["batch"] == 8 else 200)
    u = c.rate()
    s["lr"] = six(u * 10 ** c.r.uniform(1., 2.))
    f = c.fit(runs=8, lr=[s["lr"]] * 5 + [u] * 3)
    n0, a, b = c.base(), f.loss["train"][:5], f.loss["train"][5:]
    x, y, bad = end(a, .1) / n0, end(b, .1) / n0, int((~np.isfinite(a)).any(1).sum())
    if bad >= 3:
        need(y < .9)
        return f, "learning rate too high; %d of 5 runs end in NaN; cured: final train loss %.2f of the no-model loss" % (bad, y)
    typical = float(np.median(np.abs(np.diff(a[:, int(.4 * a.shape[1]):], axis=1))))
    need(not bad and step(a) >= .035 * n0 and typical >= .015 * n0 and step(b) <= .35 * step(a))
    need(x <= 20 and end(f.loss["valid"][:5]) <= 8 * n0 and y <= .75 * x and x - y >= .08)
    return f, ("learning rate too high; step-to-step noise of the train loss %.3f of the no-model loss, cured %.3f; final train "
               "loss %.2f, cured %.2f" % (step(a) / n0, step(b) / n0, x, y))

def underfit_capacity(c):
    c.s.update(hidden=c.pick([], [1], [1], [2], [2]), lr=c.rate(), epochs=c.pick(100, 150, 200, 200, 300))
    f = c.fit(**BOTH)
    a, n0 = f.loss["train"], c.base()
    need(fall(a) <= .03 and .12 * n0 < end(a) < .97 * n0 and turn(f.loss["valid"]) <= 1.05)
    need(f.metric["valid"][:, -1].std(ddof=1) <= .045)
    g = c.fit(runs=2, hidden=[64, 64], opt="adam", lr=.002, epochs=min(c.s["epochs"], 120), **ONLY_TEST)
    x, y = 1 - end(g.loss["train"]) / end(a), 1 - end(g.loss["test"]) / end(f.loss["test"])
    need(x >= .5 and y >= .3)
    return f, "model too small: hidden %s; a network of 64-64 takes %.0f%% off the train and %.0f%% off the test loss" % (
        c.s["hidden"], 100 * x, 100 * y)

def overfit(c):
    s, t = c.s, c.t
    if not c.small:
        c.train = c.train[:int(c.r.integers(50, 250))]
    s.update(hidden=c.pick([64], [200], [64, 64], [100, 100], [200, 200]), lr=c.rate(),
             epochs=c.pick(60, 150, 300, 300, 400, 500), batch=c.pick(32, 64))
    noise, kept = c.pick(0, 0, .1, .2, .3), c.pick(0, 0, 0, .2)
    s.update(**(dict(label_noise=noise) if noise else {}), **(dict(dropout=kept) if kept else {}))
    if noise:
        t.noise(c.r, noise)
    f = c.fit(("valid", "test"))
    a, v, x = (f.loss[k].mean(0) for k in ("train", "valid", "test"))
    k = int(v.argmin())
    need(x[-1] >= x[k] / .88 and v[-1] >= max(1.12 * v[k], 2 * a[-1]))
    return f, ("large network, few rows, many epochs; from the best validation epoch to the end: validation loss x%.2f, test loss "
               "x%.2f on %d rows, train loss x%.2f" % (v[-1] / v[k], x[-1] / x[k], len(t.test), a[-1] / a[k]))

def good_fit(c):
    s = c.s
    if not c.small and c.r.random() < .4:
        c.train = c.t.pool[:int(c.r.integers(600, len(c.t.pool)))]
    E = c.pick(80, 80, 120, 150, 200, 250, 300)
    s.update(hidden=c.pick([8], [12], [16], [8, 8], [16, 16], [24]), lr=c.rate(), epochs=E, batch=c.pick(32, 64, 64),
             l2=c.pick(0., 0., .0001, .001))
    n0 = c.base()
    f = c.fit(("valid", "test"), epochs=3 * E, stop=(E, lambda a: fall(a) <= .065 and end(a) < .8 * n0 and step(a) < .02 * n0))
    x, y = f.loss["test"][:, E - 1].mean(), f.loss["test"][:, -1].mean()
    cut(f, E)
    a, v = end(f.loss["train"]), end(f.loss["valid"])
    need(1 - y / x <= .1 and turn(f.loss["valid"]) <= 1.06 and f.metric["test"][:, -1].std(ddof=1) <= .018)
    need(.72 * a <= v <= 1.35 * a + .01 * n0)
    u = 1 - c.fit(runs=3, hidden=[4 * h for h in s["hidden"]], **ONLY_TEST).loss["test"].mean() / x
    need(u <= .1)
    return f, ("converged; four times the units take %.0f%%, three times the epochs %.0f%% off the test loss (%.2f of the no-model "
               "loss)" % (100 * max(u, 0), 100 * max(1 - y / x, 0), x / n0))

def high_variance(c):
    s, t = c.s, c.t
    noisy = c.r.random() < .4
    if noisy:
        if not c.small:
            c.train = c.train[:int(c.r.integers(120, 300))]
        lo, hi = (.005, .03) if s["opt"] == "adam" else (.03, .25)
        s.update(hidden=c.pick([8], [12], [16], [8, 8]), batch=4, epochs=c.pick(30, 40, 60), mom=0.,
                 lr=six(lo * (hi / lo) ** c.r.random()))
    else:
        s.update(hidden=c.pick([2], [3], [4], [3], [3, 3], [2, 2], [3, 3, 3], [2, 2, 2], [4, 4]), lr=c.rate(),
                 epochs=c.pick(60, 100, 150, 200))
    spread = lambda a: np.isfinite(a).all() and (noisy or a[:, -1].std() > .02 * c.base())
    f = c.fit(("valid", "test"), runs=25, stop=(12, spread))
    need(turn(f.loss["valid"][:5]) <= 1.12 and fall(f.loss["train"]) <= .15)
    X, Y = t.part(t.test, s)
    o, m, last = f.predict(X.expand(25, *X.shape))[5:], f.metric["test"][5:, -1], max(2, s["epochs"] // 5)
    o = (o if t.reg else o.softmax(2) if s["loss"] == "ce" else o.sigmoid()).mean(0)
    hit = o.argmax(1) == Y.argmax(1) if s["loss"] == "ce" else (o > .5) == (Y > .5)
    one = float(((o - Y) ** 2).mean().sqrt() if t.reg else hit.float().mean())
    sd, gain, within = m.std(ddof=1), (m.mean() - one) * (1 if t.reg else -1), f.metric["test"][:, -last:].std(1).mean()
    need(sd >= .025 and gain >= max(.5 * sd, .01))
    need(not noisy or within >= .4 * sd and .008 < step(f.loss["train"]) / c.base() < .06)
    need(f.metric["valid"][:5, -1].std(ddof=1) >= .015)
    return f, "%s; sd of the test metric within a run %.3f, over 20 other seeds %.3f (mean %.3f); the 20 averaged %.3f" % (
        "noisy steps to the end: small batches at a constant rate" if noisy else "small network, result hangs on the initial weights",
        within, sd, m.mean(), one)

def unrepresentative_train(c):
    s, t, r = c.s, c.t, c.r
    narrow = r.random() < .55
    s.update(hidden=c.pick([16], [24], [16, 16], [24, 24], [32, 32], [48, 48]), lr=six(c.rate(0, .6) * r.uniform(.4, 1)),
             epochs=c.pick(60, 100, 150, 150, 200, 200), batch=c.pick(8, 16, 32), l2=c.pick(.001, .003, .01))
    many = t.pool[:1200]
    if narrow:
        q = c.pick(.15, .25, .35)
        s.update(train_kind="narrow", narrow_frac=q, l2=c.pick(0., .001, .01))
        X = t.X[t.pool].numpy()
        d = r.normal(size=X.shape[1]) if r.random() < .6 else np.eye(X.shape[1])[r.integers(X.shape[1])]
        z = t.y[t.pool] + r.normal(0, c.pick(0, .3), len(t.pool)) if t.reg and r.random() < .75 else X @ d
        z = z if r.random() < .5 else -z
        c.train = t.pool[z <= np.quantile(z, q)][:int(r.integers(130, 251))]
    else:
        c.train = t.pool[:int(r.integers(15, 61))]
    n0 = c.base()
    need(n0 >= .1 * t.no_model(many, s))
    f = c.fit(stop=(60, lambda a: end(a) < .9 * n0), **BOTH)
    a, v = end(f.loss["train"]), end(f.loss["valid"])
    need(v - a >= .3 * n0 and turn(f.loss["valid"]) <= 1.02 and a <= .75 * n0)
    g = c.fit(train=many, runs=2, epochs=max(30, s["epochs"] // 3), batch=32, **BOTH)
    gap, x = end(g.loss["valid"]) - end(g.loss["train"]), end(g.loss["test"]) / end(f.loss["test"])
    need(gap < .5 * (v - a) and x < .85)
    return f, "%s: %d; gap %.2f of the no-model loss; with %d random rows gap %.2f and test loss %.0f%% lower" % (
        "training rows from a narrow part of the data" if narrow else "too few training rows", len(c.train), (v - a) / n0,
        len(many), gap / n0, 100 - 100 * x)

def easiest(c, share):
    """Spare rows on which a network trained on other rows has the least loss (with some chance)."""
    s, t, r = c.s, c.t, c.r
    h = Fit(s, t.part(t.pool[:700], s), {}, runs=3, hidden=[32, 32], opt="adam", lr=.003, epochs=40, batch=32, l2=.0003, seed=c.seed + 1)
    o, y = h.predict(t.X[t.spare].expand(3, -1, -1)), t.part(t.spare, s)[1]
    if t.reg:
        hard = ((o - y) ** 2).mean((0, 2))
    else:
        hard = -(o.log_softmax(2) * y).sum(2).mean(0) if s["loss"] == "ce" else (F.softplus(o) - o * y).mean((0, 2))
    rank = hard.numpy().argsort().argsort() / len(t.spare) + r.random(len(t.spare)) * r.uniform(0, 1.)
    return t.spare[rank.argsort()[:min(150, int(share * len(t.spare)))]]

def unrepresentative_validation(c):
    s, t = c.s, c.t
    tiny = c.r.random() < .45
    E = c.pick(30, 40, 80, 80, 150, 200)
    s.update(hidden=c.pick([8], [8], [16], [8, 8], [16, 16]), lr=c.rate(), epochs=E, l2=c.pick(0., 0., .001))
    if tiny:
        c.valid = t.spare[:int(c.r.integers(8, 16))]
    else:
        s.update(valid_kind="easy", easy_frac=c.pick(.3, .4))
        c.valid = easiest(c, s["easy_frac"])
    n0 = c.base()
    f = c.fit(("valid", "test"), stop=(E, lambda a: end(a) < .8 * n0 and step(a) < .02 * n0))
    a, v, x = (end(f.loss[k]) for k in ("train", "valid", "test"))
    need(a >= .03 * n0 and fall(f.loss["train"]) <= .1 and turn(f.loss["test"]) <= 1.12 and x <= 1.7 * a and x - a <= .25 * n0 and (tiny or x >= .95 * a))
    if tiny:
        j, k = step(f.loss["valid"]) / n0, step(f.loss["test"]) / n0
        need(j > 3 * k or abs(math.log(max(v, 1e-6) / x)) > .5)
        return f, ("tiny validation set: %d rows; its loss jitters by %.3f of the no-model loss, %d test rows by %.3f; "
                   "validation/train %.2f, test/train %.2f" % (len(c.valid), j, len(t.test), k, v / a, x / a))
    need(v < .75 * a)
    return f, "validation rows easier than the rest; validation loss %.2f of the train loss, test loss %.2f on %d rows" % (
        v / a, x / a, len(t.test))

LABELS = [underfit_flat, underfit_unfinished, unstable_learning, underfit_capacity, overfit, good_fit, high_variance,
          unrepresentative_train, unrepresentative_validation]

# ------------------------------------------------------------------------------------------------------------ output
def save(c, f, path):
    s, t = c.s, c.t
    unit = s["unit"]
    scale = dict(loss=unit ** 2 if s["loss"] == "mse" else unit, metric=unit)
    line = lambda a, k: [six(x * scale[k]) if math.isfinite(x) else None for x in a.astype(float)]
    runs = [{p + "_" + k: line(getattr(f, k)[p][i], k) for k in ("loss", "metric") for p in ("train", "valid")} for i in range(5)]
    s.update(dict(target_sd=unit * s.get("y_mult", 1.)) if t.reg else dict(classes=t.K))
    with open(path, "w") as w:
        json.dump(dict(task="regression" if t.reg else "classification", metric="rmse" if t.reg else "accuracy", runs=runs,
                       train_rows=len(c.train), valid_rows=len(c.valid), settings=s), w)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--cases", type=int, default=720, help="slots; a slot whose tries all fail stays empty")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--tries", type=int, default=10)
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.set_grad_enabled(False)
    np.seterr(all="ignore")
    os.makedirs(a.out, exist_ok=True)
    index, begin, used, first = os.path.join(a.out, "index.csv"), time.time(), {}, 0
    if os.path.exists(index):
        with open(index) as f:
            for row in csv.DictReader(f):
                with open(os.path.join(a.out, row["file"])) as g:
                    k = row["label"], json.load(g)["settings"]["data"]
                used[k], first = used.get(k, 0) + 1, int(row["file"][1:5])
    else:
        with open(index, "w") as f:
            f.write("file,label,note\n")
    n = len(LABELS)
    for slot in range(first + 1, a.cases + 1):
        make = LABELS[np.random.default_rng([a.seed, 0, slot // n]).permutation(n)[slot % n]]
        label, failed = make.__name__, set(NOT.get(make.__name__, ()))
        for attempt in range(a.tries):
            if time.time() - begin > 60 * a.minutes:
                return
            r = np.random.default_rng([a.seed, slot, attempt])
            free = [x for x in (*CLASSES, *NUMBERS) if x not in failed]
            w = np.array([.3 ** used.get((label, x), 0) for x in free])     # those less used for this label first
            name = str(r.choice(free, p=w / w.sum()))
            c = Case(r, name)
            try:
                f, note = make(c)
            except Reject:
                failed.add(name)
                continue
            file = "g%04d.json" % slot
            save(c, f, os.path.join(a.out, file))
            with open(index, "a", newline="") as g:
                csv.writer(g, lineterminator="\n").writerow([file, label, note])
            used[label, name] = used.get((label, name), 0) + 1
            break

if __name__ == "__main__":
    main()

"""The scores of the ensembles of torchensemble over forty seeds, for tests/integration/torchensemble.rs: classes of handwritten
digits, and values of the diabetes data.

Run with torchensemble 0.2.0, torch 2.15.0, scikit-learn 1.9.1 and numpy 2.4.6 (the versions of the numbers committed); it takes
about ten minutes on one core and writes tests/reference/torchensemble.json:

    pip install torch numpy scikit-learn
    pip install --no-deps torchensemble
    python tests/reference/torchensemble.py

Where the two libraries have different defaults, torchensemble is called with those of this crate:

- Both boosting methods minimise the mean squared error (`use_reduction_sum=False`).
- torchensemble begins gradient boosting at 0, and this crate at the logarithms of the shares of the classes, or at the mean of
  the values. There are as many training rows of each class, so that the logarithms are all equal, and the values have the mean 0.
- Adversarial training moves every input by ε and clamps it into [0, 1]. This crate moves by a share ε of the range of an input.
  Each input has the range [0, 1] on the training rows, and those that are constant are left out.
- Adversarial training minimises the sum of both losses, of which this crate takes the mean. Adam does not see the difference,
  except for its ε of 1e-8.

Early stopping, schedulers and validation are not used. No code of torchensemble is changed.
"""

import contextlib
import json
import logging
import os
import pathlib
import sys

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

# This file has the name of the library, and its folder comes first in the path.
sys.path = [p for p in sys.path if pathlib.Path(p or ".").resolve() != pathlib.Path(__file__).resolve().parent]
import torchensemble  # noqa: E402

torch.set_num_threads(1)
logging.disable(logging.CRITICAL)

SEEDS = 40
SETTINGS = {
    "rows_per_class": 60, "rows_of_values": 300, "members": 4, "hidden": 16, "epochs": 8, "epochs_of_values": 20, "batch": 32,
    "learning_rate": 0.01, "boosting_shrinkage": 0.8, "soft_boosting_shrinkage": 0.5, "epsilon": 0.1,
}


def scaled(x, train):
    """Inputs that vary, scaled to [0, 1] on the training rows."""
    low, high = x[train].min(0), x[train].max(0)
    varies = high > low
    return ((x - low)[:, varies] / (high - low)[varies]).astype(np.float32)


def digits():
    """The first rows of each class to train on, and all others."""
    x, y = load_digits(return_X_y=True)
    train = np.sort(np.concatenate([np.flatnonzero(y == c)[:SETTINGS["rows_per_class"]] for c in range(10)]))
    return scaled(x, train), y, train


def diabetes():
    """The first rows to train on, whose targets have the mean 0 and the variance 1, and all others."""
    x, y = load_diabetes(return_X_y=True)
    train = np.arange(SETTINGS["rows_of_values"])
    y = ((y - y[train].mean()) / y[train].std()).astype(np.float32)[:, None]
    return scaled(x, train), y, train


class Mlp(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        hidden = SETTINGS["hidden"]
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x):
        return self.layers(x)


METHODS = {
    "voting": ("Voting", {}, {}),
    "bagging": ("Bagging", {}, {}),
    "fusion": ("Fusion", {}, {}),
    "adversarial training": ("AdversarialTraining", {}, {"epsilon": SETTINGS["epsilon"]}),
    "gradient boosting": (
        "GradientBoosting", {"shrinkage_rate": SETTINGS["boosting_shrinkage"]}, {"use_reduction_sum": False}),
    "soft gradient boosting": (
        "SoftGradientBoosting", {"shrinkage_rate": SETTINGS["soft_boosting_shrinkage"]}, {"use_reduction_sum": False}),
}


def predicted(method, seed, train, x, is_classes):
    name, arguments, of_fit = METHODS[method]
    torch.manual_seed(seed)
    network = {"inputs": x.shape[1], "outputs": 10 if is_classes else 1}
    kind = getattr(torchensemble, name + ("Classifier" if is_classes else "Regressor"))
    model = kind(estimator=Mlp, n_estimators=SETTINGS["members"], estimator_args=network, cuda=False, **arguments)
    model.set_optimizer("Adam", lr=SETTINGS["learning_rate"])
    loader = DataLoader(TensorDataset(*train), batch_size=SETTINGS["batch"], shuffle=True)
    epochs = SETTINGS["epochs" if is_classes else "epochs_of_values"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        model.fit(loader, epochs=epochs, save_model=False, **of_fit)
    return model.predict(x).double()


def scores(p, y, is_classes):
    if is_classes:
        right = p.gather(1, y[:, None]).squeeze(1)
        return {"accuracy": float((p.argmax(1) == y).double().mean()), "nll": float(-right.log().mean())}
    return {"rmse": float((p - y).square().mean().sqrt())}


def of_problem(name, x, y, train):
    test, is_classes = np.setdiff1d(np.arange(len(y)), train), name == "digits"
    parts = {part: (torch.tensor(x[rows]), torch.tensor(y[rows])) for part, rows in [("train", train), ("test", test)]}
    # To see that both sides read the same rows.
    sums = {part: [float(x.double().sum()), float((y.double().flatten() * torch.arange(1, len(y) + 1)).sum())]
            for part, (x, y) in parts.items()}
    found = {}
    for method in METHODS:
        x, y = parts["test"]
        each = [scores(predicted(method, seed, parts["train"], x, is_classes), y, is_classes) for seed in range(SEEDS)]
        found[method] = {metric: [of_seed[metric] for of_seed in each] for metric in each[0]}
        for metric, numbers in found[method].items():
            mean, deviation = np.mean(numbers), np.std(numbers, ddof=1)
            print(f"{name:9} {method:24} {metric:9} mean {mean:.5f} sd {deviation:.5f} n {len(numbers)}", flush=True)
    return {"sums": sums, "scores": found}


if __name__ == "__main__":
    all_found = {"settings": SETTINGS, "digits": of_problem("digits", *digits()),
                 "diabetes": of_problem("diabetes", *diabetes())}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(all_found) + "\n")

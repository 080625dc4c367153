"""Fits the forest that sorts learning curves, src/diagnose/classify/forest.bin.

    python curves.py curves                              # labelled curves (an hour on one core)
    python fit_curves.py truncate short curves           # short curves, made of them
    cargo run --release --example diagnose -- --quiet --chart /tmp/c.svg --json features.json \
        --curves curves/*.json short/*.json              # the features of all of them
    python fit_curves.py fit features.json src/diagnose/classify/forest.bin curves short
    python fit_curves.py pack tests/diagnose/curves.json.gz curves       # what the tests read

Several folders of curves may be given. The data sets HELD_OUT are for the tests: nothing is fitted on them. `fit` prints the confusion table and the scores of a cross-validation over data
sets (ten folds of whole data sets), and then fits the forest on everything. scikit-learn 1.9.1, numpy.
"""
import csv
import gzip
import json
import math
import os
import random
import struct
import sys

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GroupKFold

LABELS = ["underfit_flat", "underfit_unfinished", "unstable_learning", "underfit_capacity", "overfit", "good_fit",
          "high_variance", "unrepresentative_train", "unrepresentative_validation"]
TREES = 100
HELD_OUT = ("checkerboard", "iris", "sparse_uncorrelated", "swiss_roll")
# As in forest.rs.
LARGEST = 50.0
# What stands for a feature that is NaN because a run diverged or a series is missing, but not for those that are NaN where
# the number of validation rows is not known: their medians speak for no label.
MISSING, UNKNOWN = -9.0, ("valid_rows",)
# The weight of a short curve, and of "nothing is wrong" in the vote, because a false alarm costs more than a second place.
SHORT_WEIGHT, GOOD_FIT_WEIGHT = 0.3, 1.2
# As in mod.rs: the spread of the scores from run to run below which they are as good as the same, and the weight of a high
# variance there.
SAME_SCORE, SAME_SCORE_WEIGHT = 0.0125, 0.2


def index(folder):
    return list(csv.DictReader(open(os.path.join(folder, "index.csv"))))


def median(values):
    values = sorted(x for x in values if x is not None and math.isfinite(x))
    return values[len(values) // 2] if values else math.nan


def truncate(out, folders):
    """Cuts curves after a few epochs where four times the epochs take a fifth off both losses: they are unfinished."""
    os.makedirs(out, exist_ok=True)
    draw, rows = random.Random(1), []
    for folder in folders:
        for row in index(folder):
            case = json.load(open(os.path.join(folder, row["file"])))
            runs = case["runs"]
            total = len(runs[0]["train_loss"])
            epochs = [e for e in (2, 3, 4, 5, 6, 8, 10, 12) if 4 * e <= total]
            draw.shuffle(epochs)
            if row["label"] in ("underfit_flat", "unstable_learning"):
                continue
            for e in epochs:
                at = lambda name: median([run[name][e - 1] for run in runs])
                later = lambda name: median([median(run[name][4 * e - 2:4 * e]) for run in runs])
                before = median([run["train_loss"][max(0, e - 1 - max(1, e // 5))] for run in runs])
                falls = all(later(name) <= 0.8 * at(name) for name in ("train_loss", "valid_loss"))
                if falls and (e < 5 or at("train_loss") <= 0.96 * before):
                    name = f"s{len(rows):05}.json"
                    short = {**case, "runs": [{k: v[:e] for k, v in run.items()} for run in runs]}
                    json.dump(short, open(os.path.join(out, name), "w"))
                    rows.append((name, "underfit_unfinished", f"the first {e} epochs of {row['file']}"))
                    break
    table = csv.writer(open(os.path.join(out, "index.csv"), "w"))
    table.writerow(["file", "label", "note"])
    table.writerows(rows)


def load(features, folders):
    """The names of the features, their values, the labels, the data sets, and which curves are short."""
    value = lambda feature: math.nan if feature["value"] is None else feature["value"]
    read = {os.path.normpath(entry["file"]): [value(f) for f in entry["features"]] for entry in json.load(open(features))}
    names = [feature["name"] for feature in json.load(open(features))[0]["features"]]
    x, y, groups, short = [], [], [], []
    for folder in folders:
        for row in index(folder):
            path = os.path.normpath(os.path.join(folder, row["file"]))
            x.append(read[path])
            y.append(LABELS.index(row["label"]))
            groups.append(json.load(open(path))["settings"]["data"].removesuffix("_csv"))
            short.append(row["file"].startswith("s"))
    return names, np.array(x), np.array(y), np.array(groups), np.array(short)


def filled(x, missing):
    return np.clip(np.where(np.isnan(x), missing, x), -LARGEST, LARGEST)


def forest(x, y, short):
    """Extremely randomized trees. Every label has the same weight, whatever the number of its curves."""
    count = np.bincount(y[~short], minlength=len(LABELS))
    weight = np.where(short, SHORT_WEIGHT, 1.0) / count[y]
    return ExtraTreesClassifier(TREES, max_features=0.7, random_state=0).fit(x, y, sample_weight=weight)


def votes(model, x):
    shares = np.zeros((len(x), len(LABELS)))
    for tree in model.estimators_:
        shares[np.arange(len(x)), model.classes_[tree.predict_proba(x).argmax(1)]] += 1
    return shares / len(model.estimators_)


def weights():
    return np.array([GOOD_FIT_WEIGHT if label == "good_fit" else 1.0 for label in LABELS])


def sharpened(shares, power):
    p = weights() * shares ** power
    return p / p.sum(1, keepdims=True)


def steadied(p, spreads):
    """A spread that is not known (`MISSING`) says nothing."""
    known, largest = (spreads != MISSING).any(1), spreads.max(1)
    p[known & (largest < SAME_SCORE), LABELS.index("high_variance")] *= SAME_SCORE_WEIGHT
    return p / p.sum(1, keepdims=True)


def log_loss(p, y):
    return -np.log(np.maximum(p[np.arange(len(y)), y], 1e-3)).mean()


def fit(features, out, folders):
    names, x, y, groups, short = load(features, folders)
    fitted = ~np.isin(groups, HELD_OUT)
    x, y, groups, short = x[fitted], y[fitted], groups[fitted], short[fitted]
    medians = np.nanmedian(x[~short], axis=0).astype(np.float32).astype(float)
    missing = np.where(np.isin(names, UNKNOWN), medians, MISSING)
    x = filled(x, missing)
    shares, whole = np.zeros((len(y), len(LABELS))), np.where(~short)[0]
    for train, test in GroupKFold(10).split(x[whole], y[whole], groups[whole]):
        held_out = np.isin(groups, groups[whole[test]])
        model = forest(x[~held_out], y[~held_out], short[~held_out])
        shares[held_out] = votes(model, x[held_out])
    power = min(np.arange(1, 4, 0.25), key=lambda power: log_loss(sharpened(shares[whole], power), y[whole]))
    spreads = x[:, [names.index(name) for name in ("train_score_spread", "valid_score_spread")]]
    p = steadied(sharpened(shares, power), spreads)
    order = np.argsort(-p, axis=1, kind="stable")
    first, two = order[:, 0] == y, (order[:, :2] == y[:, None]).any(1)
    plateau = [LABELS.index("underfit_capacity"), LABELS.index("good_fit")]
    twins = first | (np.isin(y, plateau) & np.isin(order[:, 0], plateau) & two)
    healthy = whole[y[whole] == LABELS.index("good_fit")]
    print("label by row, first place by column, data sets held out:")
    print(confusion_matrix(y[whole], order[whole, 0]))
    print(f"{len(whole)} curves: first place {first[whole].mean():.3f}, with plateaus that may be noise "
          f"{twins[whole].mean():.3f}, first two {two[whole].mean():.3f}; healthy ones with another label first "
          f"{(~first[healthy]).sum()} of {len(healthy)}; log-loss {log_loss(p[whole], y[whole]):.3f}, power {power}")
    print(f"{short.sum()} short curves: first place {first[short].mean():.3f}")
    write(forest(x, y, short), power, missing, out)


def pack(out, folders):
    """Writes the curves for the tests, to four digits and without their settings: those that were held out, and every
    tenth of the others."""
    round4 = lambda x: None if x is None else float(f"{x:.4g}")
    cases = []
    for folder in folders:
        for number, row in enumerate(index(folder)):
            case = json.load(open(os.path.join(folder, row["file"])))
            fitted = case["settings"]["data"].removesuffix("_csv") not in HELD_OUT
            if fitted and number % 10:
                continue
            runs = [{name: [round4(x) for x in series] for name, series in run.items()} for run in case["runs"]]
            rows = {name: case[name] for name in ("metric", "train_rows", "valid_rows")}
            cases.append({"label": row["label"], "fitted": fitted, **rows, "runs": runs})
    data = json.dumps(cases, separators=(",", ":")).encode()
    os.makedirs(os.path.dirname(out), exist_ok=True)
    open(out, "wb").write(gzip.compress(data, 9, mtime=0))
    print(len(cases), "curves,", sum(not case["fitted"] for case in cases), "of them held out")


def write(model, power, missing, out):
    """The format of forest.rs."""
    data = bytearray(struct.pack("<f", power) + b"".join(struct.pack("<f", w) for w in [*weights(), *missing]))

    def node(tree, i):
        if tree.children_left[i] < 0:
            data.extend([255, int(model.classes_[tree.value[i][0].argmax()])])
            return
        data.append(int(tree.feature[i]))
        data.extend(struct.pack("<f", np.float32(tree.threshold[i])))
        node(tree, tree.children_left[i])
        node(tree, tree.children_right[i])

    for tree in model.estimators_:
        node(tree.tree_, 0)
    open(out, "wb").write(data)
    print(len(data), "bytes")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["truncate", out, *folders] if folders:
            truncate(out, folders)
        case ["fit", features, out, *folders] if folders:
            fit(features, out, folders)
        case ["pack", out, *folders] if folders:
            pack(out, folders)
        case _:
            sys.exit(__doc__)

"""For examples/techniques: the data, by scikit-learn, and the medians of the settings whose networks spread widely.

Run: python techniques.py FILE (numpy, scikit-learn, safetensors). It writes the data to the file and prints the medians.
"""

import sys

import numpy as np
import sklearn
from safetensors.numpy import save_file
from sklearn.datasets import make_blobs, make_circles, make_moons, make_regression

print("scikit-learn", sklearn.__version__)


def blobs(seed):
    x, y, centers = make_blobs(
        1000, n_features=2, centers=3, cluster_std=2, random_state=seed, return_centers=True
    )
    print(f"centers of seed {seed}:", centers.tolist())
    return x, y


sets = {
    "moons_100": make_moons(100, noise=0.2, random_state=1),
    "circles_100": make_circles(100, noise=0.1, random_state=1),
    "circles_1000": make_circles(1000, noise=0.1, random_state=1),
    "blobs_1000": blobs(2),
    "blobs_1000_seed1": blobs(1),
    "regression_1000": make_regression(1000, n_features=20, noise=0.1, random_state=1),
}
tensors = {}
for name, (x, y) in sets.items():
    tensors[f"{name}.x"] = np.ascontiguousarray(x, dtype=np.float64)
    tensors[f"{name}.y"] = np.ascontiguousarray(y, dtype=np.float64 if name.startswith("reg") else np.uint8)
save_file(tensors, sys.argv[1])

# ---- Networks of relu units in plain numpy, 200 for each setting.


def init(sizes, rng):
    """Kernels and biases: He-uniform, the output layer Glorot-uniform, biases 0."""
    parameters = []
    for layer, (a, b) in enumerate(zip(sizes, sizes[1:])):
        bound = np.sqrt(6 / (a + b)) if layer == len(sizes) - 2 else np.sqrt(6 / a)
        parameters += [rng.uniform(-bound, bound, (a, b)).astype(np.float32), np.zeros(b, np.float32)]
    return parameters


def outputs(parameters, x):
    """The inputs of each layer, and the output."""
    all_inputs = [x]
    for i in range(0, len(parameters), 2):
        x = x @ parameters[i] + parameters[i + 1]
        all_inputs.append(np.maximum(x, 0) if i < len(parameters) - 2 else x)
        x = all_inputs[-1]
    return all_inputs


def train(parameters, x, y, rng, momentum=0.0, clip=None, frozen=0, logarithmic=False, hinge=0, epochs=100):
    """Batches of 32 at rate 0.01; values for float targets, classes otherwise. `hinge` is the power of the loss
    max(0, 1 - (2 y - 1) tanh z) for two classes."""
    parameters = [p.copy() for p in parameters]
    velocities = [np.zeros_like(p) for p in parameters]
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), 32):
            rows = order[start : start + 32]
            inputs = outputs(parameters, x[rows])
            if hinge:
                sign, margin = 2 * y[rows] - 1, np.tanh(inputs[-1][:, 0])
                short = np.maximum(1 - sign * margin, 0)
                slope = -sign * (2 * short if hinge == 2 else short > 0)
                delta = (slope * (1 - margin**2) / len(rows))[:, None].astype(np.float32)
            elif logarithmic:
                output, target = inputs[-1][:, 0], np.maximum(y[rows], 1e-7)
                limited = np.maximum(output, 1e-7)
                delta = 2 * (np.log1p(limited) - np.log1p(target)) / (1 + limited) * (output > 1e-7)
                delta = (delta / len(rows))[:, None].astype(np.float32)
            elif y.dtype == np.float32:
                delta = (2 * (inputs[-1][:, 0] - y[rows]) / len(rows))[:, None].astype(np.float32)
            elif inputs[-1].shape[1] == 1:
                delta = (1 / (1 + np.exp(-inputs[-1][:, 0])) - y[rows]) / len(rows)
                delta = delta[:, None].astype(np.float32)
            else:
                delta = np.exp(inputs[-1] - inputs[-1].max(1, keepdims=True))
                delta /= delta.sum(1, keepdims=True)
                delta[np.arange(len(rows)), y[rows]] -= 1
                delta = (delta / len(rows)).astype(np.float32)
            gradients = [None] * len(parameters)
            for i in range(len(parameters) - 2, -1, -2):
                gradients[i], gradients[i + 1] = inputs[i // 2].T @ delta, delta.sum(0)
                delta = (delta @ parameters[i].T) * (inputs[i // 2] > 0)
            for i in range(2 * frozen, len(parameters)):
                gradient = gradients[i] if clip is None else np.clip(gradients[i], -clip, clip)
                velocities[i] = momentum * velocities[i] - 0.01 * gradient
                parameters[i] += velocities[i]
    return parameters


def score(parameters, x, y):
    output = outputs(parameters, x)[-1]
    if y.dtype == np.float32:
        return ((output[:, 0].astype(np.float64) - y) ** 2).mean()
    return ((output.argmax(1) if output.shape[1] > 1 else output[:, 0] > 0) == y).mean()


def problem(name):
    x, y = sets[name]
    y = y.astype(np.float32 if name.startswith("reg") else np.int64)
    x = x.astype(np.float32)
    return (x[:500], y[:500]), (x[500:], y[500:])


def summary(name, scores):
    quarters = np.percentile(scores, [25, 50, 75], axis=0)
    spread = (quarters[2] - quarters[0]) / 1.349
    print(name, "train / test: medians", quarters[1].round(4), "spreads", spread.round(4))


NETWORKS = 200
fitted, held_out = problem("regression_1000")
scores = []
for run in range(NETWORKS):
    rng = np.random.default_rng(run)
    network = train(init([20, 25, 1], rng), *fitted, rng, momentum=0.9, clip=5)
    scores.append([score(network, *fitted), score(network, *held_out)])
summary("clip by value 5", scores)

x, y = sets["regression_1000"]
x, y = ((x - x.mean(0)) / x.std(0)).astype(np.float32), ((y - y.mean()) / y.std()).astype(np.float32)
scores = []
for run in range(NETWORKS):
    rng = np.random.default_rng(run)
    network = train(init([20, 25, 1], rng), x[:500], y[:500], rng, momentum=0.9, logarithmic=True)
    scores.append([score(network, x[:500], y[:500]), score(network, x[500:], y[500:])])
summary("MSLE, by the MSE", scores)
print("of these with a test MSE above 1:", sum(of[1] > 1 for of in scores))

fitted, held_out = problem("circles_1000")
for power, name in ((1, "hinge"), (2, "squared hinge")):
    scores = []
    for run in range(NETWORKS):
        rng = np.random.default_rng(run)
        network = train(init([2, 50, 1], rng), *fitted, rng, momentum=0.9, hinge=power, epochs=200)
        scores.append([score(network, *fitted), score(network, *held_out)])
    summary(name, scores)
    print("of these with a test accuracy below 0.7:", sum(of[1] < 0.7 for of in scores), flush=True)

x, y = sets["circles_1000"]
low, high = x.min(0), x.max(0)
x, y = ((2 * x - low - high) / (high - low)).astype(np.float32), y.astype(np.int64)
scores = []
for run in range(60):
    rng = np.random.default_rng(run)
    network = train(init([2, 5, 5, 5, 5, 5, 1], rng), x[:500], y[:500], rng, momentum=0.9, epochs=500)
    scores.append([score(network, x[:500], y[:500]), score(network, x[500:], y[500:])])
summary("five relu layers", scores)
print("of these with a test accuracy below 0.7:", sum(of[1] < 0.7 for of in scores), flush=True)

(source, _), (fitted, held_out) = problem("blobs_1000_seed1"), problem("blobs_1000")
scores = {"fresh": [], 0: [], 1: [], 2: []}
for run in range(NETWORKS):
    rng = np.random.default_rng(run)
    transferred, fresh = train(init([2, 5, 5, 3], rng), *source, rng), init([2, 5, 5, 3], rng)
    for frozen, of in scores.items():
        start, k = (fresh, 0) if frozen == "fresh" else (transferred, frozen)
        network = train(start, *fitted, np.random.default_rng(NETWORKS + run), frozen=k)
        of.append([score(network, *fitted), score(network, *held_out)])
for frozen, of in scores.items():
    summary(f"transfer, {frozen} frozen", of)

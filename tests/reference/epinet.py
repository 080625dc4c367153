"""The last layer of a network with an epinet (Osband et al. 2023, arXiv:2107.08924), by its formulas in numpy.

Writes src/nn/many/tests/epinet.json: outputs for given indices and priors, and the gradients of sum(up * y), which are compared
with central differences here. Run `python3 tests/reference/epinet.py`; it needs numpy alone.
"""
import json
from pathlib import Path

import numpy as np

ROWS, FEATURES, INPUTS, INDEX, HIDDEN, OUTPUTS, MEMBERS = 3, 4, 2, 3, 5, 2, 2
SCALE = 0.7


def perceptron(layers, x):
    """The outputs, and the inputs of each layer."""
    seen = []
    for number, (weight, bias) in enumerate(layers):
        if number > 0:
            x = np.maximum(x, 0.0)
        seen.append(x)
        x = x @ weight.T + bias
    return x, seen


def outputs(p):
    """The rows of one member after those of the other."""
    base = p["features"] @ p["base.weight"].T + p["base.bias"]
    learned = [(p[f"{i}.weight"], p[f"{i}.bias"]) for i in range(2)]
    fixed = [(p[f"prior.{i}.weight"], p[f"prior.{i}.bias"]) for i in range(2)]
    members = []
    for z in p["z"]:
        x = np.concatenate([p["features"], p["x"], np.tile(z, (ROWS, 1))], axis=1)
        term = lambda layers: perceptron(layers, x)[0].reshape(ROWS, OUTPUTS, INDEX) @ z
        members.append(base + term(learned) + SCALE * term(fixed))
    return np.concatenate(members)


def gradients(p, up):
    """Those of what is trained, and of the features, which the epinet does not have one for."""
    found = {name: np.zeros_like(p[name]) for name in ["base.weight", "base.bias", "0.weight", "0.bias", "1.weight", "1.bias"]}
    found["features"] = np.zeros_like(p["features"])
    learned = [(p[f"{i}.weight"], p[f"{i}.bias"]) for i in range(2)]
    for z, g in zip(p["z"], up.reshape(MEMBERS, ROWS, OUTPUTS)):
        found["base.weight"] += g.T @ p["features"]
        found["base.bias"] += g.sum(0)
        found["features"] += g @ p["base.weight"]
        x = np.concatenate([p["features"], p["x"], np.tile(z, (ROWS, 1))], axis=1)
        _, seen = perceptron(learned, x)
        g = (g[:, :, None] * z).reshape(ROWS, OUTPUTS * INDEX)
        found["1.weight"] += g.T @ seen[1]
        found["1.bias"] += g.sum(0)
        g = (g @ p["1.weight"]) * (seen[1] > 0)
        found["0.weight"] += g.T @ seen[0]
        found["0.bias"] += g.sum(0)
    return found


def check(p, up, found):
    """Central differences of everything but the features."""
    for name, gradient in found.items():
        if name == "features":
            continue
        for place in np.ndindex(gradient.shape):
            values = []
            for step in (1e-6, -1e-6):
                moved = {**p, name: p[name].copy()}
                moved[name][place] += step
                values.append((up * outputs(moved)).sum())
            assert abs((values[0] - values[1]) / 2e-6 - gradient[place]) < 1e-6, (name, place)


def tensor(x):
    return {"shape": list(x.shape), "values": x.flatten().tolist()}


def main():
    rng = np.random.default_rng(7)
    wide = FEATURES + INPUTS + INDEX
    shapes = {"features": (ROWS, FEATURES), "x": (ROWS, INPUTS), "z": (MEMBERS, INDEX)}
    shapes |= {"base.weight": (OUTPUTS, FEATURES), "base.bias": (OUTPUTS,)}
    for prefix in ["", "prior."]:
        shapes |= {f"{prefix}0.weight": (HIDDEN, wide), f"{prefix}0.bias": (HIDDEN,)}
        shapes |= {f"{prefix}1.weight": (OUTPUTS * INDEX, HIDDEN), f"{prefix}1.bias": (OUTPUTS * INDEX,)}
    p = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    up = rng.normal(size=(MEMBERS * ROWS, OUTPUTS))
    found = gradients(p, up)
    check(p, up, found)
    case = {
        "scale": SCALE,
        "given": {name: tensor(x) for name, x in p.items()},
        "y": tensor(outputs(p)),
        "up": tensor(up),
        "gradients": {name: tensor(x) for name, x in found.items()},
    }
    path = Path(__file__).parents[2] / "src/nn/many/tests/epinet.json"
    path.write_text(json.dumps(case) + "\n")


if __name__ == "__main__":
    main()

"""Reference numbers for src/train/optimizer: a few steps of each optimizer on fixed gradients, in float64.

The update rules are written out in numpy as PyTorch's (and, for the learning rate inside the velocity, Keras')
documentation states them. Where optax has the same rule, its result must agree to 1e-14, or the script fails.

    pip install numpy==2.4.6 jax==0.10.2 optax==0.2.8
    python tests/reference/optimizers.py
"""

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import optax

RATES = [0.1, 0.1, 0.05, 0.2, 0.02, 0.02]
START = np.array([0.5, -1.0, 2.0, 0.0, -0.25, 1.5])


def gradient(t):
    """Quarters from -5/4 to 5/4, so that every binary format holds them exactly."""
    return np.array([((7 * i + 5 * t + 3) % 11 - 5) / 4 for i in range(6)])


def adam(w, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, decoupled=False):
    m, v = np.zeros(6), np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t)
        if decoupled:
            w = w - rate * decay * w
        else:
            g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        w = w - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return w


def sgd(w, momentum=0.0, nesterov=False, decay=0.0):
    v = np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t) + decay * w
        v = momentum * v + g
        w = w - rate * (g + momentum * v if nesterov else v)
    return w


def sgd_rate_inside(w, momentum, nesterov=False, decay=0.0):
    v = np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t) + decay * w
        v = momentum * v - rate * g
        w = w + (momentum * v - rate * g if nesterov else v)
    return w


def rmsprop(w, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, decay=0.0):
    s, a, b = np.zeros(6), np.zeros(6), np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t) + decay * w
        s = alpha * s + (1 - alpha) * g * g
        a = alpha * a + (1 - alpha) * g
        b = momentum * b + g / (np.sqrt(s - a * a if centered else s) + eps)
        w = w - rate * b
    return w


def by_optax(direction, w):
    """Steps against optax's direction, with the rate outside."""
    w = jnp.asarray(w)
    state = direction.init(w)
    for t, rate in enumerate(RATES, 1):
        update, state = direction.update(jnp.asarray(gradient(t)), state, w)
        w = w - rate * update
    return np.asarray(w)


def agree(ours, direction):
    np.testing.assert_allclose(ours, by_optax(direction, START), rtol=1e-14, atol=1e-14)
    return ours


def l2(decay):
    return optax.add_decayed_weights(decay)


CASES = {
    "adam": agree(adam(START), optax.scale_by_adam()),
    "adam_l2": agree(
        adam(START, 0.8, 0.95, 1e-3, 0.1), optax.chain(l2(0.1), optax.scale_by_adam(0.8, 0.95, 1e-3))
    ),
    "adamw": agree(adam(START, decay=0.1, decoupled=True), optax.chain(optax.scale_by_adam(), l2(0.1))),
    "sgd": agree(sgd(START), optax.identity()),
    "sgd_l2": agree(sgd(START, decay=0.1), l2(0.1)),
    "momentum": agree(sgd(START, 0.9, decay=0.1), optax.chain(l2(0.1), optax.trace(0.9))),
    "nesterov": agree(sgd(START, 0.9, True, 0.1), optax.chain(l2(0.1), optax.trace(0.9, nesterov=True))),
    "momentum_rate_inside": sgd_rate_inside(START, 0.9, decay=0.1),
    "nesterov_rate_inside": sgd_rate_inside(START, 0.9, True, 0.1),
    "rmsprop": agree(rmsprop(START), optax.scale_by_rms(0.99, 1e-8, eps_in_sqrt=False)),
    "rmsprop_momentum": agree(
        rmsprop(START, 0.9, 1e-3, 0.5, decay=0.1),
        optax.chain(l2(0.1), optax.scale_by_rms(0.9, 1e-3, eps_in_sqrt=False), optax.trace(0.5)),
    ),
    "rmsprop_centered": agree(
        rmsprop(START, 0.9, 1e-3, 0.0, True), optax.scale_by_stddev(0.9, 1e-3, eps_in_sqrt=False)
    ),
    "rmsprop_centered_momentum": rmsprop(START, 0.9, 1e-3, 0.5, True, 0.1),
}

for name, weights in CASES.items():
    print(f"{name}: [{', '.join(repr(float(w)) for w in weights)}]")

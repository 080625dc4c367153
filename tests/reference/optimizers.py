"""Reference numbers for src/train/optimizer: a few steps of each optimizer on fixed gradients, in float64.

The update rules are written out in numpy as the documentation of PyTorch states them; of Keras for the learning
rate inside the velocity and for the other places of epsilon; as their papers do for Lion and LAMB. Where PyTorch or
optax has the same rule, its result must agree to 1e-14, or the script fails.

    pip install numpy==2.4.6 jax==0.10.2 optax==0.2.8 torch==2.15.0
    python -P tests/reference/optimizers.py    # -P, because PyTorch would import statistics.py of this folder
"""

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import optax
import torch

torch.set_default_dtype(torch.float64)  # Its NAdam keeps the product of the momenta in this type.

RATES = [0.1, 0.1, 0.05, 0.2, 0.02, 0.02]
START = np.array([0.5, -1.0, 2.0, 0.0, -0.25, 1.5])


def gradient(t):
    """Quarters from -5/4 to 5/4, so that every binary format holds them exactly."""
    return np.array([((7 * i + 5 * t + 3) % 11 - 5) / 4 for i in range(6)])


def decayed(w, g, rate, decay, decoupled):
    return (w - rate * decay * w, g) if decoupled else (w, g + decay * w)


def adam(w, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, decoupled=False, amsgrad=False, epsilon_hat=False):
    m, v, top = np.zeros(6), np.zeros(6), np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        w, g = decayed(w, gradient(t), rate, decay, decoupled)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        top = np.maximum(top, v)
        second = top if amsgrad else v
        if epsilon_hat:
            w = w - rate * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(second) + eps)
        else:
            w = w - rate * (m / (1 - beta1**t)) / (np.sqrt(second / (1 - beta2**t)) + eps)
    return w


def nadam(w, beta1=0.9, beta2=0.999, eps=1e-8, psi=4e-3, decay=0.0, decoupled=False):
    m, v, product = np.zeros(6), np.zeros(6), 1.0
    for t, rate in enumerate(RATES, 1):
        w, g = decayed(w, gradient(t), rate, decay, decoupled)
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * psi))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
        product *= mu
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        ahead = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
        w = w - rate * ahead / (np.sqrt(v / (1 - beta2**t)) + eps)
    return w


def radam(w, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, decoupled=False):
    m, v = np.zeros(6), np.zeros(6)
    limit = 2 / (1 - beta2) - 1
    for t, rate in enumerate(RATES, 1):
        w, g = decayed(w, gradient(t), rate, decay, decoupled)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        step = rate * m / (1 - beta1**t)
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        if rho > 5:
            step *= np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
            step *= np.sqrt(1 - beta2**t) / (np.sqrt(v) + eps)
        w = w - step
    return w


def adamax(w, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0):
    m, u = np.zeros(6), np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t) + decay * w
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g) + eps)
        w = w - rate / (1 - beta1**t) * m / u
    return w


def adagrad(w, rate_decay=0.0, start=0.0, eps=1e-10, decay=0.0):
    s = np.full(6, start)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t) + decay * w
        s = s + g * g
        w = w - rate / (1 + (t - 1) * rate_decay) * g / (np.sqrt(s) + eps)
    return w


def adadelta(w, rho=0.9, eps=1e-6, decay=0.0):
    s, a = np.zeros(6), np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t) + decay * w
        s = rho * s + (1 - rho) * g * g
        d = np.sqrt(a + eps) / np.sqrt(s + eps) * g
        a = rho * a + (1 - rho) * d * d
        w = w - rate * d
    return w


def lion(w, beta1=0.9, beta2=0.99, decay=0.0):
    m = np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t)
        w = w - rate * (np.sign(beta1 * m + (1 - beta1) * g) + decay * w)
        m = beta2 * m + (1 - beta2) * g
    return w


def lamb(w, beta1=0.9, beta2=0.999, eps=1e-6, decay=0.0):
    m, v = np.zeros(6), np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        r = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps) + decay * w
        w = w - rate * np.linalg.norm(w) / np.linalg.norm(r) * r
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


def rmsprop(w, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, decay=0.0, in_root=False):
    s, a, b = np.zeros(6), np.zeros(6), np.zeros(6)
    for t, rate in enumerate(RATES, 1):
        g = gradient(t) + decay * w
        s = alpha * s + (1 - alpha) * g * g
        a = alpha * a + (1 - alpha) * g
        variance = s - a * a if centered else s
        b = momentum * b + g / (np.sqrt(variance + eps) if in_root else np.sqrt(variance) + eps)
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


def by_torch(optimizer, w, **parameters):
    w = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    state = optimizer([w], lr=0.1, **parameters)
    for t, rate in enumerate(RATES, 1):
        state.param_groups[0]["lr"] = rate
        w.grad = torch.tensor(gradient(t))
        state.step()
    return w.detach().numpy()


def agree(ours, direction):
    np.testing.assert_allclose(ours, by_optax(direction, START), rtol=1e-14, atol=1e-14)
    return ours


def as_torch(ours, optimizer, **parameters):
    np.testing.assert_allclose(ours, by_torch(optimizer, START, **parameters), rtol=1e-14, atol=1e-14)
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
    "rmsprop_epsilon_in_root": agree(
        rmsprop(START, 0.9, 1e-3, in_root=True), optax.scale_by_rms(0.9, 1e-3, eps_in_sqrt=True)
    ),
    "rmsprop_centered_epsilon_in_root": agree(
        rmsprop(START, 0.9, 1e-3, 0.0, True, in_root=True), optax.scale_by_stddev(0.9, 1e-3, eps_in_sqrt=True)
    ),
    "adam_epsilon_hat": adam(START, 0.8, 0.95, 1e-2, epsilon_hat=True),
    "amsgrad": as_torch(
        adam(START, 0.8, 0.5, 1e-3, 0.1, amsgrad=True),
        torch.optim.Adam,
        betas=(0.8, 0.5),
        eps=1e-3,
        weight_decay=0.1,
        amsgrad=True,
    ),
    "nadam": as_torch(nadam(START), torch.optim.NAdam),
    "nadam_l2": as_torch(
        nadam(START, 0.8, 0.95, 1e-3, 1.0, 0.1),
        torch.optim.NAdam,
        betas=(0.8, 0.95),
        eps=1e-3,
        momentum_decay=1.0,
        weight_decay=0.1,
    ),
    "nadamw": as_torch(
        nadam(START, decay=0.1, decoupled=True),
        torch.optim.NAdam,
        weight_decay=0.1,
        decoupled_weight_decay=True,
    ),
    "radam": as_torch(radam(START), torch.optim.RAdam),
    "radam_l2": as_torch(
        radam(START, 0.8, 0.9, 1e-3, 0.1), torch.optim.RAdam, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1
    ),
    "radamw": as_torch(
        radam(START, decay=0.1, decoupled=True),
        torch.optim.RAdam,
        weight_decay=0.1,
        decoupled_weight_decay=True,
    ),
    "adamax": as_torch(adamax(START), torch.optim.Adamax),
    "adamax_l2": as_torch(
        adamax(START, 0.8, 0.5, 1e-2, 0.1), torch.optim.Adamax, betas=(0.8, 0.5), eps=1e-2, weight_decay=0.1
    ),
    "adagrad": as_torch(adagrad(START), torch.optim.Adagrad),
    "adagrad_l2": as_torch(
        adagrad(START, 0.5, 0.1, 1e-3, 0.1),
        torch.optim.Adagrad,
        lr_decay=0.5,
        initial_accumulator_value=0.1,
        eps=1e-3,
        weight_decay=0.1,
    ),
    "adadelta": as_torch(adadelta(START), torch.optim.Adadelta),
    "adadelta_l2": as_torch(
        adadelta(START, 0.5, 1e-3, 0.1), torch.optim.Adadelta, rho=0.5, eps=1e-3, weight_decay=0.1
    ),
    "lion": agree(lion(START), optax.scale_by_lion()),
    "lion_decay": agree(lion(START, 0.7, 0.8, 0.1), optax.chain(optax.scale_by_lion(0.7, 0.8), l2(0.1))),
    "lamb": agree(lamb(START), optax.chain(optax.scale_by_adam(eps=1e-6), optax.scale_by_trust_ratio())),
    "lamb_decay": agree(
        lamb(START, 0.8, 0.95, 1e-3, 0.1),
        optax.chain(optax.scale_by_adam(0.8, 0.95, 1e-3), l2(0.1), optax.scale_by_trust_ratio()),
    ),
}

for name, weights in CASES.items():
    print(f"{name}: [{', '.join(repr(float(w)) for w in weights)}]")

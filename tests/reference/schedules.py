"""Reference numbers for src/plan/schedule and src/train/plateau.rs: torch.optim.lr_scheduler, and Keras' formulas.

The lists are those of the tests, as factors on a base rate of 1. Where a list has no PyTorch class, the formula is
written out as Keras' documentation (PolynomialDecay, `decay` of the older optimizers) or the paper states it.

    pip install torch==2.15.0
    python tests/reference/schedules.py
"""

import math
import sys

# The folder of this script has a statistics.py, which torch would import in place of the library's.
sys.path.pop(0)

import torch
from torch.optim import lr_scheduler as torch_schedules


def optimizer(rate):
    return torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=rate, momentum=0.9)


def rates(make, steps, rate=1.0):
    opt = optimizer(rate)
    schedule = make(opt)
    out = []
    for _ in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    return out


def momenta(make, steps):
    opt = optimizer(1.0)
    schedule = make(opt)
    out = []
    for i in range(steps):
        out.append(opt.param_groups[0]["momentum"])
        opt.step()
        if i + 1 < steps:
            schedule.step()
    return out


def one_cycle(steps, **more):
    opt = optimizer(1.0)
    schedule = torch_schedules.OneCycleLR(opt, max_lr=1.0, total_steps=steps, **more)
    out = []
    for i in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        if i + 1 < steps:
            schedule.step()
    return out


def one_cycle_momenta(steps, **more):
    return momenta(lambda o: torch_schedules.OneCycleLR(o, max_lr=1.0, total_steps=steps, **more), steps)


def cyclic(steps, low, **more):
    return rates(lambda o: torch_schedules.CyclicLR(o, base_lr=low, max_lr=1.0, cycle_momentum=False, **more), steps)


def plateau(values, rate=1.0, **more):
    opt = optimizer(rate)
    schedule = torch_schedules.ReduceLROnPlateau(opt, eps=0.0, **more)
    out = []
    for value in values:
        schedule.step(value)
        out.append(opt.param_groups[0]["lr"])
    return out


def show(name, numbers):
    print(f"{name}: [{', '.join(f'{x:.12g}' for x in numbers)}]")


show("one cycle, 10 steps", one_cycle(10, pct_start=0.3))
show("one cycle, 10 steps, linear, 3 phases",
     one_cycle(10, pct_start=0.4, anneal_strategy="linear", three_phase=True, div_factor=10.0, final_div_factor=100.0))
show("one cycle, 7 steps, pct 0.25", one_cycle(7, pct_start=0.25, div_factor=4.0, final_div_factor=10.0))
show("one cycle, 3 steps, pct 0", one_cycle(3, pct_start=0.0, div_factor=4.0, final_div_factor=10.0))
show("momentum, 10 steps", one_cycle_momenta(10, pct_start=0.3))
show("momentum, 10 steps, linear, 3 phases",
     one_cycle_momenta(10, pct_start=0.4, anneal_strategy="linear", three_phase=True))
show("exponential", rates(lambda o: torch_schedules.ExponentialLR(o, 0.9), 5))
show("multi-step", rates(lambda o: torch_schedules.MultiStepLR(o, [2, 3, 6], 0.5), 8))
show("polynomial to 0 (PyTorch)", rates(lambda o: torch_schedules.PolynomialLR(o, 5, 2.0), 7))
show("polynomial to 0.1, power 0.5 (Keras)",
     [0.1 + 0.9 * (1 - min(t, 4) / 4) ** 0.5 for t in range(6)])
show("time-based (Keras)", [1 / (1 + 0.5 * t) for t in range(5)])
show("triangular", cyclic(12, 0.2, step_size_up=4, step_size_down=2))
show("triangular2", cyclic(12, 0.2, step_size_up=2, step_size_down=3, mode="triangular2"))
show("exp range", cyclic(10, 0.2, step_size_up=2, step_size_down=2, mode="exp_range", gamma=0.9))
show("inverse square root", [min(s**-0.5, s * 4**-1.5) * math.sqrt(4) for s in range(1, 11)])

losses = [1.0, 0.9, 0.95, 0.9, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6]
show("plateau, relative", plateau(losses, factor=0.5, patience=1, threshold=0.02, cooldown=0))
show("plateau, absolute, cooldown 2",
     plateau(losses, factor=0.1, patience=0, threshold=0.05, threshold_mode="abs", cooldown=2))
show("plateau, max, least rate",
     plateau([-x for x in losses], mode="max", factor=0.1, patience=1, threshold=0.0, threshold_mode="abs",
             min_lr=0.03))

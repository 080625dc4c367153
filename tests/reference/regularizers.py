"""Reference numbers for src/train/regularizer: penalties and their gradients by torch's autograd, in float64.

The penalties are written out as Keras' documentation (L1, L2, L1L2) and Bansal et al. 2018 (soft orthogonality)
state them. `weight_decay` is three steps of torch.optim.SGD and of torch.optim.Adam with that argument, which
L2 with half=True has to equal.

    pip install torch==2.15.0
    python tests/reference/regularizers.py
"""

import sys

sys.path.pop(0)  # statistics.py beside this script would hide the standard library's, which torch imports

import torch

torch.set_default_dtype(torch.float64)


def weights(*shape):
    """Quarters from -5/4 to 5/4."""
    n = torch.tensor(shape).prod().item()
    return torch.tensor([((7 * i + 3) % 11 - 5) / 4 for i in range(n)]).reshape(shape)


def soft_orthogonality(w):
    m = w.reshape(w.shape[0], -1)
    gram = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    return (gram - torch.eye(gram.shape[0])).square().sum()


PENALTIES = {
    "l1:0.5": lambda w: 0.5 * w.abs().sum(),
    "l2:0.5": lambda w: 0.5 * w.square().sum(),
    "l2:0.5:half=true": lambda w: 0.25 * w.square().sum(),
    "l1-l2:0.5:0.25": lambda w: 0.5 * w.abs().sum() + 0.25 * w.square().sum(),
    "orthogonal:0.5": lambda w: 0.5 * soft_orthogonality(w),
}

if __name__ == "__main__":
    for text, penalty in PENALTIES.items():
        shapes = [(2, 3), (3, 2), (2, 1, 2)] if text.startswith("orth") else [(2, 3)]
        for shape in shapes:
            w = weights(*shape).requires_grad_()
            value = penalty(w)
            value.backward()
            print(f'("{text}", &{list(shape)}, {value.item()}, &{w.grad.flatten().tolist()}),')
    for name, optimizer in [("Sgd", torch.optim.SGD), ("Adam", torch.optim.Adam)]:
        w = weights(2, 3).requires_grad_()
        step = optimizer([w], lr=0.1, weight_decay=0.5)
        for _ in range(3):
            step.zero_grad()
            (w * weights(2, 3).flip(0)).sum().backward()
            step.step()
        print(name, w.flatten().tolist())

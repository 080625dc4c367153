"""Reference numbers for src/nn: activations, normalization layers and alpha dropout, in float64.

All but Keras' batch normalization are PyTorch's, gradients included. Keras' moving averages are written out as its
documentation states them.

    pip install numpy==2.4.6 torch==2.15.0
    python tests/reference/layers.py
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)


def inputs(*shape):
    n = int(np.prod(shape))
    return torch.tensor([((7 * i + 3) % 11 - 5) / 4 for i in range(n)]).reshape(shape).requires_grad_()


def upstream(*shape):
    n = int(np.prod(shape))
    return torch.tensor([((5 * i + 2) % 7 - 3) / 4 for i in range(n)]).reshape(shape)


def show(name, tensor):
    numbers = ", ".join(f"{x:.10g}" for x in np.asarray(tensor.detach()).flatten())
    print(f"    {name}: [{numbers}]")


def affine(layer):
    n = layer.weight.numel()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.5, -0.5, 0.75, 2.0][:n]))
        if getattr(layer, "bias", None) is not None:
            layer.bias.copy_(torch.tensor([0.25, -1.0, 0.5, 1.0][:n]))
    return layer


def norm(title, layer, *shape):
    print(title)
    x = inputs(*shape)
    y = affine(layer)(x)
    y.backward(upstream(*shape))
    show("y", y)
    show("dx", x.grad)
    show("dweight", layer.weight.grad)
    if getattr(layer, "bias", None) is not None:
        show("dbias", layer.bias.grad)


for name, f in [
    ("relu", F.relu),
    ("leaky-relu:0.1", lambda x: F.leaky_relu(x, 0.1)),
    ("elu:0.5", lambda x: F.elu(x, 0.5)),
    ("selu", F.selu),
    ("gelu", F.gelu),
    ("gelu-tanh", lambda x: F.gelu(x, approximate="tanh")),
    ("silu", F.silu),
    ("mish", F.mish),
    ("softplus", F.softplus),
    ("softsign", F.softsign),
    ("hard-sigmoid", F.hardsigmoid),
    ("tanh", torch.tanh),
    ("sigmoid", torch.sigmoid),
    ("exponential", torch.exp),
]:
    x = torch.tensor([-4.0, -1.5, -0.25, 0.0, 0.25, 1.5, 4.0]).requires_grad_()
    y = f(x)
    y.sum().backward()
    print(name)
    show("y", y)
    show("dy", x.grad)

batch = nn.BatchNorm1d(3)
norm("batch norm, (2, 3, 2)", batch, 2, 3, 2)
show("running mean", batch.running_mean)
show("running var", batch.running_var)
batch.eval()
batch.weight.grad = batch.bias.grad = None
norm("the same in evaluation", batch, 2, 3, 2)
batch = nn.BatchNorm1d(3, momentum=0.3, eps=0.01)
norm("batch norm, (4, 3), momentum .3, eps .01", batch, 4, 3)
show("running mean", batch.running_mean)
show("running var", batch.running_var)
norm("layer norm, (4, 3)", nn.LayerNorm(3), 4, 3)
norm("layer norm without bias, (4, 3), eps .01", nn.LayerNorm(3, eps=0.01, bias=False), 4, 3)
norm("rms norm, (4, 3), eps .01", nn.RMSNorm(3, eps=0.01), 4, 3)
norm("group norm, 2 groups, (2, 4, 2)", nn.GroupNorm(2, 4), 2, 4, 2)
norm("group norm, 2 groups, (3, 4), eps .01", nn.GroupNorm(2, 4, eps=0.01), 3, 4)

print("Keras' batch norm, (2, 3, 2), two steps on x and one on 2x - 1; then evaluated at x")
x = inputs(2, 3, 2).detach().numpy()
moving = [np.zeros(3), np.ones(3)]
for batch in [x, 2 * x - 1]:
    mean, var = batch.mean((0, 2)), batch.var((0, 2))  # divided by n
    trained = (batch - mean[:, None]) / np.sqrt(var[:, None] + 1e-3)
    moving = [0.99 * moving[0] + 0.01 * mean, 0.99 * moving[1] + 0.01 * var]
for name, numbers in [
    ("trained", trained),
    ("moving mean", moving[0]),
    ("moving var", moving[1]),
    ("evaluated", (x - moving[0][:, None]) / np.sqrt(moving[1][:, None] + 1e-3)),
]:
    show(name, torch.tensor(numbers))

print("alpha dropout, p = .2, of 0 and 1: dropped, kept 0, kept 1")
y = F.alpha_dropout(torch.cat([torch.zeros(200), torch.ones(200)]), 0.2, training=True)
show("y", torch.unique(y))

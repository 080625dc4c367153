"""The reference numbers of the tests of `src/nn/many`: layers that hold many members, for given weights.

Run with torch 2.15.0, torch-uncertainty 0.13.0, einops 0.8.2, tabm 0.0.3, rtdl_num_embeddings 0.0.12, masksembles 1.1.1
and numpy 2.4.6 (the versions of the numbers committed); it takes a minute, most of it for the masks, and writes
`src/nn/many/tests/reference.json`:

    pip install numpy torch einops
    pip install --no-deps torch-uncertainty tabm rtdl_num_embeddings masksembles
    python tests/reference/many_in_one.py

torch-uncertainty as a whole imports Lightning and more; its layers are loaded here file by file. edward2 needs TensorFlow.
What its tests compare the BatchEnsemble layers with, each member's rows by the plain layer between its two factors, is
written out in numpy here, and compared with torch-uncertainty's layers. Rows are those of one member after those of the
other. Everything is in float64.
"""

import importlib.util
import json
import pathlib
import sys
import types
from importlib.metadata import version

import numpy as np
import torch
from einops import rearrange, repeat
from masksembles.common import generation_wrapper
from masksembles.torch import Masksembles1D, Masksembles2D
from tabm import TabM
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(18)


def layers_of_torch_uncertainty(*names):
    """The modules of these names from the folder `layers`, without what the package imports around them."""
    root = pathlib.Path(importlib.util.find_spec("torch_uncertainty").submodule_search_locations[0])
    for package in ["torch_uncertainty", "torch_uncertainty.layers", "torch_uncertainty.layers.functional"]:
        module = types.ModuleType(package)
        module.__path__ = [str(root.joinpath(*package.split(".")[1:]))]
        sys.modules[package] = module
    return [importlib.import_module(f"torch_uncertainty.layers.{name}") for name in names]


batch_ensemble, packed, masksembles = layers_of_torch_uncertainty("batch_ensemble", "packed", "masksembles")


def numbers(*shape):
    return torch.tensor(np.round(rng.normal(size=shape), 2))


def data(tensor):
    """The shape and the elements, which JSON keeps to the bit."""
    array = np.asarray(tensor.detach() if isinstance(tensor, torch.Tensor) else tensor, dtype=np.float64)
    return {"shape": list(array.shape), "values": array.flatten().tolist()}


def set_weights(module):
    """Rounded random weights for all parameters, by name."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(numbers(*parameter.shape))
    return {name: data(parameter) for name, parameter in module.named_parameters()}


def case(module, x, **arguments):
    """The outputs of a module and the gradients of `sum(up * y)`."""
    weights, x = set_weights(module), x.clone().requires_grad_()
    y = module(x)
    up = numbers(*y.shape)
    (y * up).sum().backward()
    gradients = {name: data(parameter.grad) for name, parameter in module.named_parameters()}
    inputs = {"x": data(x), "y": data(y), "up": data(up), "dx": data(x.grad)}
    return arguments | inputs | {"weights": weights, "gradients": gradients}


def batch_linear():
    """BatchEnsemble's linear layer, beside edward2's: ((x * alpha) @ kernel) * gamma + bias, member by member."""
    cases = []
    for members, rows, inputs, outputs, bias in [(3, 2, 4, 5, True), (4, 3, 2, 1, False), (1, 2, 3, 2, True)]:
        layer = batch_ensemble.BatchLinear(inputs, outputs, members, bias=bias)
        found = case(layer, numbers(members * rows, inputs), members=members, bias=bias)
        x, r, s, w = (t.detach().numpy() for t in [torch.tensor(found["x"]["values"]).reshape(-1, inputs),
                                                   layer.r_group, layer.s_group, layer.linear.weight])
        b = layer.bias.detach().numpy() if bias else np.zeros((members, outputs))
        each = [((x[m * rows:(m + 1) * rows] * r[m]) @ w.T) * s[m] + b[m] for m in range(members)]
        assert np.allclose(np.concatenate(each).flatten(), found["y"]["values"], rtol=1e-13, atol=1e-13)
        cases.append(found)
    return cases


def batch_conv2d():
    """The same with a convolution."""
    cases = []
    for members, rows, inputs, outputs, kernel, config in [
        (3, 2, 2, 3, 3, {}),
        (2, 1, 4, 4, 2, {"stride": 2, "padding": 1, "groups": 2}),
        (2, 2, 1, 2, 2, {"dilation": 2, "bias": False}),
    ]:
        layer = batch_ensemble.BatchConv2d(inputs, outputs, kernel, members, **config)
        found = case(layer, numbers(members * rows, inputs, 4, 4), members=members, config=config)
        x, y = (torch.tensor(found[k]["values"]).reshape(found[k]["shape"]) for k in "xy")
        plain = {k: v for k, v in config.items() if k != "bias"}
        for m in range(members):
            part = slice(m * rows, (m + 1) * rows)
            r, s = layer.r_group[m][:, None, None], layer.s_group[m][:, None, None]
            expected = F.conv2d(x[part] * r, layer.conv.weight, **plain) * s
            if layer.bias is not None:
                expected = expected + layer.bias[m][:, None, None]
            assert torch.allclose(y[part], expected, rtol=1e-13, atol=1e-13)
        cases.append(found)
    return cases


def packed_linear():
    cases = []
    for inputs, outputs, alpha, members, gamma, first, last in [
        (8, 12, 1, 1, 1, False, False),
        (8, 12, 2, 4, 1, False, False),
        (8, 16, 2, 4, 2, False, False),
        (8, 8, 1.5, 3, 2, False, False),
        (5, 8, 2, 4, 1, True, False),
        (5, 8, 2, 4, 2, True, False),
        (8, 3, 2, 4, 1, False, True),
        (6, 3, 3, 2, 1, False, True),
        (5, 2, 3, 3, 1, True, True),
    ]:
        layer = packed.PackedLinear(inputs, outputs, alpha, members, gamma, first=first, last=last)
        x = numbers(3, inputs if first else int(inputs * alpha))
        about = {"inputs": inputs, "outputs": outputs, "alpha": alpha, "members": members, "gamma": gamma}
        found = case(layer, x, **about, first=first, last=last)
        others = {"full", "conv1d"}
        for other in others:
            y = packed.packed_linear(x, layer.weight, layer.groups, other, layer.bias)
            y = rearrange(y, "b (m h) -> (m b) h", m=members) if last else y
            assert np.allclose(y.detach().flatten(), found["y"]["values"], rtol=1e-12, atol=1e-12)
        cases.append(found)
    return cases


def packed_conv2d():
    cases = []
    for inputs, outputs, alpha, members, gamma, first, last, config in [
        (2, 3, 1, 1, 1, False, False, {}),
        (4, 4, 2, 4, 1, False, False, {"padding": 1}),
        (4, 4, 2, 2, 2, False, False, {"stride": 2}),
        (3, 4, 1, 2, 1, True, False, {"padding": 1}),
        (2, 2, 2, 2, 1, False, True, {}),
        (4, 4, 1.5, 2, 1, False, False, {"dilation": 2, "bias": False}),
    ]:
        layer = packed.PackedConv2d(
            inputs, outputs, 2, alpha, members, gamma, minimum_channels_per_group=1, first=first, last=last, **config
        )
        x = numbers(2, inputs if first else int(inputs * alpha), 4, 4)
        about = {"inputs": inputs, "outputs": outputs, "alpha": alpha, "members": members, "gamma": gamma}
        cases.append(case(layer, x, **about, first=first, last=last, config=config))
    return cases


def packed_mlp():
    """A whole network: linear layers, relu between them, the first and the last flagged."""
    cases = []
    for widths, alpha, members, gamma in [([4, 8, 12, 3], 2, 4, 1), ([4, 16, 24, 3], 2, 4, 2), ([2, 6, 1], 1, 3, 1)]:
        layers, last = [], len(widths) - 2
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            # As in the library's residual networks, the first and the last layer have no groups within a member.
            own = gamma if 0 < i < last else 1
            layers.append(packed.PackedLinear(inputs, outputs, alpha, members, own, first=i == 0, last=i == last))
            layers.append(nn.ReLU())
        network = nn.Sequential(*layers[:-1])
        cases.append(case(network, numbers(3, widths[0]), widths=widths, alpha=alpha, members=members, gamma=gamma))
    return cases


def masks():
    """What the masks of the paper's generator are like: the number of features kept, and the overlap of two masks
    (the intersection over the union), over many draws."""
    cases = []
    for channels, members, scale, draws in [
        (10, 2, 1.5, 400), (16, 4, 2.0, 400), (32, 4, 1.5, 400), (64, 4, 2.0, 200), (64, 8, 3.0, 100), (100, 4, 6.0, 100),
        (128, 4, 1.1, 100),
    ]:
        kept, overlaps, columns = [], [], []
        for _ in range(draws):
            found = generation_wrapper(channels, members, scale)
            assert found.shape == (members, channels)
            kept.append(found.sum(1))
            columns.append(found.sum(0).min())
            for i in range(members):
                for j in range(i):
                    both, either = (found[i] * found[j]).sum(), np.maximum(found[i], found[j]).sum()
                    overlaps.append(both / either)
        cases.append({
            "channels": channels, "members": members, "scale": scale, "draws": draws,
            "kept": sorted({int(k) for k in np.concatenate(kept)}), "least_uses_of_a_feature": int(min(columns)),
            "overlap": float(np.mean(overlaps)), "overlap_deviation": float(np.std(overlaps)),
        })
    refused = []
    for channels, members, scale in [(9, 4, 2.0), (16, 4, 6.5)]:
        try:
            generation_wrapper(channels, members, scale)
        except ValueError:
            refused.append({"channels": channels, "members": members, "scale": scale})
    return {"cases": cases, "refused": refused}


def masked():
    """The layers of torch-uncertainty with masks that the paper's generator drew, and the paper's own layers."""
    cases = {"linear": [], "conv2d": []}

    def add(kind, layer, paper, x):
        paper.masks = paper.masks.double()
        del layer.mask.masks  # a parameter
        layer.mask.masks = paper.masks
        cases[kind].append(case(layer, x, masks=data(paper.masks)))
        assert torch.allclose(paper(x), layer.mask(x))

    for members, rows, channels, outputs, scale in [(4, 2, 12, 3, 2.0), (3, 1, 11, 2, 1.5)]:
        layer = masksembles.MaskedLinear(channels, outputs, members, scale, device="cpu")
        add("linear", layer, Masksembles1D(channels, members, scale), numbers(members * rows, channels))
        layer = masksembles.MaskedConv2d(channels, outputs, 2, members, scale, device="cpu")
        add("conv2d", layer, Masksembles2D(channels, members, scale), numbers(members * rows, channels, 2, 2))
    return cases


def tabm():
    """TabM and TabM-mini: initial values of the adapters, and a forward pass. Outputs are (rows, k, outputs)."""
    cases = []
    for kind, inputs, blocks, width, outputs, k in [
        ("tabm", 4, 2, 6, 2, 3), ("tabm", 3, 3, 5, 1, 4), ("tabm-mini", 4, 2, 6, 2, 3), ("tabm-mini", 3, 1, 5, 1, 4)
    ]:
        network = TabM.make(
            n_num_features=inputs, d_out=outputs, n_blocks=blocks, d_block=width, dropout=0.0, k=k, arch_type=kind
        )
        adapters = (".r", ".s", "affine.weight")
        initial = {name: data(p) for name, p in network.named_parameters() if name.endswith(adapters)}
        cases.append(case(network, numbers(3, inputs), kind=kind, k=k, initial=initial))
    return cases


class Mimo(nn.Module):
    """A network whose inputs and outputs are those of all members, as torch-uncertainty's MIMO networks have them."""

    def __init__(self, body, members, images):
        super().__init__()
        self.body, self.members, self.images = body, members, images

    def forward(self, x):
        if not self.training:
            x = repeat(x, "b ... -> (m b) ...", m=self.members)
        pattern = "(m b) c h w -> b (m c) h w" if self.images else "(m b) c -> b (m c)"
        return rearrange(self.body(rearrange(x, pattern, m=self.members)), "b (m d) -> (m b) d", m=self.members)


def mimo():
    cases = []
    for members, inputs, width, outputs in [(3, 4, 6, 2), (2, 3, 5, 1), (1, 3, 4, 2)]:
        body = nn.Sequential(nn.Linear(members * inputs, width), nn.ReLU(), nn.Linear(width, members * outputs))
        network = Mimo(body, members, False)
        found = case(network, numbers(members * 2, inputs), members=members, outputs=outputs, images=False)
        x = numbers(3, inputs)
        cases.append(found | {"x_evaluated": data(x), "y_evaluated": data(network.eval()(x))})
    body = nn.Sequential(nn.Conv2d(2 * 3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 2 * 2, 2 * 3))
    network = Mimo(body, 2, True)
    found = case(network, numbers(2 * 2, 3, 4, 4), members=2, outputs=3, images=True)
    x = numbers(3, 3, 4, 4)
    cases.append(found | {"x_evaluated": data(x), "y_evaluated": data(network.eval()(x))})
    return cases


if __name__ == "__main__":
    torch.manual_seed(18)
    np.random.seed(18)
    result = {
        "versions": {name: version(name) for name in ["torch", "torch-uncertainty", "tabm", "masksembles"]},
        "batch_linear": batch_linear(),
        "batch_conv2d": batch_conv2d(),
        "packed_linear": packed_linear(),
        "packed_conv2d": packed_conv2d(),
        "packed_mlp": packed_mlp(),
        "masks": masks(),
        "masked": masked(),
        "tabm": tabm(),
        "mimo": mimo(),
    }
    path = pathlib.Path(__file__).parents[2] / "src/nn/many/tests/reference.json"
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)

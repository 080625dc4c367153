"""Checkpoints that PyTorch itself has written (2.15.0, CPU): old_form.pth and saved.pt in tests/pretrained, which
tests/integration/pretrained.rs reads. torch_files.py makes the others without PyTorch. Run with:

    pip install torch numpy
    python3 tests/reference/torch_saved.py
"""

import argparse
import os
import warnings

import numpy
import torch

warnings.filterwarnings("ignore")
OUT = os.path.join(os.path.dirname(__file__), "..", "pretrained")

# The numbers of state_dict.pth: two inputs, three hidden units, two classes.
net = torch.nn.Sequential()
net.add_module("fc1", torch.nn.Linear(2, 3))
net.add_module("fc2", torch.nn.Linear(3, 2))
biases = torch.tensor([0.125, -0.5, 0.0, 0.25, -0.75])
with torch.no_grad():
    net.fc1.weight.copy_(torch.tensor([[0.5, -1.0], [1.5, 2.0], [-0.25, 0.75]]))
    net.fc2.weight.data = torch.tensor([[1.0, -1.0], [0.5, -0.5], [2.0, 0.25]]).t()
    net.fc1.bias.data, net.fc2.bias.data = biases[:3], biases[3:]

# The form of before version 1.6.
torch.save(net.state_dict(), os.path.join(OUT, "old_form.pth"), _use_new_zipfile_serialization=False)

# What a training program keeps beside the network, and tensors of kinds that are not read.
ones = torch.ones(2)
torch.save({
    "model": {"net": torch.nn.DataParallel(net).state_dict(), "ema_decay": 0.999},
    "seed": 2**64 - 1,
    "args": argparse.Namespace(lr=0.1, layers=[3, 2]),
    "array": numpy.arange(3),
    "steps": numpy.float64(3.5),
    "bytes": bytearray(b"abc"),
    "generator": torch.tensor([7, 8], dtype=torch.uint8),
    "odd": {
        "good": ones,
        "sparse": torch.eye(2).to_sparse(),
        "quantized": torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8),
        "expanded": torch.ones(1).expand(4),
        "meta": torch.empty(3, device="meta"),
        "complex": ones.to(torch.complex64),
        "u16": torch.tensor([1, 65535], dtype=torch.uint16),
        "u32": torch.tensor([1, 2**32 - 1], dtype=torch.uint32),
        "f8": ones.to(torch.float8_e5m2),
    },
}, os.path.join(OUT, "saved.pt"))

"""Checkpoints as torch.save (version 1.6 and later) writes them: writes the files in tests/pretrained, which
tests/integration/pretrained.rs reads, and prints their numbers. PyTorch is not needed: the file is a zip archive
without compression, with a pickle of protocol 2 that names each tensor's storage, and the bytes of the storages. The
form was taken from torch/serialization.py and torch/_tensor.py (Tensor.__reduce_ex__) of PyTorch 2.5 and compared with
the file that pesto-pitch 2.0.1 ships. Run with Python 3.12, without any package:

    python3 tests/reference/torch_files.py
"""

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile

OUT = os.path.join(os.path.dirname(__file__), "..", "pretrained")
os.makedirs(OUT, exist_ok=True)


def module(name):
    made = sys.modules.setdefault(name, types.ModuleType(name))
    return made


def named(module_name, name, make):
    made = make()
    made.__module__, made.__name__, made.__qualname__ = module_name, name, name
    setattr(module(module_name), name, made)
    return made


def function():
    def stub(*args):
        raise NotImplementedError

    return stub


torch, utils, tensors = module("torch"), module("torch._utils"), module("torch._tensor")
torch._utils, torch._tensor = utils, tensors
REBUILD = named("torch._utils", "_rebuild_tensor_v2", function)
PARAMETER = named("torch._utils", "_rebuild_parameter", function)
FROM_TYPE = named("torch._tensor", "_rebuild_from_type_v2", function)
SPARSE = named("torch._utils", "_rebuild_sparse_tensor", function)
STORAGE = {
    code: named("torch", name + "Storage", lambda: type(name, (), {}))
    for code, name in [("f", "Float"), ("d", "Double"), ("e", "Half"), ("b", "BFloat16"), ("q", "Long"),
                       ("i", "Int"), ("?", "Bool"), ("c", "Char")]
}
MODEL = named("my_models", "Net", lambda: type("Net", (), {}))


class Storage:
    def __init__(self, code, numbers):
        self.code, self.count = code, len(numbers)
        if code == "b":  # the upper half of a float's bits; the numbers here need no rounding
            self.bytes = b"".join(struct.pack("<f", x)[2:] for x in numbers)
        else:
            self.bytes = struct.pack("<%d%s" % (len(numbers), {"c": "b"}.get(code, code)), *numbers)


class Called:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def tensor(storage, shape, stride=None, offset=0):
    if stride is None:
        stride = tuple(int_product(shape[i + 1:]) for i in range(len(shape)))
    return Called(REBUILD, storage, offset, tuple(shape), tuple(stride), False, collections.OrderedDict())


def int_product(numbers):
    product = 1
    for number in numbers:
        product *= number
    return product


def save(name, value, byteorder="little", compression=zipfile.ZIP_STORED):
    storages = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            if value not in storages:
                storages.append(value)
            return "storage", STORAGE[value.code], str(storages.index(value)), "cpu", value.count

    out = io.BytesIO()
    Pickler(out, protocol=2).dump(value)
    root = name.split(".")[0]
    with zipfile.ZipFile(os.path.join(OUT, name), "w", compression) as archive:
        def put(part, data):
            archive.writestr(zipfile.ZipInfo(f"{root}/{part}", (1980, 1, 1, 0, 0, 0)), data, compression)

        put("data.pkl", out.getvalue())
        put("byteorder", byteorder)
        for number, storage in enumerate(storages):
            put(f"data/{number}", storage.bytes)
        put("version", "3\n")


def ordered(items):
    """A state_dict: OrderedDict with the attribute _metadata."""
    made = collections.OrderedDict(items)
    made._metadata = collections.OrderedDict([("", {"version": 1})])
    return made


# A network with two layers: 2 inputs, 3 hidden units, 2 classes. The second weight is a transposed view, and both
# biases are parts of one storage.
fc1 = Storage("f", [0.5, -1.0, 1.5, 2.0, -0.25, 0.75])
fc2 = Storage("f", [1.0, -1.0, 0.5, -0.5, 2.0, 0.25])  # [[1, .5, 2], [-1, -.5, .25]], by columns
biases = Storage("f", [0.125, -0.5, 0.0, 0.25, -0.75])
state = ordered([
    ("fc1.weight", tensor(fc1, (3, 2))),
    ("fc1.bias", tensor(biases, (3,))),
    ("fc2.weight", tensor(fc2, (2, 3), (1, 2))),
    ("fc2.bias", tensor(biases, (2,), offset=3)),
])
save("state_dict.pth", state)

# What a training program keeps: the same network in half precision, with the prefix of DataParallel, as parameters
# and as a class derived from Tensor, beside other things.
half = Storage("e", [0.5, -1.0, 1.5, 2.0, -0.25, 0.75])
bf16 = Storage("b", [1.0, 0.5, 2.0, -1.0, -0.5, 0.25])
save("checkpoint.pt", {
    "epoch": 7,
    "lr": 1e-3,
    "state_dict": ordered([
        ("module.fc1.weight", Called(PARAMETER, tensor(half, (3, 2)), True, collections.OrderedDict())),
        ("module.fc1.bias", Called(FROM_TYPE, REBUILD, MODEL, tensor(biases, (3,)).args, {})),
        ("module.fc2.weight", tensor(bf16, (2, 3))),
        ("module.fc2.bias", tensor(biases, (2,), offset=3)),
        ("module.bn.num_batches_tracked", tensor(Storage("q", [2**40]), ())),
        ("module.ids", tensor(Storage("i", [3, -4]), (2,))),
        ("module.mask", tensor(Storage("?", [True, False]), (2,))),
        ("module.int8", tensor(Storage("c", [1, -1]), (2,))),
        ("module.double", tensor(Storage("d", [0.1]), (1,))),
        ("module.note", "a text"),
    ]),
    "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999)}]},
    "ema": {"fc1.weight": tensor(fc1, (3, 2))},
})

# Files that are refused.
save("whole_model.pt", Called(MODEL, 1))
save("beyond.pt", {"w": tensor(Storage("f", [1.0, 2.0]), (3,))})
save("expanded.pt", {"w": tensor(Storage("f", [1.0]), (2**40,), (0,))})
save("sparse.pt", {"w": Called(SPARSE, 1)})
save("big_endian.pt", {"w": tensor(Storage("f", [1.0]), (1,))}, byteorder="big")
save("compressed.pt", {"w": tensor(Storage("f", [1.0]), (1,))}, compression=zipfile.ZIP_DEFLATED)

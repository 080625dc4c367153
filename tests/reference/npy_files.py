"""Writes tests/streamed/*.npy with numpy, for tests/integration/streaming.rs, which has the same numbers.

    python tests/reference/npy_files.py tests/streamed

Last run with numpy 2.4.6.
"""
import sys
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

folder = Path(sys.argv[1])
# 6 rows of 2 numbers; every type holds them.
table = (np.arange(12) * 10 - 1).reshape(6, 2) % 121


def save(name, array, version=None):
    with open(folder / f"{name}.npy", "wb") as file:
        npy.write_array(file, array, version=version)


for name, dtype in [
    ("f2", "<f2"), ("f4", "<f4"), ("f8", "<f8"), ("f2_big", ">f2"), ("f4_big", ">f4"), ("f8_big", ">f8"),
    ("i1", "i1"), ("i2", "<i2"), ("i4", "<i4"), ("i8", "<i8"), ("i2_big", ">i2"), ("i8_big", ">i8"),
    ("u1", "u1"), ("u2", "<u2"), ("u4", "<u4"), ("u2_big", ">u2"), ("u4_big", ">u4"),
]:
    save(name, table.astype(dtype))
save("bool", table > 50)
save("version_2", table.astype("<f4"), (2, 0))
save("version_3", table.astype("<f4"), (3, 0))
save("fortran", np.asfortranarray(table.astype("<f4")))
save("vector", np.asfortranarray(table[:, 0].astype("<f4")))
save("negative", np.array([-128, 127, -1, 0, 1, 2], "i1"))
save("large", np.array([65535, 32768, 0, 1, 2, 3], "<u2"))
save("complex", table.astype("<c8"))
save("u8", table.astype("<u8"))
save("scalar", np.array(3.0))

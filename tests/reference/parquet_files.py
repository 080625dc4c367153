"""Writes tests/streamed/*.parquet with pyarrow, for tests/parquet.rs, which has the same numbers.

    python tests/reference/parquet_files.py tests/streamed

Last run with pyarrow 26.0.1.
"""
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

folder = Path(sys.argv[1])


def table(start, rows):
    """Rows with the numbers from `start` on."""
    numbers = range(start, start + rows)
    colours = pa.array([["red", "blue", "green"][i % 3] for i in numbers])
    return pa.table({
        "i8": pa.array([i % 100 - 50 for i in numbers], pa.int8()),
        "u32": pa.array([2**32 - 1 - i for i in numbers], pa.uint32()),
        "i64": pa.array([i * 1000 - 7 for i in numbers], pa.int64()),
        "f32": pa.array([i / 4 for i in numbers], pa.float32()),
        "f64": pa.array([-i / 8 for i in numbers], pa.float64()),
        "truth": pa.array([i % 5 == 0 for i in numbers], pa.bool_()),
        "colour": colours,
        "code": colours.dictionary_encode(),
        "class": pa.array([i % 3 for i in numbers], pa.int32()),
    })


# Two shards of several row groups each, in pages of a few rows.
small = {"row_group_size": 40, "data_page_size": 64, "write_batch_size": 8}
pq.write_table(table(0, 100), folder / "part-0.parquet", compression="snappy", **small)
pq.write_table(table(100, 60), folder / "part-1.parquet", compression="zstd", data_page_version="2.0", **small)
pq.write_table(table(0, 3).select(["f32", "f64"]), folder / "other.parquet", compression="none")
pq.write_table(pa.table({
    "x": pa.array([1.0] * 50 + [None] + [2.0] * 9, pa.float64()),
    "t": pa.array(["a", "b", None] * 20),
    "fine": pa.array(range(60), pa.int64()),
    "list": pa.array([[1.0, 2.0]] * 60),
    "date": pa.array([0] * 60, pa.date32()),
    "u64": pa.array(range(60), pa.uint64()),
    "decimal": pa.array([Decimal("1.5")] * 60, pa.decimal128(5, 2)),
}), folder / "nulls.parquet", compression="snappy", row_group_size=20)

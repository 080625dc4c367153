"""Predictions as different programs export them: writes the archives in tests/cases/npz_inputs, which
tests/integration/cases/npz.rs reads. Run with numpy 2.4.6:

    python3 tests/reference/npz_inputs.py
"""

import os
import numpy as np

OUT = os.path.join(os.path.dirname(__file__), "..", "cases", "npz_inputs")
os.makedirs(OUT, exist_ok=True)
MEMBERS, ROWS, CLASSES = 3, 24, 3


def save(name, **arrays):
    np.savez(os.path.join(OUT, name + ".npz"), **arrays)


rng = np.random.default_rng(0)
y = np.arange(ROWS) % CLASSES
logits = rng.normal(size=(MEMBERS, ROWS, CLASSES))
logits[:, np.arange(ROWS), y] += 1.5
p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
binary = np.arange(ROWS) % 2
decisions = rng.normal(size=(MEMBERS, ROWS)) + 3 * (binary - 0.5)
p1 = 1 / (1 + np.exp(-decisions))
row = np.arange(ROWS)

# The same probabilities in other forms.
save("plain", predictions=p, targets=y)
np.savez_compressed(os.path.join(OUT, "compressed.npz"), predictions=p, targets=y)
save("extra", predictions=p, targets=y, weight=np.ones(ROWS), y_train=y)
save("fortran", predictions=np.asfortranarray(p), targets=y)
save("bigendian", predictions=p.astype(">f4"), targets=y.astype(">i2"))
save("nmc", predictions=p.transpose(1, 0, 2), targets=y)
save("squeeze4", predictions=p[..., None], targets=y[:, None, None])
save("one_based", predictions=p, targets=y + 1)
save("text_targets", predictions=p, targets=np.array(["cat", "dog", "owl"])[y])
save("bytes", predictions=p, targets=np.array([b"cat", b"dog", b"owl"])[y], names=np.array([b"a", b"b", b"c"]))
save("classes", predictions=p, targets=np.array(["owl", "cat", "dog"])[y], classes=np.array(["owl", "cat", "dog"]))
save("big_labels", predictions=p, targets=y + 2**60)
save("names_int", predictions=p, targets=y, names=np.arange(3))
save("names_abc", predictions=p, targets=y, names=np.array(["a", "b", "c"]))
save("names_order", predictions=p[[1, 0, 2]], targets=y, names=np.array(["b", "a", "c"]))
save("onehot_targets", predictions=p, targets=np.eye(CLASSES)[y])
save("logits", predictions=logits, targets=y)
save("log_probs", predictions=np.log(p), targets=y)
save("onehot_logits", predictions=logits, targets=np.eye(CLASSES)[y])
np.save(os.path.join(OUT, "logits_alone.npy"), logits)

# Two classes in one column.
save("keras_n1", predictions=p1[..., None].astype(np.float32), targets=binary[:, None])
save("decision_function", predictions=decisions, targets=binary)
save("plus_minus", predictions=p1, targets=2 * binary - 1)
save("bool_targets", predictions=p1, targets=binary.astype(bool))

# What may be something else.
save("hard", predictions=np.array([y, (y + 1) % 3, y]), targets=y)
save("soft_targets", predictions=p, targets=p[0])
save("one_member", predictions=p[:1], targets=y)
save("one_member_2d", predictions=p[0], targets=y)
masked = p.copy()
masked[1, 3] = 1e20
save("masked", predictions=masked, mask=(row == 3)[None] & (np.arange(MEMBERS) == 1)[:, None], targets=y)

# What cannot be read.
save("object_list", predictions=np.array([[1, 2], [3]], dtype=object), targets=y)
save("complex", predictions=p.astype(complex), targets=y)
np.savez(os.path.join(OUT, "arr.npz"), p, y)
save("empty", predictions=p[:, :0], targets=y[:0])
with open(os.path.join(OUT, "plain.npz"), "rb") as file:
    whole = file.read()
with open(os.path.join(OUT, "truncated.npz"), "wb") as file:
    file.write(whole[: len(whole) // 2])
hidden = (row == 5)[None, :, None]
save("allnan", predictions=np.where(hidden, np.nan, p), targets=y)
save("partnan", predictions=np.where(hidden & (np.arange(CLASSES) == 1), np.nan, p), targets=y)
save("nan_target", predictions=p, targets=np.where(row == 4, np.nan, y))
save("percent", predictions=100 * p, targets=y)
save("ignore_label", predictions=p, targets=np.where(y == 2, 255, y))
save("text_missing_class", predictions=p, targets=np.array(["cat", "dog"])[binary])
save("one_group", predictions=p, targets=y, groups=np.zeros(ROWS))
save("zero_fit_weights", predictions=p, targets=y, weights=(row % 2).astype(float))

"""scikit-learn on the data of benches/stacking.rs: seconds, iterations and objective at its default accuracy.

Run: python tests/reference/stacking_speed.py [--exact]   (scikit-learn 1.9.1, numpy 2.4.6)
"""
import sys
import time

import numpy as np
from sklearn.linear_model import LogisticRegression

MEMBERS, ROWS, CLASSES = 50, 20_000, 10


def draws(count, state):
    """The generator's next numbers, by jumping ahead: x → a x + c (mod 2³²)."""
    a, c = np.uint64(1664525), np.uint64(1013904223)
    mask = np.uint64(2**32 - 1)
    out = np.empty(count, dtype=np.uint64)
    out[0] = (np.uint64(state) * a + c) & mask
    done, jump_a, jump_c = 1, a, c
    while done < count:
        more = min(done, count - done)
        out[done : done + more] = (out[:more] * jump_a + jump_c) & mask
        # Twice the jump.
        jump_c = (jump_a * jump_c + jump_c) & mask
        jump_a = (jump_a * jump_a) & mask
        done += more
    return out / 2**32, int(out[-1])


def predictions(own):
    u, state = draws(ROWS, 12345)
    labels = (u * CLASSES).astype(int)
    common, state = draws(ROWS * CLASSES, state)
    common = 8 * common.reshape(ROWS, CLASSES)
    noise, _ = draws(MEMBERS * ROWS * CLASSES, state)
    logits = common + 8 * own * noise.reshape(MEMBERS, ROWS, CLASSES)
    logits[:, np.arange(ROWS), labels] += 2
    odds = np.exp(logits)
    said = (odds / odds.sum(2, keepdims=True)).astype(np.float32)
    return said.transpose(1, 0, 2).reshape(ROWS, -1).copy(), labels


def main():
    for own in [1.0, 0.25]:
        x, y = predictions(own)
        for name, settings in [("default", {"max_iter": 1000}), ("exact", {"tol": 1e-8, "max_iter": 20_000})]:
            if name == "exact" and "--exact" not in sys.argv:
                continue
            if name == "exact":
                x = x.astype(np.float64)
            start = time.perf_counter()
            model = LogisticRegression(**settings).fit(x, y)
            seconds = time.perf_counter() - start
            logits = x.astype(np.float64) @ model.coef_.T.astype(np.float64) + model.intercept_
            most = logits.max(1, keepdims=True)
            p = np.exp(logits - most)
            loss = np.log(p.sum(1)) + most[:, 0] - logits[np.arange(ROWS), y]
            objective = loss.mean() + (model.coef_.astype(np.float64) ** 2).sum() / (2 * ROWS)
            p /= p.sum(1, keepdims=True)
            p[np.arange(ROWS), y] -= 1
            gradient = np.abs(p.T @ x / ROWS + model.coef_ / ROWS).max()
            print(f"own {own}, {name}: {seconds:.2f} s, {model.n_iter_[0]} iterations, objective {objective:.7f}, gradient {gradient:.1e}", flush=True)


if __name__ == "__main__":
    main()

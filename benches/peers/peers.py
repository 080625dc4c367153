"""Times of four workloads with candle-ensemble and with PyTorch, side by side.

    pip install torch torchensemble
    python benches/peers/peers.py

W1  train 10 bootstrap members 64-64-32-10 on 1257 rows, batch 32, 30 epochs, Adam
W2  train 5 snapshots of one network 64-64-32-10, 10 epochs each, same rows, batch and optimizer
W3  train 4 networks 784-512-512-10 on 20 000 rows, batch 128, 3 epochs, Adam
W4  predict the mean probabilities of 10 networks 784-512-512-10 for 10 000 rows

The programs:

nn, candle      candle-ensemble with its own layers and with candle's: what the command in --ours prints, a line
                `workload <tab> program <tab> seconds` for each run
stacked         PyTorch, all members at once: tensors [M, ...], torch.baddbmm
vmap            PyTorch, all members at once: torch.func.stack_module_state, functional_call and vmap
loop            PyTorch, one network after the other, batches by index
torchensemble   BaggingClassifier, SnapshotEnsembleClassifier and VotingClassifier with a DataLoader, as its
                documentation uses them, with one job and, but for snapshots, with one job for each thread

The PyTorch programs train with torch.optim.Adam(fused=True); torchensemble makes its own optimizer. They predict in
batches of 1024 rows and in one batch; torchensemble predicts in one batch. Where a program has such variants, all of
them run in the first round, and the fastest goes on.

Every program has the same shapes, steps, learning rate and threads. In each round all of them run, one after the
other, so that a busy machine slows all of them alike; a shortened run of each goes before the first round. The result
is a table in Markdown: seconds, as the median over the rounds and the range.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", default=["W1", "W2", "W3", "W4"], metavar="W", help="some workloads")
    parser.add_argument("--rounds", type=int, default=3, help="how often each program runs (3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of every program (all)")
    parser.add_argument(
        "--ours",
        default="cargo bench --quiet --bench peers --",
        help="the command that runs the benchmark `peers`, up to its arguments; '' leaves it out (%(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="shortened workloads, to see that all of it runs")
    return parser.parse_args()


ARGS = arguments()
# These are read when the libraries start.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(ARGS.threads)

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

torch.set_num_threads(ARGS.threads)

RATE = 1e-3
SMALL, LARGE = (64, 64, 32, 10), (784, 512, 512, 10)
PROGRAMS = ["nn", "candle", "stacked", "vmap", "loop", "torchensemble"]


# ---- The workloads.


@dataclasses.dataclass
class Work:
    name: str
    what: str
    widths: tuple
    members: int
    batch: int
    epochs: int  # of each member; 0 for a prediction
    rows: int

    def data(self):
        """Uniform inputs and labels: what the numbers are does not change the time."""
        rows = 200 if ARGS.quick else self.rows
        return torch.rand(rows, self.widths[0]) * 2 - 1, torch.arange(rows) % 10


WORKS = [
    Work("W1", "train 10 bootstrap members 64-64-32-10, 30 epochs of 1257 rows", SMALL, 10, 32, 30, 1257),
    Work("W2", "train 5 snapshots of one such network, 10 epochs each", SMALL, 5, 32, 10, 1257),
    Work("W3", "train 4 networks 784-512-512-10, 3 epochs of 20 000 rows", LARGE, 4, 128, 3, 20_000),
    Work("W4", "predict 10 000 rows with 10 such networks", LARGE, 10, 128, 0, 10_000),
]


class Mlp(nn.Module):
    def __init__(self, widths):
        super().__init__()
        layers = []
        for inputs, outputs in zip(widths, widths[1:]):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.layers(x)


def networks_of(work):
    return [Mlp(work.widths) for _ in range(work.members)]


def rows_of_member(work, count):
    return torch.randint(count, (count,)) if work.name == "W1" else torch.arange(count)


# ---- One network after the other.


def train_loop(work, data, epochs):
    x, y = data
    networks, snapshots = (1, work.members) if work.name == "W2" else (work.members, 1)
    for _ in range(networks):
        network, rows = Mlp(work.widths), rows_of_member(work, len(x))
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
        steps = epochs * -(-len(rows) // work.batch)
        # The learning rate begins again with each snapshot.
        restarts = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, steps)
        for _ in range(snapshots * epochs):
            for ids in rows[torch.randperm(len(rows))].split(work.batch):
                optimizer.zero_grad()
                F.cross_entropy(network(x[ids]), y[ids]).backward()
                optimizer.step()
                if snapshots > 1:
                    restarts.step()


@torch.inference_mode()
def predict_loop(networks, x, batch):
    parts = x.split(batch)
    return torch.cat([torch.stack([F.softmax(one(part), 1) for one in networks]).mean(0) for part in parts])


# ---- All members at once.


def stacked(networks):
    """The members' parameters as tensors [M, ...], and the forward pass from [M, B, inputs]."""
    layers = [[module for module in network.layers if isinstance(module, nn.Linear)] for network in networks]
    weights, biases = [], []
    for same in zip(*layers):
        weights.append(torch.stack([layer.weight.detach().t() for layer in same]).requires_grad_())
        biases.append(torch.stack([layer.bias.detach()[None] for layer in same]).requires_grad_())

    def forward(x):
        for weight, bias in zip(weights[:-1], biases):
            x = torch.relu(torch.baddbmm(bias, x, weight))
        return torch.baddbmm(biases[-1], x, weights[-1])

    return weights + biases, forward


def vmapped(networks):
    """The same with torch.func."""
    parameters, buffers = torch.func.stack_module_state(networks)
    base = networks[0].to("meta")
    every = torch.vmap(lambda own, state, x: torch.func.functional_call(base, (own, state), (x,)))
    return list(parameters.values()), lambda x: every(parameters, buffers, x)


def train_together(work, data, epochs, stack):
    """Each member has its own rows in its own order."""
    x, y = data
    parameters, forward = stack(networks_of(work))
    optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)
    rows = torch.stack([rows_of_member(work, len(x)) for _ in range(work.members)])
    for _ in range(epochs):
        order = torch.stack([own[torch.randperm(len(own))] for own in rows])
        for ids in order.split(work.batch, 1):
            optimizer.zero_grad()
            logits = forward(x[ids])
            # The sum over the members of their mean losses, so that each has its own gradient.
            loss = F.cross_entropy(logits.flatten(0, 1), y[ids].flatten(), reduction="sum") / ids.shape[1]
            loss.backward()
            optimizer.step()


@torch.inference_mode()
def predict_together(forward, members, x, batch):
    parts = [part.expand(members, -1, -1) for part in x.split(batch)]
    return torch.cat([F.softmax(forward(part), 2).mean(0) for part in parts])


# ---- torchensemble.


def train_torchensemble(work, data, epochs, jobs):
    import torchensemble as te

    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*data), batch_size=work.batch, shuffle=True
    )
    kinds = {"W1": te.BaggingClassifier, "W2": te.SnapshotEnsembleClassifier, "W3": te.VotingClassifier}
    options = {} if work.name == "W2" else {"n_jobs": jobs}
    ensemble = kinds[work.name](
        estimator=Mlp, estimator_args={"widths": work.widths}, n_estimators=work.members, cuda=False, **options
    )
    ensemble.set_optimizer("Adam", lr=RATE)
    epochs *= work.members if work.name == "W2" else 1
    ensemble.fit(loader, epochs=epochs, log_interval=10**9, save_model=False)


def predict_torchensemble(networks, x):
    import torchensemble as te

    ensemble = te.VotingClassifier(
        estimator=Mlp, estimator_args={"widths": LARGE}, n_estimators=len(networks), cuda=False
    )
    ensemble.estimators_ = nn.ModuleList(networks)
    return ensemble.predict(x)


# ---- Measuring.


def variants(work):
    """Functions of a number of epochs, by program and variant."""
    data = work.data()
    if work.name == "W4":
        x, networks, found = data[0], networks_of(work), {}
        _, by_hand = stacked(networks)
        _, by_vmap = vmapped(networks_of(work))
        expected = predict_loop(networks, x, len(x))
        torch.testing.assert_close(predict_together(by_hand, work.members, x, 1024), expected)
        torch.testing.assert_close(predict_torchensemble(networks, x), expected)
        for batch in dict.fromkeys([1024, len(x)]):
            found["stacked", batch] = lambda _, b=batch: predict_together(by_hand, work.members, x, b)
            found["vmap", batch] = lambda _, b=batch: predict_together(by_vmap, work.members, x, b)
            found["loop", batch] = lambda _, b=batch: predict_loop(networks, x, b)
        return found | {("torchensemble", ""): lambda _: predict_torchensemble(networks, x)}
    found = {("loop", ""): lambda epochs: train_loop(work, data, epochs)}
    if work.name != "W2":
        found["stacked", ""] = lambda epochs: train_together(work, data, epochs, stacked)
        found["vmap", ""] = lambda epochs: train_together(work, data, epochs, vmapped)
    for jobs in {1} if work.name == "W2" else {1, ARGS.threads}:
        found["torchensemble", jobs] = lambda epochs, n=jobs: train_torchensemble(work, data, epochs, n)
    return found


@contextlib.contextmanager
def silent():
    """Drops what this process and those that it starts print: torchensemble prints while it trains."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def timed(run, epochs):
    with silent():
        start = time.perf_counter()
        run(epochs)
        return time.perf_counter() - start


def ours(work, rounds):
    """The seconds of each of our programs in its last run."""
    if not ARGS.ours:
        return {}
    command = shlex.split(ARGS.ours) + [work.name, "--threads", str(ARGS.threads), "--rounds", str(rounds)]
    command += ["--quick"] if ARGS.quick else []
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    fields = [line.split("\t") for line in lines]
    return {field[1]: float(field[2]) for field in fields if len(field) == 3 and field[0] == work.name}


def measure(work):
    """The seconds of each round, by program."""
    runs, seconds = variants(work), {}
    ours(work, 0)
    for run in runs.values():
        timed(run, 1)
    for number in range(ARGS.rounds):
        taken = {key: timed(run, 1 if ARGS.quick else work.epochs) for key, run in runs.items()}
        fastest = {}
        for key in sorted(taken, key=taken.get):
            fastest.setdefault(key[0], key)
        runs = {key: runs[key] for key in fastest.values()}
        of_round = ours(work, 1) | {program: taken[key] for program, key in fastest.items()}
        for program, time_taken in of_round.items():
            seconds.setdefault(program, []).append(time_taken)
        print(f"{work.name}: round {number + 1} of {ARGS.rounds}", file=sys.stderr)
    return seconds


def processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cell(taken):
    return f"{statistics.median(taken):.2f} ({min(taken):.2f}–{max(taken):.2f})"


def main():
    torch.manual_seed(0)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchensemble"))
    print(f"{processor()}, {ARGS.threads} threads; {versions}; {ARGS.rounds} rounds, {time.strftime('%Y-%m-%d')}\n")
    print("| | " + " | ".join(PROGRAMS) + " |\n|---|" + "---:|" * len(PROGRAMS))
    for work in WORKS:
        if work.name in ARGS.works:
            seconds = measure(work)
            cells = [cell(seconds[name]) if name in seconds else "" for name in PROGRAMS]
            print(f"| {work.what} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

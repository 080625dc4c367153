"""Times of four workloads with PyTorch, and of the same workloads with candle-ensemble.

    pip install torch torchensemble
    python benches/peers/peers.py --ours "cargo bench --bench peers --"

W1  train 10 bootstrap members 64-64-32-10 on 1257 rows, batch 32, 30 epochs, Adam
W2  train 5 snapshots of one network 64-64-32-10, 10 epochs each, same rows, batch and optimizer
W3  train 4 networks 784-512-512-10 on 20 000 rows, batch 128, 3 epochs, Adam
W4  predict the mean probabilities of 10 networks 784-512-512-10 for 10 000 rows

The programs:

torchensemble   BaggingClassifier, SnapshotEnsembleClassifier and VotingClassifier with a DataLoader, as its
                documentation uses them, with one job and with one job for each thread; the faster counts
loop            the training loop that a user of PyTorch writes: one network after the other, batches by index,
                torch.optim.Adam, with and without fused=True; the faster counts
stacked         all members at once: tensors [M, ...], torch.baddbmm, torch.optim.Adam(fused=True)
vmap            torch.func.stack_module_state, functional_call and vmap, torch.optim.Adam(fused=True)
                (loop, stacked and vmap predict W4 in batches of 1024 rows and in one batch; the faster counts)
ours            what the command in --ours prints: a line `workload <tab> program <tab> seconds` for each run

Every program gets the same shapes, number of steps, learning rate and number of threads. All of them run once in
each round, one after the other, so that a busy machine slows all of them alike. A shortened run of each goes before
the first round and is not counted. Printed are the median and the range over the rounds.
"""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time

RATE = 1e-3
SMALL, LARGE = (64, 64, 32, 10), (784, 512, 512, 10)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of every program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--works", nargs="*", default=["W1", "W2", "W3", "W4"])
    parser.add_argument("--ours", help="the command that runs the benchmark `peers`, without its arguments")
    parser.add_argument("--quick", action="store_true", help="shortened workloads, to see that all of it runs")
    return parser.parse_args()


ARGS = arguments()
# These are read when the libraries start.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(ARGS.threads)

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

torch.set_num_threads(ARGS.threads)


# ---- The workloads: data of the same shapes for every program.


def digits():
    """1257 handwritten digits, `(1257, 64)` in [0, 1], and their labels."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x[:1257] / 16, dtype=torch.float32), torch.tensor(y[:1257])


def noise(rows):
    generator = torch.Generator().manual_seed(7)
    return torch.rand(rows, 784, generator=generator) * 2 - 1, torch.arange(rows) % 10


class Work:
    def __init__(self, name, widths, members, batch, epochs, data, what):
        self.name, self.widths, self.members, self.batch = name, widths, members, batch
        self.epochs, self.data, self.what = epochs, data, what


def works():
    few = 200 if ARGS.quick else None
    small, large, fresh = digits(), noise(20_000), noise(10_000)
    if ARGS.quick:
        small, large, fresh = [tuple(t[:few] for t in data) for data in (small, large, fresh)]
    return [
        Work("W1", SMALL, 10, 32, 1 if few else 30, small, "10 bootstrap members, 30 epochs"),
        Work("W2", SMALL, 5, 32, 1 if few else 10, small, "5 snapshots, 10 epochs each"),
        Work("W3", LARGE, 4, 128, 1 if few else 3, large, "4 large networks, 3 epochs"),
        Work("W4", LARGE, 10, 1024, 0, fresh, "predict 10 000 rows with 10 large networks"),
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


# ---- A plain PyTorch loop.


def train_one(work, epochs, rows, fused, schedule=None):
    x, y = work.data
    network = Mlp(work.widths)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=fused)
    steps = -(-len(rows) // work.batch)
    scheduler = schedule(optimizer, epochs * steps) if schedule else None
    for _ in range(epochs):
        for ids in rows[torch.randperm(len(rows))].split(work.batch):
            optimizer.zero_grad()
            F.cross_entropy(network(x[ids]), y[ids]).backward()
            optimizer.step()
            if scheduler:
                scheduler.step()
    return network


def rows_of_member(work):
    count = len(work.data[0])
    return torch.randint(count, (count,)) if work.name == "W1" else torch.arange(count)


def loop(work, epochs, fused):
    if work.name == "W2":
        # One network, whose learning rate begins again with each snapshot.
        def schedule(optimizer, steps):
            return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, steps // work.members)

        train_one(work, epochs * work.members, rows_of_member(work), fused, schedule)
    else:
        for _ in range(work.members):
            train_one(work, epochs, rows_of_member(work), fused)


@torch.inference_mode()
def predict_loop(networks, x, batch):
    return torch.cat(
        [torch.stack([F.softmax(n(part), 1) for n in networks]).mean(0) for part in x.split(batch)]
    )


# ---- Stacked members: all parameters are tensors [M, ...].


def stacked_parameters(networks):
    layers = [[m for m in n.modules() if isinstance(m, nn.Linear)] for n in networks]
    parameters = []
    for same in zip(*layers):
        weight = torch.stack([layer.weight.detach().t() for layer in same]).contiguous()
        bias = torch.stack([layer.bias.detach().unsqueeze(0) for layer in same]).contiguous()
        parameters.append((weight, bias))
    return parameters


def stacked_forward(parameters, x):
    for weight, bias in parameters[:-1]:
        x = torch.relu(torch.baddbmm(bias, x, weight))
    weight, bias = parameters[-1]
    return torch.baddbmm(bias, x, weight)


def train_together(work, epochs, forward, parameters):
    """Trains M members, each on its own rows in its own order."""
    x, y = work.data
    optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)
    rows = torch.stack([rows_of_member(work) for _ in range(work.members)])
    for _ in range(epochs):
        order = torch.stack([own[torch.randperm(len(own))] for own in rows])
        for ids in order.split(work.batch, 1):
            optimizer.zero_grad()
            logits = forward(x[ids])
            # The sum over the members of their mean losses, so that each has its own gradient.
            loss = F.cross_entropy(logits.flatten(0, 1), y[ids].flatten(), reduction="sum") / ids.shape[1]
            loss.backward()
            optimizer.step()


def stacked(work, epochs):
    parameters = stacked_parameters([Mlp(work.widths) for _ in range(work.members)])
    flat = [t.requires_grad_() for layer in parameters for t in layer]
    train_together(work, epochs, lambda x: stacked_forward(parameters, x), flat)


@torch.inference_mode()
def predict_stacked(parameters, x, batch):
    members = parameters[0][0].shape[0]
    parts = [part.unsqueeze(0).expand(members, -1, -1) for part in x.split(batch)]
    return torch.cat([F.softmax(stacked_forward(parameters, part), 2).mean(0) for part in parts])


# ---- torch.func.


def vmapped(networks):
    parameters, buffers = torch.func.stack_module_state(networks)
    base = networks[0].to("meta")

    def one(parameters, buffers, x):
        return torch.func.functional_call(base, (parameters, buffers), (x,))

    return parameters, buffers, one


def vmap(work, epochs):
    parameters, buffers, one = vmapped([Mlp(work.widths) for _ in range(work.members)])
    every = torch.vmap(one)
    train_together(work, epochs, lambda x: every(parameters, buffers, x), list(parameters.values()))


@torch.inference_mode()
def predict_vmap(state, x, batch):
    parameters, buffers, one = state
    every = torch.vmap(one, in_dims=(0, 0, None))
    return torch.cat([F.softmax(every(parameters, buffers, part), 2).mean(0) for part in x.split(batch)])


# ---- torchensemble.


def torchensemble(work, epochs, jobs):
    import torchensemble as te
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(*work.data), batch_size=work.batch, shuffle=True)
    kind = {"W1": te.BaggingClassifier, "W2": te.SnapshotEnsembleClassifier, "W3": te.VotingClassifier}[work.name]
    options = {} if work.name == "W2" else {"n_jobs": jobs}
    ensemble = kind(
        estimator=Mlp, estimator_args={"widths": work.widths}, n_estimators=work.members, cuda=False, **options
    )
    ensemble.set_optimizer("Adam", lr=RATE)
    epochs *= work.members if work.name == "W2" else 1
    ensemble.fit(loader, epochs=epochs, log_interval=10**9, save_model=False)


def predict_torchensemble(networks, x):
    import torchensemble as te

    ensemble = te.VotingClassifier(estimator=Mlp, estimator_args={"widths": LARGE}, n_estimators=1, cuda=False)
    ensemble.estimators_ = nn.ModuleList(networks)
    ensemble.eval()
    with torch.no_grad():
        return ensemble(x)


# ---- Measuring.


def programs(work):
    """The programs of a workload: for each its variants, each a function of the number of epochs."""
    if work.name == "W4":
        networks, x = [Mlp(work.widths) for _ in range(work.members)], work.data[0]
        parameters = stacked_parameters(networks)
        state = vmapped([Mlp(work.widths) for _ in range(work.members)])
        batches = (1024, len(x))
        check = predict_loop(networks, x, 1024)
        torch.testing.assert_close(predict_stacked(parameters, x, 1024), check)
        return {
            "torchensemble": {"": lambda _: predict_torchensemble(networks, x)},
            "loop": {f"{b} rows": lambda _, b=b: predict_loop(networks, x, b) for b in batches},
            "stacked": {f"{b} rows": lambda _, b=b: predict_stacked(parameters, x, b) for b in batches},
            "vmap": {f"{b} rows": lambda _, b=b: predict_vmap(state, x, b) for b in batches},
        }
    jobs = [1] if work.name == "W2" else [1, ARGS.threads]
    found = {
        "torchensemble": {f"n_jobs={n}": lambda e, n=n: torchensemble(work, e, n) for n in dict.fromkeys(jobs)},
        "loop": {name: lambda e, fused=fused: loop(work, e, fused) for name, fused in (("", None), ("fused", True))},
    }
    if work.name != "W2":
        found["stacked"] = {"": lambda e: stacked(work, e)}
        found["vmap"] = {"": lambda e: vmap(work, e)}
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


def ours(work):
    """The seconds of one run of each of our programs."""
    command = shlex.split(ARGS.ours) + [work.name, "--threads", str(ARGS.threads), "--rounds", "1"]
    command += ["--quick"] if ARGS.quick else []
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    fields = [line.split("\t") for line in lines]
    return {f[1]: float(f[2]) for f in fields if len(f) == 3 and f[0] == work.name}


def measure(work):
    seconds, runs = {}, programs(work)
    for variants in runs.values():
        for run in variants.values():
            timed(run, 1)
    for number in range(ARGS.rounds):
        for program, variants in runs.items():
            for variant, run in variants.items():
                seconds.setdefault((program, variant), []).append(timed(run, work.epochs))
        for program, taken in (ours(work) if ARGS.ours else {}).items():
            seconds.setdefault((f"ours, {program}", ""), []).append(taken)
        print(f"{work.name}: round {number + 1} of {ARGS.rounds}", file=sys.stderr)
    best = {}
    for (program, variant), taken in seconds.items():
        median = statistics.median(taken)
        if program not in best or median < best[program][0]:
            best[program] = (median, min(taken), max(taken), variant)
    return best


def processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main():
    torch.manual_seed(0)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchensemble"))
    print(f"{processor()}, {ARGS.threads} threads; {versions}; {ARGS.rounds} rounds, {time.strftime('%Y-%m-%d')}\n")
    print("| | work | program | seconds (median) | range | |\n|---|---|---|---|---|---|")
    for work in works():
        if work.name in ARGS.works:
            for program, (median, low, high, variant) in measure(work).items():
                print(f"| {work.name} | {work.what} | {program} | {median:.3f} | {low:.3f}–{high:.3f} | {variant} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

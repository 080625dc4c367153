"""Reference numbers for src/train/loss_scale.rs: the scales of PyTorch's GradScaler.

    pip install torch==2.15.0
    python -P tests/reference/loss_scale.py    # -P, because PyTorch would import statistics.py of this folder
"""

import torch

w = torch.nn.Parameter(torch.zeros(()))
optimizer = torch.optim.SGD([w], 0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=1024, growth_factor=4, backoff_factor=0.25, growth_interval=2)
for finite in [True, True, True, False, True, False, False, True, True, True, True]:
    w.grad = torch.tensor(1.0 if finite else float("inf"))
    scaler.scale(torch.tensor(1.0))
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    print(finite, scaler.get_scale())

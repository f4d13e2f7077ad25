"""Makes tests/golden/data/schedules.safetensors with PyTorch's schedulers (2.15.0 made the
committed one): the learning rate of each step, and one_cycle's momentum, in float64.

    python tests/golden/make_schedule_golden.py
"""

import pathlib

import torch
from safetensors.torch import save_file
from torch.optim import lr_scheduler as schedulers

LR = 0.02
STEPS_AN_EPOCH = 7
EPOCHS = 12
# One a epoch: higher is better.
SCORES = [0.5, 0.6, 0.6, 0.55, 0.58, 0.61, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]


def rates(make, by_epoch=False, score=False):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=LR)
    scheduler = make(optimizer)
    lr = []
    for epoch in range(EPOCHS):
        for _ in range(STEPS_AN_EPOCH):
            lr.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if not by_epoch:
                scheduler.step()
        if by_epoch:
            scheduler.step(SCORES[epoch]) if score else scheduler.step()
    return torch.tensor(lr, dtype=torch.float64)


def main():
    steps = STEPS_AN_EPOCH * EPOCHS
    warm = STEPS_AN_EPOCH * 2

    def warm_cosine(optimizer):
        warmup = schedulers.LinearLR(optimizer, 1 / warm, 1.0, warm - 1)
        cosine = schedulers.CosineAnnealingLR(optimizer, steps - warm, 1e-4)
        return schedulers.SequentialLR(optimizer, [warmup, cosine], [warm])

    def cycle_values(momentum):
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.AdamW([parameter], lr=LR)
        scheduler = schedulers.OneCycleLR(optimizer, LR, total_steps=steps)
        values = []
        for step in range(steps):
            group = optimizer.param_groups[0]
            values.append(group["betas"][0] if momentum else group["lr"])
            optimizer.step()
            if step + 1 < steps:
                scheduler.step()
        return torch.tensor(values, dtype=torch.float64)

    tensors = {
        "step": rates(lambda o: schedulers.StepLR(o, 5, 0.3), by_epoch=True),
        "cosine": rates(lambda o: schedulers.CosineAnnealingLR(o, steps, 1e-4)),
        "warm_cosine": rates(warm_cosine),
        "plateau": rates(
            lambda o: schedulers.ReduceLROnPlateau(
                o, mode="max", factor=0.2, patience=2, threshold=0.0, min_lr=5e-4
            ),
            by_epoch=True,
            score=True,
        ),
        "one_cycle": cycle_values(False),
        "one_cycle.momentum": cycle_values(True),
        "scores": torch.tensor(SCORES, dtype=torch.float64),
    }
    path = pathlib.Path(__file__).parent / "data" / "schedules.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()

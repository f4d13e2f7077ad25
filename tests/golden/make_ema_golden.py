"""Makes tests/golden/data/ema.safetensors with PyTorch (2.15.0 made the committed one).

    python tests/golden/make_ema_golden.py

Ten steps of each optimizer with weight decay on the weights alone (two param groups), and the
moving average of all parameters, by PyTorch's own function with the warm-up of each step.
"""

import torch
import torch.nn.functional as F
from make_golden import Golden
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

EMA_DECAY = 0.4  # the warm-up reaches it at step 5
OPTIMIZERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.2),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=1e-3, weight_decay=0.2),
    "adam": lambda groups: torch.optim.Adam(groups, lr=1e-2, weight_decay=0.2),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.2),
}


def trajectory(golden, name, make, x, labels):
    torch.manual_seed(8)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    parameters = list(model.parameters())
    optimizer = make(
        [
            {"params": [p for p in parameters if p.ndim >= 2]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
    )
    averages = [p.detach().clone() for p in parameters]
    losses = []
    for step in range(1, 11):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(averages, [p.detach() for p in parameters], step)
    golden.add(f"{name}.losses", torch.stack(losses))
    for (key, value), average in zip(model.named_parameters(), averages):
        golden.add(f"{name}.{key}", value)
        golden.add(f"{name}.{key}.average", average)


def main():
    torch.manual_seed(16)
    golden = Golden()
    x, labels = torch.randn(10, 6), (torch.rand(10, 3) < 0.5).float()
    golden.add("x", x)
    golden.add("labels", labels)
    for name, make in OPTIMIZERS.items():
        trajectory(golden, name, make, x.double(), labels.double())
    golden.save("ema.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    main()

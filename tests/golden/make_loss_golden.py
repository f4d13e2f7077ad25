"""Makes tests/golden/data/losses.safetensors with PyTorch (2.15.0 made the committed one): the mean
losses of one batch, and their gradients by the logits.

    python tests/golden/make_loss_golden.py

focal is written as in Lin et al. 2017 (equation 5), asymmetric as in Ridnik et al. 2021 (equations
4 to 7), each from the probabilities, in float64.
"""

import pathlib

import torch
from safetensors.torch import save_file

ALPHA, GAMMA = 0.25, 2.0
GAMMA_POSITIVE, GAMMA_NEGATIVE, MARGIN = 1.0, 4.0, 0.05
SMOOTHING = 0.1


def smoothed(logits, targets):
    return torch.nn.functional.binary_cross_entropy_with_logits(
        logits, targets * (1 - SMOOTHING) + SMOOTHING / 2
    )


def focal(logits, targets):
    p = torch.sigmoid(logits)
    p_t = torch.where(targets == 1, p, 1 - p)
    alpha_t = torch.where(targets == 1, ALPHA, 1 - ALPHA)
    return (-alpha_t * (1 - p_t) ** GAMMA * torch.log(p_t)).mean()


def asymmetric(logits, targets):
    p = torch.sigmoid(logits)
    shifted = torch.clamp(p - MARGIN, min=0)
    positive = (1 - p) ** GAMMA_POSITIVE * torch.log(p)
    negative = shifted**GAMMA_NEGATIVE * torch.log(1 - shifted)
    return -(targets * positive + (1 - targets) * negative).mean()


def main():
    torch.manual_seed(11)
    logits = (torch.randn(6, 5, dtype=torch.float64) * 2).requires_grad_()
    targets = (torch.rand(6, 5) < 0.4).double()
    tensors = {"logits": logits.detach().float(), "targets": targets.float()}
    for loss in (smoothed, focal, asymmetric):
        value = loss(logits, targets)
        (gradient,) = torch.autograd.grad(value, logits)
        tensors[loss.__name__] = value.detach().float().reshape(1)
        tensors[f"{loss.__name__}.gradient"] = gradient.float()
    path = pathlib.Path(__file__).parent / "data" / "losses.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()

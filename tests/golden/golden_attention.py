"""Golden values of attention, the transformer's layers, embedding and upsampling."""

import torch
from torch import nn

from seed_transformer import positions

WIDTH, HEADS = 12, 3


def _record(golden, name, built, inputs, function):
    """Output, and the gradients of all inputs and parameters, for a random cotangent."""
    y = function(*inputs.values())
    dy = torch.randn(y.shape, dtype=torch.float32).double()
    y.backward(dy)
    golden.add(f"{name}.y", y)
    golden.add(f"{name}.dy", dy)
    for key, value in [*inputs.items(), *built.named_parameters()]:
        golden.add(f"{name}.{key}", value)
        golden.add(f"{name}.d{key}", torch.zeros_like(value) if value.grad is None else value.grad)


def _draw(**sizes):
    return {
        name: torch.randn(size, dtype=torch.float32).double().requires_grad_()
        for name, size in sizes.items()
    }


def _randomised(built):
    """Zero biases would hide one that is ignored."""
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return built.double()


def attention_layers(golden):
    torch.manual_seed(9)
    hidden = torch.tensor([[0, 0, 1, 0, 1], [1, 0, 0, 0, 0]]).bool()
    added = torch.randn(4, 5, dtype=torch.float32).double()
    added[1, 3] = -torch.inf
    golden.add("padding", hidden.int())
    golden.add("mask", added)
    sequences = dict(query=(2, 4, WIDTH), key=(2, 5, WIDTH), value=(2, 5, WIDTH))
    for name, masks in (
        ("mha", {}),
        ("mha.padding", dict(key_padding_mask=torch.zeros(2, 5).double().masked_fill(hidden, -torch.inf))),
        ("mha.mask", dict(attn_mask=added)),
        ("mha.causal", dict(attn_mask=torch.full((4, 5), -torch.inf).double().triu(1))),
    ):
        built = _randomised(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True))
        call = lambda q, k, v: built(q, k, v, need_weights=False, **masks)[0]
        _record(golden, name, built, _draw(**sequences), call)

    options = dict(d_model=WIDTH, nhead=HEADS, dim_feedforward=20, dropout=0.0, batch_first=True)
    built = _randomised(nn.TransformerEncoderLayer(**options))
    _record(golden, "encoder", built, _draw(x=(2, 7, WIDTH)), built)
    built = _randomised(nn.TransformerDecoderLayer(**options))
    _record(golden, "decoder", built, _draw(x=(2, 4, WIDTH), memory=(2, 5, WIDTH)), built)

    built = nn.Embedding(7, 4).double()
    indices = torch.tensor([[1, 6, 1], [0, 3, 1]])
    golden.add("indices", indices)
    _record(golden, "embedding", built, {}, lambda: built(indices))
    built = nn.Upsample(scale_factor=3)
    _record(golden, "upsample", built, _draw(x=(2, 5, 4)), built)
    golden.add("positions", positions(9, WIDTH + 1))


def attention_initial_values(golden):
    """Two layers each, so that the order of the draws counts."""
    torch.manual_seed(10)
    for name, built in (
        ("attention.mha", nn.MultiheadAttention(WIDTH, HEADS)),
        ("attention.encoder", nn.TransformerEncoderLayer(WIDTH, HEADS, 20)),
        ("attention.decoder", nn.TransformerDecoderLayer(WIDTH, HEADS, 20)),
        ("attention.embedding", nn.Embedding(7, 5)),
        ("attention.last", nn.Linear(5, 2)),
    ):
        for key, value in built.named_parameters():
            golden.add(f"{name}.{key}", value)

"""The seed's transformer for any length and batch, in PyTorch: the golden values' and the peer's."""

import torch
import torch.nn.functional as F
from torch import nn

NOTE_TOKENS = 8


class Stack(nn.Module):
    """Layers in a row; each draws initial values of its own."""

    def __init__(self, kind, layers, **options):
        super().__init__()
        self.layers = nn.ModuleList(kind(batch_first=True, **options) for _ in range(layers))

    def forward(self, x, *memory):
        for layer in self.layers:
            x = layer(x, *memory)
        return x


def positions(length, width):
    """Vaswani et al. 2017, section 3.5."""
    t = torch.arange(length, dtype=torch.float64)[:, None]
    angles = t / 10000 ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width]


class SeedTransformer(nn.Module):
    def __init__(self, length, reads=("signal", "notes"), leads=12, classes=5, layers=6, heads=12,
                 width=120, feedforward=480, token_stride=4, levels=256, amplitude=4.0, dropout=0.0):
        super().__init__()
        stack = dict(layers=layers, d_model=width, nhead=heads, dim_feedforward=feedforward, dropout=dropout)
        self.embedding = nn.Embedding(leads * levels, width // leads)
        self.encoder = Stack(nn.TransformerEncoderLayer, **stack)
        self.fc_emb = nn.Linear(768, NOTE_TOKENS * width)
        self.decoder = Stack(nn.TransformerDecoderLayer, **stack)
        self.conv1 = nn.Conv1d(width, 64, 3, padding=1)
        self.conv2 = nn.Conv1d(64, 32, 3, padding=1)
        self.fc = nn.Linear(32, classes)
        self.reads, self.stride, self.levels, self.amplitude = reads, token_stride, levels, amplitude
        self.register_buffer("positions", positions(length // token_stride, width), persistent=False)
        self.register_buffer("rows", levels * torch.arange(leads), persistent=False)

    def forward(self, signal, notes):
        where = self.positions.to(notes.dtype)
        if "signal" in self.reads:
            x = F.avg_pool1d(signal, self.stride).transpose(1, 2)
            level = ((x + self.amplitude) * (self.levels / (2 * self.amplitude))).floor()
            rows = level.clamp(0, self.levels - 1).long() + self.rows
            memory = self.encoder(self.embedding(rows).flatten(2) + where)
        else:
            memory = where.expand(len(notes), *where.shape)
        tokens = self.fc_emb(notes if "notes" in self.reads else torch.zeros_like(notes))
        x = self.decoder(tokens.unflatten(1, (NOTE_TOKENS, -1)), memory).transpose(1, 2)
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.fc(x.mean(2))

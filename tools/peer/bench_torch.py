"""Training steps of the seed's models: cardiograd against PyTorch on the CPU, in turns.

    python tools/peer/bench_torch.py build/release/cardiograd [--threads 2] [--rounds 5] [--models cnn transformer]

Each round times PyTorch, then `cardiograd bench`, on random records of the same shapes; the table
(Markdown, for docs/performance.md) holds the medians and their ratio. Leave the machine alone
meanwhile. Needs torch from PyPI; for development only.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
import torch.nn.functional as F

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/golden"))
from seed_transformer import SeedTransformer  # noqa: E402


class SeedCnn(nn.Module):
    def __init__(self, fusion=None):
        super().__init__()
        self.conv1 = nn.Conv1d(12, 16, 7)
        self.conv2 = nn.Conv1d(16, 32, 5)
        self.conv3 = nn.Conv1d(32, 48, 3)
        self.fc0 = nn.Linear(5856, 512)
        self.fc1 = nn.Linear(512, 128)
        self.fc2 = nn.Linear(128, 5)
        self.fusion = fusion
        if fusion:
            self.fc_emb = nn.Linear(768, 128)
            self.norm, self.norm1, self.norm2 = (nn.LayerNorm(128) for _ in range(3))
        if fusion in ("att", "sum_att"):
            self.attention = nn.MultiheadAttention(128, 8, batch_first=True)

    def forward(self, signal, notes):
        x = signal
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool1d(F.relu(conv(x)), 2)
        x = F.relu(self.fc0(x.flatten(1)))
        x = F.relu(self.fc1(x))
        if self.fusion == "att":
            query, memory = self.norm2(F.relu(self.fc_emb(notes)))[:, None], self.norm1(x)[:, None]
            x = self.attention(query, memory, memory, need_weights=False)[0][:, 0]
        elif self.fusion:
            x = self.norm(x + F.relu(self.fc_emb(notes)))
        if self.fusion == "sum_att":
            x = x[:, None]
            x = self.attention(x, x, x, need_weights=False)[0][:, 0]
        return self.fc2(x)


class SeedRnn(nn.Module):
    def __init__(self, notes):
        super().__init__()
        self.lstm = nn.LSTM(12, 64, 2, batch_first=True)
        self.fc1 = nn.Linear(64, 768 if notes else 64)
        self.fc2 = nn.Linear(768 if notes else 64, 5)
        self.notes = notes
        if notes:
            self.lnorm_out, self.lnorm_embed = nn.LayerNorm(768), nn.LayerNorm(768)

    def forward(self, signal, notes):
        x = self.fc1(self.lstm(signal)[0][:, -1])
        return self.fc2(self.lnorm_out(x) + self.lnorm_embed(notes) if self.notes else F.relu(x))


def peer_model(name, dropout):
    if name == "transformer":
        return SeedTransformer(1000, dropout=dropout)
    if name.endswith("rnn"):
        return SeedRnn(name.startswith("mm"))
    return SeedCnn(name.removeprefix("mmcnn_") if name != "cnn" else None)


class TorchStep:
    def __init__(self, model, batch, compiled, dropout):
        self.model = peer_model(model, dropout)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=1e-4)
        self.signal = torch.randn(batch, *((1000, 12) if model.endswith("rnn") else (12, 1000))) * 0.25
        self.notes = torch.randn(batch, 768) * 0.036
        self.labels = (torch.rand(batch, 5) < 0.25).float()
        self.batch = batch

    def run(self):
        self.optimizer.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(self.forward(self.signal, self.notes), self.labels).backward()
        self.optimizer.step()

    def samples_per_second(self, steps):
        for _ in range(2):
            self.run()
        begin = time.perf_counter()
        for _ in range(steps):
            self.run()
        return self.batch * steps / (time.perf_counter() - begin)


def cardiograd_round(program, model, arguments):
    dropout = arguments.dropout if model == "transformer" else 0.0
    command = [program, "bench", "--model", model, "--batch", str(arguments.batch), "--threads",
               str(arguments.threads), "--steps", str(arguments.steps), "--rounds", "1", "--dropout", str(dropout),
               "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["cnn", "mmcnn_sum", "rnn", "mmrnn"],
                        choices=["cnn", "mmcnn_sum", "mmcnn_att", "mmcnn_sum_att", "rnn", "mmrnn", "transformer"])
    parser.add_argument("--dropout", type=float, default=0.0, help="of the transformer")
    parser.add_argument("--compile", action="store_true", help="torch.compile as a third column")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(f"PyTorch {torch.__version__}, batch {arguments.batch}, {arguments.threads} threads, "
          f"{arguments.rounds} rounds of {arguments.steps} steps, medians")
    print("| model | PyTorch samples/s | cardiograd samples/s | ratio | share of FMA peak |"
          + (" compiled samples/s |" if arguments.compile else ""))
    print("|---|---|---|---|---|" + ("---|" if arguments.compile else ""))
    for model in arguments.models:
        peer = TorchStep(model, arguments.batch, False, arguments.dropout)
        compiled = None
        if arguments.compile:
            compiled = TorchStep(model, arguments.batch, True, arguments.dropout)
        torch_rates, our_rates, shares, compiled_rates = [], [], [], []
        for _ in range(arguments.rounds):
            torch_rates.append(peer.samples_per_second(arguments.steps))
            ours = cardiograd_round(arguments.program, model, arguments)
            our_rates.append(ours["samples_per_second"])
            shares.append(ours["share_of_peak"])
            if compiled:
                compiled_rates.append(compiled.samples_per_second(arguments.steps))
        torch_rate, our_rate = statistics.median(torch_rates), statistics.median(our_rates)
        row = (f"| `{model}` | {torch_rate:.0f} | {our_rate:.0f} | {our_rate / torch_rate:.2f} "
               f"| {100 * statistics.median(shares):.0f} % |")
        if compiled:
            row += f" {statistics.median(compiled_rates):.0f} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()

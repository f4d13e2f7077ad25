"""Training steps of the seed's models: cardiograd against PyTorch, in turns.

    python tools/peer/bench_torch.py build/release/cardiograd [--threads 2] [--rounds 5] [--models cnn transformer]
    python tools/peer/bench_torch.py ./cardiograd --device cuda --precision fp32 tf32 bf16 --modes eager compile graph

Each round times PyTorch, then `cardiograd bench`, on random records of the same shapes; the table
(Markdown, for docs/performance.md and docs/gpu-results.md) holds the medians and their ratio. Leave
the machine alone meanwhile. Needs torch from PyPI; for development only.

On a GPU the batch is in its memory before the clock starts, for both. PyTorch's modes there: eager;
compile: torch.compile, mode max-autotune; graph: the whole eager step captured in one CUDA graph and
replayed. Its fp32 is without TF32, as ours; its tf32 lets cuBLAS and cuDNN round f32 factors; its bf16 is
autocast with float32 parameters.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

try:
    import torch
    from torch import nn
    import torch.nn.functional as F
except ModuleNotFoundError:
    sys.exit("bench_torch.py: PyTorch is not installed in this Python: pip install torch")

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
        self.fc2 = nn.Linear(256 if fusion == "cat" else 128, 5)
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
        elif self.fusion == "cat":
            x = torch.cat([x, F.relu(self.fc_emb(notes))], 1)
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
    def __init__(self, model, mode, precision, arguments):
        device = torch.device(arguments.device)
        self.cuda = device.type == "cuda"
        self.model = peer_model(model, arguments.dropout if model == "transformer" else 0.0).to(device)
        self.forward = self.model
        if mode == "compile":
            self.forward = torch.compile(self.model, mode="max-autotune" if self.cuda else None)
        # What a captured step needs: the optimizer's state on the device.
        options = {"capturable": True} if self.cuda else {}
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=1e-4, **options)
        batch = arguments.batch
        signal = (1000, 12) if model.endswith("rnn") else (12, 1000)
        self.signal = torch.randn(batch, *signal, device=device) * 0.25
        self.notes = torch.randn(batch, 768, device=device) * 0.036
        self.labels = (torch.rand(batch, 5, device=device) < 0.25).float()
        self.batch = batch
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        self.step = self.run
        if mode == "graph":
            self.capture()

    def run(self):
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast:
            logits = self.forward(self.signal, self.notes)
        F.binary_cross_entropy_with_logits(logits.float(), self.labels).backward()
        self.optimizer.step()

    def capture(self):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self.run()
        self.step = graph.replay

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def samples_per_second(self, steps):
        for _ in range(10 if self.cuda else 2):
            self.step()
        self.wait()
        begin = time.perf_counter()
        for _ in range(steps):
            self.step()
        self.wait()
        return self.batch * steps / (time.perf_counter() - begin)


def cardiograd_round(model, precision, arguments):
    dropout = arguments.dropout if model == "transformer" else 0.0
    command = [arguments.program, "bench", "--model", model, "--batch", str(arguments.batch), "--threads",
               str(arguments.threads), "--steps", str(arguments.steps), "--rounds", "1", "--dropout", str(dropout),
               "--device", arguments.device, "--precision", precision, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"cardiograd bench ended with {done.returncode}")
    return json.loads(done.stdout)


def compare(model, precision, arguments):
    """The row of one model: medians of PyTorch in each mode, of cardiograd, and the ratios."""
    if arguments.device != "cpu":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    peers, torch_rates, failed = {}, {mode: [] for mode in arguments.modes}, {}
    for mode in arguments.modes:
        # One mode that PyTorch cannot do must not cost the others.
        try:
            peers[mode] = TorchStep(model, mode, precision, arguments)
            peers[mode].samples_per_second(1)
        except Exception as error:
            failed[mode] = type(error).__name__
            print(f"PyTorch, {mode}, {model}: {error}", file=sys.stderr)
            peers.pop(mode, None)
    our_rates, shares = [], []
    for _ in range(arguments.rounds):
        for mode, peer in peers.items():
            torch_rates[mode].append(peer.samples_per_second(arguments.steps))
        ours = cardiograd_round(model, precision, arguments)
        our_rates.append(ours["samples_per_second"])
        shares.append(ours["share_of_peak"])
    our_rate = statistics.median(our_rates)
    medians = {mode: statistics.median(rates) for mode, rates in torch_rates.items() if rates}
    cells = [f"{medians[mode]:.0f}" if mode in medians else failed[mode] for mode in arguments.modes]
    eager = medians.get("eager")
    best = max(medians.values()) if medians else None
    ratios = [f"{our_rate / rate:.2f}" if rate else "-" for rate in (eager, best)]
    row = [f"`{model}`", precision, *cells, f"{our_rate:.0f}", *ratios]
    if arguments.device == "cpu":
        row.append(f"{100 * statistics.median(shares):.0f} %")
    return "| " + " | ".join(row) + " |"


def check(arguments, parser):
    if arguments.device == "cpu":
        if "graph" in arguments.modes or arguments.precision != ["fp32"]:
            parser.error("the mode graph and the precisions tf32 and bf16 need --device cuda")
        torch.set_num_threads(arguments.threads)
        return f"{arguments.threads} threads"
    if not torch.cuda.is_available():
        sys.exit("bench_torch.py: no CUDA device can be used by this PyTorch")
    torch.cuda.set_device(torch.device(arguments.device))
    torch.backends.cudnn.benchmark = True
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "tf32", "bf16"])
    parser.add_argument("--modes", nargs="+", default=["eager"], choices=["eager", "compile", "graph"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["cnn", "mmcnn_sum", "rnn", "mmrnn"],
                        choices=["cnn", "mmcnn_sum", "mmcnn_cat", "mmcnn_att", "mmcnn_sum_att", "rnn", "mmrnn",
                                 "transformer"])
    parser.add_argument("--dropout", type=float, default=0.0, help="of the transformer")
    parser.add_argument("--compile", action="store_true", help="short for --modes eager compile")
    arguments = parser.parse_args()
    if arguments.compile and "compile" not in arguments.modes:
        arguments.modes.append("compile")
    machine = check(arguments, parser)
    torch.manual_seed(0)
    print(f"PyTorch {torch.__version__}, {machine}, batch {arguments.batch}, "
          f"{arguments.rounds} rounds of {arguments.steps} steps, medians of samples/s")
    columns = ["model", "precision", *(f"PyTorch {mode}" for mode in arguments.modes), "cardiograd", "to eager",
               "to its best"]
    if arguments.device == "cpu":
        columns.append("share of FMA peak")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for model in arguments.models:
        for precision in arguments.precision:
            try:
                print(compare(model, precision, arguments), flush=True)
            except RuntimeError as error:
                print(f"| `{model}` | {precision} | {error} |", flush=True)


if __name__ == "__main__":
    main()

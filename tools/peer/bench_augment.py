"""Augmented batches: cardiograd against the seed's way of making them in PyTorch, in turns.

    python tools/peer/bench_augment.py build/release/cardiograd [--threads 2] [--rounds 5]

The seed's way: a Dataset that takes one record after the other, adds noise scaled by each lead's
standard deviation, and with probability 0.3 walks over the samples and zeroes windows; a DataLoader
that collates the records, with 0 and with 2 workers, of which the faster one counts. Both sides
hold their records in memory and hand out float32 batches. The table (Markdown) holds medians. Leave
the machine alone meanwhile. Needs torch from PyPI; for development only.
"""

import argparse
import json
import random
import statistics
import subprocess
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

RATE = 100
LEADS = 12


class SeedAugmented(Dataset):
    def __init__(self, signals, labels, snr=0.01, mask=0.3):
        self.signals = signals  # [records, leads, samples], mV
        self.labels = labels
        self.snr = snr
        self.mask = mask

    def __len__(self):
        return len(self.signals)

    def __getitem__(self, index):
        signal = self.signals[index]
        deviation = signal.std(dim=1, keepdim=True, unbiased=False)
        signal = signal + torch.randn_like(signal) * (self.snr * deviation)
        if random.random() < self.mask:
            self.mask_windows(signal)
        return signal, self.labels[index]

    @staticmethod
    def mask_windows(signal, share=0.15, shortest=0.08, longest=0.18):
        narrow, wide = round(shortest * RATE), round(longest * RATE)
        for sample in range(signal.shape[1]):
            if random.random() < share / wide:
                signal[:, sample:sample + random.randint(narrow, wide)] = 0


def torch_cost(dataset, batch, workers, batches):
    """Microseconds a record, over whole passes; starting the workers is not counted."""
    loader = DataLoader(dataset, batch_size=batch, shuffle=True, num_workers=workers,
                        persistent_workers=workers > 0)
    for _ in loader:  # starts the workers
        pass
    records = 0
    begin = time.perf_counter()
    while records < batch * batches:
        for signal, _ in loader:
            records += len(signal)
    return 1e6 * (time.perf_counter() - begin) / records


def cardiograd_costs(program, arguments):
    command = [program, "bench", "--augment", "--batch", str(arguments.batch), "--threads",
               str(arguments.threads), "--steps", str(10 * arguments.batches), "--rounds", "1", "--json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)["us_per_record"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, default=8, help="batches a round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = np.random.default_rng(0)
    samples = generator.normal(0.0, 0.25, (4 * arguments.batch, LEADS, 10 * RATE))
    dataset = SeedAugmented(torch.from_numpy(samples.astype(np.float32)),
                            torch.zeros(len(samples), 5))
    peers = {0: [], 2: []}
    ours = {"none": [], "seed": [], "all": []}
    for _ in range(arguments.rounds):
        for workers, costs in peers.items():
            costs.append(torch_cost(dataset, arguments.batch, workers, arguments.batches))
        for name, cost in cardiograd_costs(arguments.program, arguments).items():
            ours[name].append(cost)
    medians = {f"PyTorch, {w} workers": statistics.median(c) for w, c in peers.items()}
    medians.update({f"cardiograd, {n}": statistics.median(c) for n, c in ours.items()})
    print(f"PyTorch {torch.__version__}, batches of {arguments.batch} x {10 * RATE} x {LEADS}, "
          f"{arguments.threads} threads, {arguments.rounds} rounds of {arguments.batches} batches")
    print("| batches | us a record |\n|---|---|")
    for name, cost in medians.items():
        print(f"| {name} | {cost:.1f} |")
    best = min(statistics.median(costs) for costs in peers.values())
    print(f"\nratio, the seed's noise and masks: {best / statistics.median(ours['seed']):.1f}")


if __name__ == "__main__":
    main()

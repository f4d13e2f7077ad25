"""Makes tests/golden/data/dcgan.safetensors with PyTorch (2.15.0 made the committed one).

    python tests/golden/make_dcgan_golden.py

Generator and critic take turns for eight steps. The weights are not stored: they are the initial
values of seed 7, the generator's drawn first.
"""

import torch
import torch.nn.functional as F
from make_golden import Golden
from torch import nn

LENGTH = 60  # 8 coarse steps make 64 samples: the last 4 are cut off
LATENT = 5
BATCH = 6
STEPS = 8


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(LATENT, 64, batch_first=True)
        self.conv1 = nn.Conv1d(64, 64, 9, padding=4)
        self.conv2 = nn.Conv1d(64, 32, 9, padding=4)
        self.conv3 = nn.Conv1d(32, 16, 9, padding=4)
        self.conv4 = nn.Conv1d(16, 12, 9, padding=4)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm1d(64), nn.BatchNorm1d(32), nn.BatchNorm1d(16)

    def forward(self, noise):
        x = self.lstm(noise)[0].transpose(1, 2)
        for stage in "123":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.relu(getattr(self, "bn" + stage)(getattr(self, "conv" + stage)(x)))
        return self.conv4(x)[:, :, :LENGTH]


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(12, 32, 9, stride=2, padding=4)
        self.conv2 = nn.Conv1d(32, 64, 9, stride=2, padding=4)
        self.conv3 = nn.Conv1d(64, 128, 9, stride=2, padding=4)
        self.bn2, self.bn3 = nn.BatchNorm1d(64), nn.BatchNorm1d(128)
        self.fc = nn.Linear(128 * 8, 1)  # 60 -> 30 -> 15 -> 8

    def forward(self, signal):
        x = F.leaky_relu(self.conv1(signal), 0.2)
        x = F.leaky_relu(self.bn2(self.conv2(x)), 0.2)
        x = F.leaky_relu(self.bn3(self.conv3(x)), 0.2)
        return self.fc(x.flatten(1))


def judge(logits, real):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(3)
    golden = Golden()
    signal = torch.randn(BATCH, 12, LENGTH)
    noise = torch.randn(STEPS, BATCH, 8, LATENT)
    golden.add("signal", signal)
    golden.add("noise", noise)
    signal, noise = signal.double(), noise.double()
    torch.manual_seed(7)
    generator, critic = Generator(), Critic()
    generator, critic = generator.double(), critic.double()
    with torch.no_grad():
        golden.add("generated_eval", generator.eval()(noise[0]))
        golden.add("logits_eval", critic.eval()(signal))
    generator.train()
    critic.train()
    optimizers = [
        torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in (critic, generator)
    ]
    losses = []
    for step in range(STEPS):
        for turn, optimizer in enumerate(optimizers):
            optimizer.zero_grad()
            made = generator(noise[step])
            if turn == 0:
                loss = judge(critic(signal), True) + judge(critic(made.detach()), False)
            else:
                loss = judge(critic(made), True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    golden.add("losses", torch.stack(losses))
    golden.save("dcgan.safetensors")


if __name__ == "__main__":
    main()

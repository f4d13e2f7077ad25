"""Makes the golden values of tests/golden/data with PyTorch (2.15.0 made the committed ones).

    python tests/golden/make_golden.py

Values are computed in float64 from float32 inputs and weights, then stored as float32, so that a
difference is the rounding of the code under test alone. Sequences keep PyTorch's layout,
[batch, channels, time]; the tests turn them round. Running it again with the same PyTorch gives the
same files.
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from golden_attention import attention_initial_values, attention_layers
from seed_transformer import SeedTransformer

FOLDER = pathlib.Path(__file__).parent / "data"


def draw(*sizes):
    """Float32 values as float64, which require a gradient."""
    return torch.randn(sizes, dtype=torch.float32).double().requires_grad_()


class Golden:
    """The tensors of one file, by name."""

    def __init__(self):
        self.tensors = {}

    def add(self, name, tensor):
        dtype = torch.float32 if tensor.is_floating_point() else torch.int32
        self.tensors[name] = tensor.detach().to(dtype).contiguous().clone()

    def save(self, name):
        FOLDER.mkdir(exist_ok=True)
        save_file(self.tensors, FOLDER / name)
        (FOLDER / name).chmod(0o644)


# ---- Layers ------------------------------------------------------------------------------------


def layer(golden, name, function, x, parameters=()):
    """Output and all gradients of `function` for a random cotangent."""
    y = function(x)
    dy = draw(*y.shape).detach()
    y.backward(dy)
    for key, value in (("x", x), ("y", y), ("dy", dy), ("dx", x.grad)):
        golden.add(f"{name}.{key}", value)
    for key, parameter in parameters:
        golden.add(f"{name}.{key}", parameter)
        golden.add(f"{name}.d{key}", parameter.grad)


def module(golden, name, built, x):
    built = built.double()
    layer(golden, name, built, x, list(built.named_parameters()))


# name: inputs, outputs, kernel, stride, padding, dilation, groups, bias, length
CONVOLUTIONS = {
    "conv.plain": (3, 5, 3, 1, 0, 1, 1, True, 11),
    "conv.pointwise": (6, 4, 1, 1, 0, 1, 1, True, 9),
    "conv.stride": (12, 8, 7, 2, 3, 1, 1, True, 20),
    "conv.dilation": (4, 6, 3, 1, 4, 4, 1, True, 17),
    "conv.groups": (4, 6, 5, 1, 2, 1, 2, True, 13),
    "conv.depthwise": (8, 8, 39, 1, 19, 1, 8, True, 30),
    "conv.all": (6, 9, 4, 3, 2, 2, 3, True, 23),
    "conv.no_bias": (3, 4, 5, 2, 1, 1, 1, False, 12),
}


def convolutions(golden):
    for name, (ci, co, k, stride, padding, dilation, groups, bias, length) in CONVOLUTIONS.items():
        built = nn.Conv1d(ci, co, k, stride, padding, dilation, groups, bias)
        module(golden, name, built, draw(3, ci, length))
    built = nn.Conv1d(12, 16, 7).double()
    fused = lambda x: F.max_pool1d(F.relu(built(x)), 2)
    layer(golden, "conv.relu_maxpool", fused, draw(2, 12, 31), list(built.named_parameters()))


def normalisations(golden):
    module(golden, "layer_norm", _randomised(nn.LayerNorm(10)), draw(3, 4, 10))
    module(golden, "layer_norm.eps", _randomised(nn.LayerNorm(7, eps=0.1)), draw(5, 7))
    for name, sizes in (("batch_norm.rows", (12, 5)), ("batch_norm.sequence", (4, 6, 9))):
        built = _randomised(nn.BatchNorm1d(sizes[1], eps=1e-3, momentum=0.3)).double()
        built(draw(*sizes) * 2 + 1)  # running statistics of its own
        for buffer, value in built.named_buffers():
            if value.is_floating_point():
                value.copy_(value.float())
            golden.add(f"{name}.before.{buffer}", value)
        built.train()
        layer(golden, f"{name}.train", built, draw(*sizes), list(built.named_parameters()))
        for buffer, value in built.named_buffers():
            golden.add(f"{name}.after.{buffer}", value)
            if value.is_floating_point():
                value.copy_(value.float())
        built.zero_grad()
        built.eval()
        layer(golden, f"{name}.eval", built, draw(*sizes), list(built.named_parameters()))


def _randomised(built):
    """Ones and zeros would hide a parameter that is ignored."""
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return built


def poolings(golden):
    for name, built, sizes in (
        ("max_pool", nn.MaxPool1d(2), (3, 4, 11)),
        ("max_pool.overlap", nn.MaxPool1d(3, 2, 1), (2, 5, 12)),
        ("avg_pool", nn.AvgPool1d(2), (3, 4, 11)),
        ("avg_pool.overlap", nn.AvgPool1d(5, 3, 2), (2, 5, 14)),
        ("adaptive.one", nn.AdaptiveAvgPool1d(1), (3, 4, 12)),
        ("adaptive.down", nn.AdaptiveAvgPool1d(5), (2, 3, 17)),
        ("adaptive.up", nn.AdaptiveAvgPool1d(7), (2, 3, 5)),
    ):
        layer(golden, name, built, draw(*sizes))


def activations(golden):
    for name, function in (
        ("relu", F.relu),
        ("leaky_relu", F.leaky_relu),
        ("leaky_relu.steep", lambda x: F.leaky_relu(x, 0.2)),
        ("sigmoid", torch.sigmoid),
        ("tanh", torch.tanh),
        ("gelu", F.gelu),
        ("gelu.tanh", lambda x: F.gelu(x, approximate="tanh")),
        ("softmax", lambda x: F.softmax(x, -1)),
    ):
        x = (draw(6, 9).detach() * 3).float().double().requires_grad_()
        layer(golden, name, function, x)


def losses(golden):
    logits = (draw(7, 5).detach() * 4).float().double()
    targets = (torch.rand(7, 5) < 0.4).double()
    targets[0] = torch.rand(5).double()  # soft labels are legal
    targets = targets.float().double()
    weight = (torch.rand(5) * 3 + 0.5).double()
    golden.add("bce.logits", logits)
    golden.add("bce.targets", targets)
    golden.add("bce.pos_weight", weight)
    for suffix, pos_weight in (("", None), (".weighted", weight)):
        for reduction in ("none", "mean", "sum"):
            x = logits.clone().requires_grad_()
            loss = nn.BCEWithLogitsLoss(pos_weight=pos_weight, reduction=reduction)(x, targets)
            dy = draw(*loss.shape).detach()
            loss.backward(dy)
            name = f"bce.{reduction}{suffix}"
            golden.add(f"{name}.y", loss)
            golden.add(f"{name}.dy", dy)
            golden.add(f"{name}.dx", x.grad)


def layers():
    torch.manual_seed(1)
    golden = Golden()
    convolutions(golden)
    module(golden, "linear", nn.Linear(13, 6), draw(5, 13))
    module(golden, "linear.no_bias", nn.Linear(4, 3, bias=False), draw(5, 4))
    module(golden, "linear.sequence", nn.Linear(7, 5), draw(2, 6, 7))
    normalisations(golden)
    poolings(golden)
    activations(golden)
    losses(golden)
    golden.save("layers.safetensors")
    golden = Golden()
    attention_layers(golden)
    golden.save("attention.safetensors")


def recurrent():
    """Sequences are [batch, time, channels] here; `.last` is h_n of the last layer's directions."""
    torch.manual_seed(9)
    golden = Golden()
    for name, options, inputs, hidden in (
        ("lstm", {}, 5, 4),
        ("lstm.bidirectional", dict(bidirectional=True), 3, 5),
        ("lstm.layers", dict(num_layers=2), 12, 16),
        ("lstm.both", dict(num_layers=2, bidirectional=True), 4, 7),
    ):
        built = nn.LSTM(inputs, hidden, batch_first=True, **options).double()
        directions = 2 if built.bidirectional else 1
        x = draw(3, 9, inputs)
        outputs = {
            "": lambda x: built(x)[0],
            ".last": lambda x: built(x)[1][0][-directions:].transpose(0, 1).flatten(1),
        }
        for suffix, function in outputs.items():
            x.grad = None
            built.zero_grad()
            layer(golden, name + suffix, function, x, list(built.named_parameters()))
    golden.save("recurrent.safetensors")


# ---- The seed's models -------------------------------------------------------------------------


class SeedCnn(nn.Module):
    """The seed's convolutional models; `fusion` is None, "sum", "cat", "att" or "sum_att"."""

    def __init__(self, length, fusion=None, batch_norm=False, reads=("signal", "notes")):
        super().__init__()
        self.conv1 = nn.Conv1d(12, 16, 7)
        self.conv2 = nn.Conv1d(16, 32, 5)
        self.conv3 = nn.Conv1d(32, 48, 3)
        for kernel in (7, 5, 3):
            length = (length - kernel + 1) // 2
        self.fc0 = nn.Linear(48 * length, 512)
        self.fc1 = nn.Linear(512, 128)
        self.fc2 = nn.Linear(256 if fusion == "cat" else 128, 5)
        self.fusion = fusion
        if fusion:
            self.fc_emb = nn.Linear(768, 128)
        if fusion == "att":
            self.norm1, self.norm2 = nn.LayerNorm(128), nn.LayerNorm(128)
        elif fusion:
            self.norm = nn.LayerNorm(128)
        if fusion in ("att", "sum_att"):
            self.attention = nn.MultiheadAttention(128, 8, batch_first=True)
        self.reads = reads
        self.batch_norm = batch_norm
        if batch_norm:
            self.bn1, self.bn2, self.bn3 = nn.BatchNorm1d(16), nn.BatchNorm1d(32), nn.BatchNorm1d(48)

    def forward(self, signal, notes):
        x = self.features(signal) if "signal" in self.reads else notes.new_zeros(len(notes), 128)
        if self.fusion:
            read = "notes" in self.reads
            embedding = F.relu(self.fc_emb(notes)) if read else torch.zeros_like(x)
            x = self.fuse(x, embedding)
        return self.fc2(x)

    def fuse(self, x, embedding):
        if self.fusion == "cat":
            return torch.cat([x, embedding], 1)
        if self.fusion == "att":
            query, memory = self.norm2(embedding)[:, None], self.norm1(x)[:, None]
            return self.attention(query, memory, memory)[0][:, 0]
        x = self.norm(x + embedding)
        if self.fusion == "sum":
            return x
        return self.attention(x[:, None], x[:, None], x[:, None])[0][:, 0]

    def features(self, signal):
        x = signal
        for stage in ("1", "2", "3"):
            x = getattr(self, "conv" + stage)(x)
            if self.batch_norm:
                x = getattr(self, "bn" + stage)(x)
            x = F.max_pool1d(F.relu(x), 2)
        return F.relu(self.fc1(F.relu(self.fc0(x.flatten(1)))))


class SeedRnn(nn.Module):
    """The seed's recurrent models, from a zero state."""

    def __init__(self, notes):
        super().__init__()
        self.lstm = nn.LSTM(12, 64, 2, batch_first=True)
        self.fc1 = nn.Linear(64, 768 if notes else 64)
        self.fc2 = nn.Linear(768 if notes else 64, 5)
        self.notes = notes
        if notes:
            self.lnorm_out, self.lnorm_embed = nn.LayerNorm(768), nn.LayerNorm(768)

    def forward(self, signal, notes):
        x = self.fc1(self.lstm(signal.transpose(1, 2))[0][:, -1])
        return self.fc2(self.lnorm_out(x) + self.lnorm_embed(notes) if self.notes else F.relu(x))


MODELS = {
    "cnn": dict(),
    "mmcnn_sum": dict(fusion="sum"),
    "mmcnn_cat": dict(fusion="cat"),
    "cnn.batch_norm": dict(batch_norm=True),
    "mmcnn_sum.batch_norm": dict(fusion="sum", batch_norm=True),
    "mmcnn_sum.signal": dict(fusion="sum", reads=("signal",)),
    "mmcnn_sum.notes": dict(fusion="sum", reads=("notes",)),
    "mmcnn_att": dict(fusion="att"),
    "mmcnn_sum_att": dict(fusion="sum_att"),
    "transformer": dict(kind=SeedTransformer),
    "transformer.signal": dict(kind=SeedTransformer, reads=("signal",)),
    "transformer.notes": dict(kind=SeedTransformer, reads=("notes",)),
}
RECURRENT = {"rnn": False, "mmrnn": True}
GRADIENTS = """
    conv1.weight conv2.weight conv3.bias fc1.bias fc2.weight fc_emb.bias norm.weight norm1.weight attention.out_proj.bias
    encoder.layers.0.linear1.bias encoder.layers.5.norm2.weight encoder.layers.2.self_attn.out_proj.bias
    decoder.layers.0.norm1.bias decoder.layers.3.multihead_attn.out_proj.bias fc.weight conv2.bias
    lstm.weight_ih_l0 lstm.weight_hh_l1 lstm.bias_hh_l0
""".split()
LENGTH = 60
STEPS = 12


def seeded_model(name):
    """With the initial values of seed 7."""
    torch.manual_seed(7)
    if name in RECURRENT:
        return SeedRnn(RECURRENT[name])
    options = dict(MODELS[name])
    return options.pop("kind", SeedCnn)(LENGTH, **options)


def models():
    """The weights are not stored: they are the initial values of seed 7, bit by bit."""
    torch.manual_seed(2)
    golden = Golden()
    signal, notes = torch.randn(6, 12, LENGTH), torch.randn(6, 768)
    labels = (torch.rand(6, 5) < 0.4).float()
    for name, tensor in (("signal", signal), ("notes", notes), ("labels", labels)):
        golden.add(name, tensor)
    signal, notes, labels = signal.double(), notes.double(), labels.double()
    for name in [*MODELS, *RECURRENT]:
        model = seeded_model(name).double()
        model.eval()
        golden.add(f"{name}.logits_eval", model(signal, notes))
        model.train()
        # Twelve layers amplify rounding: at 1e-4, PyTorch's float32 leaves its float64 within 12 steps.
        lr = 1e-5 if name.startswith("transformer") else 1e-4
        golden.add(f"{name}.lr", torch.tensor(lr))
        optimizer = torch.optim.RMSprop(model.parameters(), lr=lr)
        losses = []
        for step in range(STEPS):
            optimizer.zero_grad()
            logits = model(signal, notes)
            loss = F.binary_cross_entropy_with_logits(logits, labels)
            loss.backward()
            if step == 0:
                golden.add(f"{name}.logits_train", logits)
                # Ahead of a BatchNorm a convolution's bias, in mmcnn_att all of the notes' branch, has no
                # gradient but rounding.
                parameters = dict(model.named_parameters())
                for key in GRADIENTS:
                    gradient = parameters[key].grad if key in parameters else None
                    if gradient is not None and gradient.abs().max() > 1e-12 and gradient.numel() < 20000:
                        golden.add(f"{name}.grad.{key}", gradient)
            optimizer.step()
            losses.append(loss.detach())
        golden.add(f"{name}.losses", torch.stack(losses))
        model.eval()
        golden.add(f"{name}.logits_after", model(signal, notes))
    golden.save("models.safetensors")


# ---- Initial values ----------------------------------------------------------------------------


def checksum(tensor):
    """The sum over i of (2 i + 1) times the bits of element i, modulo 2^64: low and high half."""
    bits = tensor.detach().float().contiguous().flatten().numpy().view(np.uint32).astype(np.uint64)
    odd = 2 * np.arange(bits.size, dtype=np.uint64) + 1
    halves = np.array([(bits * odd).sum(dtype=np.uint64)]).view(np.int32)
    return torch.from_numpy(halves.copy())


def initial_values():
    golden = Golden()
    torch.manual_seed(3)
    row = {
        "row.conv": nn.Conv1d(3, 4, 5),
        "row.linear": nn.Linear(7, 3),
        "row.groups": nn.Conv1d(6, 9, 3, groups=3),
        "row.no_bias": nn.Conv1d(2, 3, 2, bias=False),
        "row.last": nn.Linear(5, 2),
    }
    for name, built in row.items():
        for key, value in built.named_parameters():
            golden.add(f"{name}.{key}", value)
    for name in [*MODELS, *RECURRENT]:
        if name.endswith((".signal", ".notes")):
            continue  # the same weights
        for key, value in seeded_model(name).named_parameters():
            golden.add(f"{name}.{key}", checksum(value))
    torch.manual_seed(2**31 + 5)
    golden.add("uniform", torch.empty(37).uniform_(-0.3, 1.7))
    for count in (5, 16, 35):
        torch.manual_seed(4)
        golden.add(f"normal.{count}", torch.empty(count).normal_(0.5, 2.0))
    torch.manual_seed(5)  # an odd count leaves one value for the next short draw
    for i, count in enumerate((5, 3, 20, 4)):
        golden.add(f"normal.row.{i}", torch.empty(count).normal_())
    attention_initial_values(golden)
    golden.save("init.safetensors")


# ---- Optimizers --------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd.momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd.dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, dampening=0.3),
    "sgd.nesterov": lambda p: torch.optim.SGD(
        p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01
    ),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3),
    "rmsprop.centered": lambda p: torch.optim.RMSprop(
        p, lr=1e-3, alpha=0.9, eps=1e-6, centered=True, momentum=0.7, weight_decay=0.02
    ),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "adam.decay": lambda p: torch.optim.Adam(
        p, lr=1e-2, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05
    ),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "sgd.clipped": lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9),
    "adam.clipped": lambda p: torch.optim.Adam(p, lr=1e-2),
}
MAX_NORM = 0.05


def optimizers():
    torch.manual_seed(6)
    golden = Golden()
    x, labels = torch.randn(10, 6), (torch.rand(10, 3) < 0.5).float()
    golden.add("x", x)
    golden.add("labels", labels)
    x, labels = x.double(), labels.double()
    for name, make in OPTIMIZERS.items():
        torch.manual_seed(8)
        # tanh: a unit that hardly ever moves would let rounding choose the sign of its step.
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
        optimizer = make(model.parameters())
        losses, norms = [], []
        for _ in range(10):
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(x), labels)
            loss.backward()
            if name.endswith("clipped"):
                norms.append(nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM))
            optimizer.step()
            losses.append(loss.detach())
        golden.add(f"{name}.losses", torch.stack(losses))
        if norms:
            golden.add(f"{name}.norms", torch.stack(norms))
        for key, value in model.named_parameters():
            golden.add(f"{name}.{key}", value)
    golden.save("optimizers.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    layers()
    recurrent()
    models()
    initial_values()
    optimizers()

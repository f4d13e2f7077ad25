"""Small files of torch.save for tests/nn/torch_file_test.cpp: both formats, several protocols.

Run it as: python tests/golden/make_torch_files.py (torch 2.15). It writes tests/golden/data/torch_*.pt.
"""

import collections
import pathlib
import zipfile

import numpy as np
import torch

folder = pathlib.Path(__file__).parent / "data"

counting = torch.arange(24, dtype=torch.float32)
module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
with torch.no_grad():
    for i, parameter in enumerate(module.parameters()):
        parameter.fill_(i + 1)

value = {
    "float64": torch.tensor([0.1, -2.0], dtype=torch.float64),
    "float32": torch.tensor([[1.5, -2.25, 3.0]]),
    "float16": torch.tensor([0.5, -65504.0, 2.0**-24], dtype=torch.float16),
    "bfloat16": torch.tensor([1.0, -3.0], dtype=torch.bfloat16),
    "int64": torch.tensor([2**31 - 1, -(2**31)], dtype=torch.int64),
    "int32": torch.tensor([-7, 8], dtype=torch.int32),
    "int16": torch.tensor([-300, 300], dtype=torch.int16),
    "int8": torch.tensor([-128, 127], dtype=torch.int8),
    "uint8": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "wide": torch.tensor([2**40], dtype=torch.int64),
    "scalar": torch.tensor(3.5),
    "empty": torch.zeros(0, 3),
    "transposed": counting.reshape(4, 6).t(),
    "part": counting[5:17:3],
    "repeated": torch.tensor([4.0]).expand(2, 3),
    "parameter": torch.nn.Parameter(torch.tensor([9.0])),
    "state": module.state_dict(),
    "list": [1, -2, 2**40, 300, 70000, None, True, False, 0.25],
    "tuple": ("a", ("b",), (), (1, 2, 3, 4)),
    "text": "Überleitung",
    "bytes": bytes([0, 65, 200, 255]),
    "integer keys": {0: {"step": 1}, 1: {}},
    "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
    "numpy float64": np.float64(0.625),
    "numpy float32": np.float32(1.5),
    "numpy int64": np.int64(-12345678901),
    "numpy uint8": np.uint8(200),
    "numpy bool": np.bool_(True),
    "dtype": torch.float16,
    "size": torch.Size([2, 3]),
}

torch.save(value, folder / "torch_zip.pt")
torch.save(value, folder / "torch_protocol5.pt", pickle_protocol=5)
torch.save(value, folder / "torch_legacy.pt", _use_new_zipfile_serialization=False)
torch.save(
    value, folder / "torch_legacy4.pt", pickle_protocol=4, _use_new_zipfile_serialization=False
)
with zipfile.ZipFile(folder / "torch_zip.pt") as stored, zipfile.ZipFile(
    folder / "torch_deflated.pt", "w", zipfile.ZIP_DEFLATED
) as deflated:
    for name in stored.namelist():
        deflated.writestr("other/folder/" + name.split("/", 1)[1], stored.read(name))

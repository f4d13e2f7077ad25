"""Seeds for the fuzz programs: OUT/<program>/*, from the tests' golden files and ../shared.

    python tests/fuzz/make_corpus.py build/fuzz/corpus
    build/fuzz/fuzz_pickle -max_total_time=600 build/fuzz/corpus/fuzz_pickle
"""

import pathlib
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
OUT = pathlib.Path(sys.argv[1])


def seed(program, name, content):
    folder = OUT / program
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def first(pattern, count):
    return sorted(SHARED.glob(pattern))[:count]


torch_files = sorted((ROOT / "tests/golden/data").glob("torch_*.pt"))
for path in torch_files + first("golden/seed/metrics_*.pt", 2) + first("golden/seed/embeddings/*.pt", 1):
    seed("fuzz_torch_file", path.name, path.read_bytes())
for path in torch_files + first("golden/seed/*.pt", 4):
    if not zipfile.is_zipfile(path):
        continue
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("data.pkl"):
                seed("fuzz_pickle", path.name, archive.read(name))

for path in sorted((ROOT / "tests/golden/data").glob("*.safetensors")):
    content = path.read_bytes()
    seed("fuzz_safetensors", path.name, content[: 8 + int.from_bytes(content[:8], "little")])
for path in first("ptbxl-subset/records100/00000/*.hea", 5) + first("wfdb-samples/*.hea", 20):
    seed("fuzz_wfdb_header", path.name, path.read_bytes())

seed("fuzz_csv", "quoted", b'ecg_id,report\n1,"a ""b"",\nc"\n2,\n')
seed("fuzz_scp_codes", "codes", b"{'NORM': 100.0, 'SR': 0.0, \"LVH\": 35}")
for path in first("ptbxl-subset/*.csv", 3):
    lines = path.read_bytes().splitlines(keepends=True)
    seed("fuzz_csv", path.name, b"".join(lines[:4]))

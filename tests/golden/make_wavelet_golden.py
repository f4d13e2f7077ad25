"""Makes tests/golden/data/wavelet.safetensors with PyWavelets (1.8.0 made the committed one).

    python tests/golden/make_wavelet_golden.py

Coefficients and signals in float64: dbN.L.coefficients are those of a signal of length L, the
approximation first, then the details from coarse to fine; dbN.L.MODE is the denoised signal.
"""

import pathlib

import numpy as np
import pywt
from safetensors.numpy import save_file

LEVELS = 3
LENGTHS = (250, 123)  # 123 / 15 = 8.2: three levels even of db8, whose filters have 16 taps
FACTORS = {"hard": 0.1, "soft": 1.5}


def denoised(x, wavelet, mode, factor):
    coefficients = pywt.wavedec(x, wavelet, mode="symmetric", level=LEVELS)
    threshold = factor * np.median(np.abs(coefficients[-1]))
    shrunk = [pywt.threshold(c, threshold, mode) for c in coefficients]
    return pywt.waverec(shrunk, wavelet, mode="symmetric")[: len(x)]


def main():
    random = np.random.default_rng(7)
    tensors = {}
    for length in LENGTHS:
        t = np.arange(length) / 100
        x = np.sin(2 * np.pi * 1.3 * t) + 0.3 * random.standard_normal(length)
        tensors[f"{length}.x"] = x
        for number in range(1, 9):
            wavelet = f"db{number}"
            coefficients = pywt.wavedec(x, wavelet, mode="symmetric", level=LEVELS)
            tensors[f"{wavelet}.{length}.coefficients"] = np.concatenate(coefficients)
            for mode, factor in FACTORS.items():
                tensors[f"{wavelet}.{length}.{mode}"] = denoised(x, wavelet, mode, factor)
    path = pathlib.Path(__file__).parent / "data" / "wavelet.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()

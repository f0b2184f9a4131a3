"""What a GPU computes in kernels of our own: CUDA text in `*.cu`, and the Python that launches it.

Everything here is the twin of something portable, which is its definition and what it is tested
against: `philox.py` of `solvers/numerics/random.py`, `fused.py` of the `denoise` of channels and
priors. CuPy compiles the text at the first call, for the device that it finds, and keeps the result
in a folder of its own (`CUPY_CACHE_DIR`). The text keeps to what a C++ compiler of the host
understands too, once a few words of CUDA are defined: so it runs in tests without a device
(tests/cuda_host.py).
"""

from __future__ import annotations

from importlib.resources import files


def text(name: str) -> str:
    """The text of `NAME.cu` in this folder."""
    return files(__name__).joinpath(f"{name}.cu").read_text()

"""CUDA text without a device: a few words of CUDA for the C++ compiler of this machine, and a CuPy.

`device(folder)` is an array namespace that calls itself CuPy. Its arrays are those of NumPy, under
another type; its kernels are compiled here, and run thread after thread.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import types
from pathlib import Path

import array_api_compat.numpy as anp
import numpy as np
import pytest

WORDS = r"""
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>
using namespace std;
#define __global__
#define __device__
#define __forceinline__ inline
struct uint3 { unsigned int x, y, z; };
static uint3 gridDim, blockDim, blockIdx, threadIdx;
inline int __float_as_int(float x) { int y; memcpy(&y, &x, sizeof y); return y; }
inline float __int_as_float(int x) { float y; memcpy(&y, &x, sizeof y); return y; }
inline double erfcx(double x) {
    if (x < 3) return exp(x * x) * erfc(x);
    double tail = x;  // a continued fraction
    for (int k = 100; k > 0; --k) tail = x + 0.5 * k / tail;
    return 1 / (tail * sqrt(3.141592653589793));
}
inline float erfcx(float x) { return float(erfcx(double(x))); }
"""

LAUNCH = r"""
template <class... A, size_t... I>
int run(void (*kernel)(A...), const unsigned* grid, const unsigned* block, void** given,
        const size_t* sizes, size_t count, index_sequence<I...>) {
    const size_t wanted[] = {sizeof(A)...};
    if (count != sizeof...(A)) return 1;
    for (size_t i = 0; i < count; ++i)
        if (sizes[i] != wanted[i]) return 2;
    gridDim = {grid[0], grid[1], 1};
    blockDim = {block[0], block[1], 1};
    for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
            for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x)
                    kernel(*static_cast<A*>(given[I])...);
    return 0;
}
template <class... A>
int launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block, void** given,
           const size_t* sizes, size_t count) {
    return run(kernel, grid, block, given, sizes, count, index_sequence_for<A...>());
}
"""

EACH = """
extern "C" int launch_{name}(const unsigned* grid, const unsigned* block, void** given,
                             const size_t* sizes, size_t count) {{
    return launch({name}, grid, block, given, sizes, count);
}}
"""


def compiler() -> str:
    """The C++ compiler of this machine; a test that needs one is skipped where there is none."""
    found = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if not found:
        pytest.skip("no C++ compiler is installed to run CUDA text on this machine")
    return found


def build(text: str, folder: Path) -> ctypes.CDLL:
    """A library of C++ text, made without fused multiply-add."""
    stem = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    source, library = stem.with_suffix(".cpp"), stem.with_suffix(".so")
    if not library.exists():
        source.write_text(text)
        flags = ["-std=c++14", "-O1", "-shared", "-fPIC", "-ffp-contract=off"]
        command = [compiler(), *flags, "-o", str(library), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


class DeviceArray(np.ndarray):
    """What the kernels are given; not an array that NumPy made."""


def on_device(array) -> DeviceArray:
    return np.asarray(array).view(DeviceArray)


class RawModule:
    """`cupy.RawModule`: every kernel of the text as a function of (grid, block, arguments)."""

    def __init__(self, folder: Path, launches: list, *, code: str, options: tuple[str, ...] = ()):
        names = re.findall(r"^KERNEL\((\w+)", code, re.MULTILINE)
        assert "--fmad=false" in options, "`build` has no fused multiply-add either"
        self.launches = launches
        launchers = "".join(EACH.format(name=name) for name in names)
        self.library = build(WORDS + code + LAUNCH + launchers, folder)

    def get_function(self, name: str):
        function = getattr(self.library, f"launch_{name}")

        def launch(grid, block, arguments):
            """Arguments are passed as CuPy does: pointers of arrays, scalars of their own width."""
            self.launches.append((name, grid, block, arguments))
            assert max(grid[1:], default=1) < 2**16
            assert np.prod(block) <= 1024
            cells = []
            for argument in arguments:
                if isinstance(argument, DeviceArray):
                    cells.append(np.array(argument.ctypes.data, dtype=np.uintp))
                else:
                    assert isinstance(argument, np.generic), "a width must be said"
                    cells.append(np.array(argument))
            pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
            sizes = (ctypes.c_size_t * len(cells))(*(cell.itemsize for cell in cells))
            grids, blocks = ((ctypes.c_uint * 2)(*shape) for shape in (grid, block))
            code = function(grids, blocks, pointers, sizes, ctypes.c_size_t(len(cells)))
            assert code == 0, f"{name} has other parameters than {arguments}"

        return launch


C_NAMES = {"float32": "float", "float64": "double"}


class ElementwiseKernel:
    """`cupy.ElementwiseKernel`: one type T for all arrays, numbers of Python take it; broadcast."""

    def __init__(
        self, folder, launches, in_params, out_params, operation, name, *, preamble="", options=()
    ):
        assert "--fmad=false" in options, "`build` has no fused multiply-add either"
        self.given, self.made = (
            [part.split() for part in parameters.split(",")]
            for parameters in (in_params, out_params)
        )
        assert {letter for letter, _ in self.given + self.made} == {"T"}
        self.operation, self.name, self.preamble = operation, name, preamble
        self.folder, self.launches = folder, launches

    def text(self, real: str) -> str:
        arguments = [f"const T* {name}_" for _, name in self.given]
        arguments += [f"T* {name}_" for _, name in self.made]
        cells = [f"const T &{name} = {name}_[i];" for _, name in self.given]
        cells += [f"T &{name} = {name}_[i];" for _, name in self.made]
        return (
            f"{WORDS} typedef {C_NAMES[real]} T;\n{self.preamble}\n"
            f'extern "C" void each(long long n, {", ".join(arguments)})\n'
            f"{{ for (long long i = 0; i < n; ++i) {{ {' '.join(cells)} {self.operation}; }} }}\n"
        )

    def __call__(self, *arguments):
        arrays = [x for x in arguments if isinstance(x, DeviceArray)]
        assert all(isinstance(x, DeviceArray | float) for x in arguments)
        (real,) = {array.dtype for array in arrays}
        self.launches.append((self.name, arrays))
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        given = [
            np.ascontiguousarray(np.broadcast_to(np.asarray(x, dtype=real), shape))
            for x in arguments
        ]
        made = [np.empty(shape, dtype=real) for _ in self.made]
        library = build(self.text(real.name), self.folder)
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in given + made)
        library.each(ctypes.c_longlong(given[0].size), *pointers)
        return tuple(on_device(array) for array in made)


def device(folder: Path) -> types.ModuleType:
    """A namespace that is CuPy by name; `launches` lists the kernels that it ran."""
    cupy = types.ModuleType("cupy")
    cupy.__dict__.update({k: v for k, v in vars(anp).items() if not k.startswith("__")})
    cupy.launches = []
    cupy.empty = lambda shape, dtype=np.float64: on_device(np.full(shape, 77, dtype=dtype))
    cupy.asarray = lambda x, dtype=None: on_device(np.asarray(x, dtype=dtype))
    cupy.RawModule = lambda **given: RawModule(folder, cupy.launches, **given)
    cupy.ElementwiseKernel = lambda *given, **more: ElementwiseKernel(
        folder, cupy.launches, *given, **more
    )
    return cupy


def nvrtc(text: str, *options: str) -> str:
    """PTX of CUDA text for compute capability 9.0, which needs the compiler of CuPy but no device."""
    library = pytest.importorskip("cupy_backends.cuda.libs.nvrtc")
    try:
        library.getVersion()
    except (RuntimeError, OSError) as error:
        pytest.skip(f"CuPy finds no NVRTC: {error}")
    program = library.createProgram(text, "test.cu", [], [])
    try:
        library.compileProgram(program, ["--gpu-architecture=compute_90", "--std=c++14", *options])
        return library.getPTX(program).decode()
    finally:
        library.destroyProgram(program)

"""Responses in one kernel: the CUDA formulas of one element against their portable definitions."""

from __future__ import annotations

import sys

import array_api_compat.numpy as anp
import numpy as np
import pytest
import scipy.special

from solvers.contract import load_system
from solvers.numerics import channels, priors
from solvers.numerics.channels.door.laws import _NODE_WEIGHTS, _NODES
from solvers.numerics.cuda import text
from solvers.numerics.cuda.fused import _TEXTS
from solvers.numerics.lockstep import device as products
from solvers.numerics.random import Stream
from tests.blas import Library
from tests.cuda_host import device, nvrtc, on_device

MODULES = {f"{name} channel": channels.load(name) for name in channels.names()}
MODULES |= {f"{name} prior": priors.load(name) for name in priors.names()}
CHANNELS = [name for name in MODULES if name.endswith("channel")]
PRIORS = [name for name in MODULES if name.endswith("prior")]
TYPES = (np.float32, np.float64)
FAR = np.array([1e-10, 1e-3, 0.1, 0.5, 1, 2, 5, 9, 12, 40, 49.9, 50.1, 60, 300, 1e4, 1e8, 1e15])
FAR = np.concatenate([-FAR[::-1], [0.0], FAR])


@pytest.fixture(scope="module")
def xp(tmp_path_factory):
    return device(tmp_path_factory.mktemp("cuda"))


def both(name, given, xp, dtype):
    """What the kernel and the definition answer, in double precision, at full shape."""
    given = {key: np.asarray(value, dtype=dtype) for key, value in given.items()}
    before = len(xp.launches)
    with np.errstate(all="ignore"):
        expected = MODULES[name].denoise(xp=anp, **given)
        found = MODULES[name].denoise(xp=xp, **{k: on_device(v) for k, v in given.items()})
    assert len(xp.launches) == before + 1
    assert all(x.dtype == dtype for x in (*found, *expected))
    return [
        [np.broadcast_to(np.asarray(x, dtype=float), found[0].shape) for x in pair]
        for pair in (found, expected)
    ]


def labels_that_occur(channel, omega, variance, parameters):
    """Labels of preactivations around omega, (omega, one point of each variance and parameter)."""
    rows, stream = len(omega), Stream("test", 0, 1, "fused")
    z = omega + np.sqrt(variance) * stream.normals(0, rows, len(variance))
    return channel.sample(
        preactivation=z, stream=stream, start=rows, xp=anp, dtype=np.float64, **parameters
    )


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("noisy", [True, False])
def test_channels_on_labels_that_occur(name, dtype, noisy, xp):
    """Up to the rounding of omega/√T, for columns of every strength of noise."""
    omega = np.linspace(-4, 4, 81)[:, None]
    grids = [[1e-6, 1e-2, 1.0], [0.0, 1e-6, 1e-2, 1.0] if noisy else [0.0], [0.0, 1e-3, 0.7]]
    variance, noise, kappa = (x.ravel() for x in np.meshgrid(*grids))
    given = {"variance": variance, "noise": noise}
    parameters = {"noise": noise}
    if "kappa" in MODULES[name].PARAMETERS:
        parameters["kappa"] = given["kappa"] = kappa
    given["label"] = labels_that_occur(MODULES[name], omega, variance, parameters)
    given["omega"] = omega + np.zeros_like(given["label"])
    found, expected = both(name, given, xp, dtype)
    unit = 1 / np.sqrt(variance + noise)
    size = 1 + np.abs(omega) * unit
    for power, a, b in zip((1, 2), found, expected, strict=True):
        error = np.abs(a - b) / (np.abs(b) + (size * unit) ** power)
        assert np.max(error) < 30 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("variance", [1e-30, 1e-12, 1e-5, 1.0])
@pytest.mark.parametrize("noise", [[0.3, 0.0], [0.0]])
def test_channels_far_out(name, dtype, variance, noise, xp):
    """Labels that cannot be, |omega| to 1e15, variances to nothing: finite alike, close alike."""
    labels = [-1.0, 1.0] if MODULES[name].LABELS == "sign" else [0.0, 1e-3, 0.5, 1.0, 3.0, 30.0]
    axes = [np.array(labels), FAR, np.array([variance]), np.array(noise)]
    keys = ["label", "omega", "variance", "noise"]
    if "kappa" in MODULES[name].PARAMETERS:
        axes.append(np.array([0.0, 1e-3, 0.7, 4.0]))
        keys.append("kappa")
    given = dict(zip(keys, np.meshgrid(*axes, indexing="ij"), strict=True))
    found, expected = both(name, given, xp, dtype)
    unit = 1 / np.sqrt(given["variance"] + given["noise"])
    size = 1 + (np.abs(given["omega"]) + np.abs(given["label"]) + given.get("kappa", 0.0)) * unit
    for power, a, b in zip((1, 2), found, expected, strict=True):
        finite = np.isfinite(b)
        assert np.all(np.isfinite(a[finite]))
        assert np.all((a == b)[np.isinf(b)])
        a, b, scale = a[finite], b[finite], ((size * unit) ** power)[finite]
        assert np.max(np.abs(a - b) / (np.abs(b) + scale)) < 30 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("dtype", TYPES)
def test_priors(name, dtype, xp):
    axes = [FAR, np.array([0.0, 1e-3, 1.0, 30.0, 1e6, 1e30]), np.array([1e-6, 0.1, 0.9, 1.0])]
    field, precision, sparsity = np.meshgrid(*axes, indexing="ij")
    given = {"field": field, "precision": precision}
    if "sparsity" in MODULES[name].PARAMETERS:
        given["sparsity"] = sparsity
    found, expected = both(name, given, xp, dtype)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=30 * np.finfo(dtype).eps, atol=1e-36)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_not_a_number_stays_none(name, xp):
    """A status comes of it: a message that ran away must not be answered by a number."""
    module = MODULES[name]
    given = {"label": 1.0, "omega": np.array([np.nan, 0.5]), "variance": np.array([0.1, np.nan])}
    if name in PRIORS:
        given = {"field": np.array([np.nan, 0.5]), "precision": np.array([0.1, 0.1])}
    given |= {"noise": 0.1, "kappa": 0.4, "sparsity": 0.3}
    keys = ("field", "precision", "label", "omega", "variance", *module.PARAMETERS)
    found, expected = both(name, {k: v for k, v in given.items() if k in keys}, xp, np.float64)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.isnan(found[0][0])


def test_shapes_and_numbers_of_python(xp):
    """Columns broadcast, a number takes the type of the arrays, one kernel is made for all."""
    sign = channels.load("sign")
    label, omega, variance = np.ones((5, 1)), np.linspace(-1, 1, 15).reshape(5, 3), np.ones(3)
    arrays = {"label": label, "omega": omega, "variance": variance}
    given = {key: on_device(value.astype(np.float32)) for key, value in arrays.items()}
    for noise in (0.5, 1, np.float64(0.5)):
        g, curvature = sign.denoise(xp=xp, noise=noise, **given)
        expected = sign.denoise(xp=anp, noise=float(noise), **arrays)
        assert g.shape == curvature.shape == (5, 3)
        assert g.dtype == curvature.dtype == np.float32
        np.testing.assert_allclose([g, curvature], expected, rtol=1e-5)


def test_the_rule_of_a_door_is_that_of_its_laws():
    rule = text("door")
    assert all(repr(x) in rule for x in (*_NODES, *_NODE_WEIGHTS))


@pytest.mark.parametrize(
    ("prior", "channel"),
    [
        ("rademacher", "sign"),
        ("gaussian", "abs"),
        ("gauss_bernoulli", "relu"),
        ("gaussian", "door"),
    ],
)
def test_message_passing_on_a_device(prior, channel, xp, monkeypatch):
    """`gamp` as a GPU runs it, on the instance that the CPU draws: nothing but rounding differs."""
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", scipy.special)
    library = Library()
    monkeypatch.setattr(products, "_cublas", library.blas)
    given = {
        "alpha": np.array([1.5, 2.5, 3.0]),
        "prior": prior,
        "channel": channel,
        "sparsity": np.array([0.3, 0.3, 0.5]),
        "kappa": np.array([0.6, 0.6, 0.7]),
        "noise": np.array([0.2, 0.1, 0.3]),
        "design": "gaussian",
        "initialization": np.full(3, "informed"),
        "dimension": 80,
        "seed": 3,
        "iterations": 4,
        "damping": np.array([0.0, 0.2, 0.0]),
        "tolerance": np.full(3, 1e-6),
        "max_steps": np.full(3, 12),
        "precision": "double",
    }
    gamp = load_system("glm_bayes").methods["gamp"].function
    expected = gamp(xp=anp, **given)
    before = len(xp.launches)
    found = gamp(xp=xp, **given)
    names = {launch[0] for launch in xp.launches[before:]}
    assert {"normals_float64", f"fused_{prior}_prior", f"fused_{channel}_channel"} <= names
    assert library.calls
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-7, atol=1e-9, err_msg=key)


def test_they_compile_for_a_device():
    """In both types, without double precision where it was not asked for."""
    source = "".join(text(part) for part in _TEXTS)
    for name, module in MODULES.items():
        count = (4 if name in CHANNELS else 2) - ("noise" in module.PARAMETERS)
        count += len(module.PARAMETERS)
        for real in ("float", "double"):
            given = ", ".join(f"{real} x{i}" for i in range(count))
            values = ", ".join(f"x{i}" for i in range(count))
            function = name.replace(" ", "_")
            source += f'extern "C" __global__ void {function}_{real}({given}, {real}* y) '
            source += f"{{ {function}({values}, y[0], y[1]); }}\n"
    entries = nvrtc(source, "--fmad=false").split(".entry ")[1:]
    assert len(entries) == 2 * len(MODULES)
    for entry in entries:
        assert (".f64" in entry) == ("_double(" in entry)

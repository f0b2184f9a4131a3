"""One reading of a design by the kernels of a device, against the same in array operations."""

from __future__ import annotations

import sys

import array_api_compat
import array_api_compat.numpy as anp
import numpy as np
import pytest
import scipy.special

from solvers.contract import load_system
from solvers.numerics import channels, lockstep
from solvers.numerics.channels import sign
from solvers.numerics.cuda import chunks, one_pass, text
from solvers.numerics.lockstep import device as products
from solvers.numerics.lockstep.held import PLAIN, Held
from solvers.systems.perceptron_storage.outputs import Outputs
from tests.blas import Library
from tests.cuda_host import DeviceArray, device, nvrtc, on_device

DIMENSION, BLOCK = 24, 104
HELD = {"plain": PLAIN, "half": Held("half", scale=0.25), "tf32": Held("tf32", scale=0.25)}
KINDS = [(np.float64, "plain"), (np.float32, "plain"), (np.float32, "half"), (np.float32, "tf32")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cuda")


@pytest.fixture
def xp(folder, monkeypatch):
    """A CuPy whose library multiplies here, in blocks that end inside a chunk."""
    monkeypatch.setattr(products, "_cublas", Library().blas)
    monkeypatch.setattr(lockstep, "GPU_BLOCK", BLOCK // 4)
    return device(folder)


def problem(channel, count, dtype, word, xp):
    """Arguments of `read` for `count` of 2 count + 3 points, in no order; products are exact."""
    rng = np.random.default_rng(count)
    rows, places = 11 * 24, 2 * count + 3
    real = channel.LABELS == "real"
    labels = rng.normal(size=(rows, places)) if real else rng.choice([-1, 1], (rows, places))
    labels = np.abs(labels) if real and channel.EVEN else labels
    samples = np.resize([rows, 1, 0, 103, 200, 104, 17, 264], count)
    columns = {"noise": rng.choice([0.0, 0.01, 0.5], count), "kappa": rng.uniform(0, 1, count)}
    return {
        "design": HELD[word].hold(on_device(rng.integers(-2, 3, (rows, DIMENSION)).astype(dtype)), xp),
        "labels": on_device(labels.astype(dtype)),
        "output": on_device(0.3 * rng.normal(size=(rows, places)).astype(dtype)),
        "points": rng.permutation(places)[:count],
        "samples": samples,
        "mean": on_device(rng.integers(-8, 9, (DIMENSION, count)).astype(dtype) / 32),
        "variance": rng.uniform(0.1, 1, count),
        "held": HELD[word],
        **{name: columns[name] for name in channel.PARAMETERS},
    }  # fmt: skip


def in_arrays(channel, given, xp):
    """`read` in array operations, with the elementwise kernel of the channel."""
    given = dict(given)
    design, labels, output = (given.pop(key) for key in ("design", "labels", "output"))
    points, samples, mean, held = (given.pop(key) for key in ("points", "samples", "mean", "held"))
    columns = {key: xp.asarray(value, dtype=output.dtype) for key, value in given.items()}
    margin = columns.pop("margin", xp.zeros(len(points), dtype=output.dtype))
    moments = np.zeros((3, len(points)))

    def respond(rows, which, product):
        here, some = points[which], {key: column[which] for key, column in columns.items()}
        omega = product - margin[which] - some["variance"] * output[rows, here]
        g, slope = channel.denoise(label=labels[rows, here], omega=omega, xp=xp, **some)
        seen = np.arange(rows.start, rows.stop)[:, None] < samples[which]
        output[rows, here] = g = np.where(seen, g, 0).view(type(g))
        slope = np.where(seen, slope, 0).astype(float)
        moments[:, which] += [slope.sum(0), np.abs(slope).sum(0), (slope**2).sum(0)]
        return g

    return lockstep.read(design, mean, samples, respond, xp=xp, held=held), moments


def same(found, expected, rtol):
    scale = np.max(np.abs(expected), axis=0)
    np.testing.assert_allclose(found / (scale + 1e-30), expected / (scale + 1e-30), atol=rtol)


@pytest.mark.parametrize("name", channels.names())
@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize(("dtype", "word"), KINDS)
def test_a_reading_is_that_in_arrays(name, count, dtype, word, xp):
    """Outputs to the last bit: everything before them is the same arithmetic on the same numbers."""
    channel = channels.load(name)
    given = problem(channel, count, dtype, word, xp)
    other = {**given, "output": given["output"].copy()}
    found, moments = one_pass.read(channel, **given, xp=xp)
    expected, sums = in_arrays(channel, other, xp)
    assert found.dtype == given["output"].dtype == dtype
    np.testing.assert_array_equal(given["output"], other["output"])
    np.testing.assert_allclose(moments, sums, rtol=1e-12, atol=1e-12)
    same(np.asarray(found), np.asarray(expected), 20 * np.finfo(dtype).eps)
    assert np.all(moments[2] >= 0)
    assert np.all((moments[1] > 0) == (given["samples"] > 0))


def test_estimates_of_all_points_or_of_those_asked(xp):
    given = problem(sign, 3, np.float32, "half", xp)
    whole = on_device(np.full((DIMENSION, 9), np.nan, dtype=np.float32))
    whole[:, given["points"]] = given["mean"]
    other = {**given, "output": given["output"].copy(), "mean": whole}
    found = one_pass.read(sign, **given, xp=xp)
    expected = one_pass.read(sign, **other, whole=True, xp=xp)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(given["output"], other["output"])


def test_a_margin_is_taken_off_the_products(xp):
    given = {**problem(sign, 3, np.float32, "plain", xp), "margin": np.array([0.3, -1.0, 0.0])}
    other = {**given, "output": given["output"].copy()}
    _, moments = one_pass.read(sign, **given, xp=xp)
    _, sums = in_arrays(sign, other, xp)
    np.testing.assert_array_equal(given["output"], other["output"])
    np.testing.assert_allclose(moments, sums, rtol=1e-12)


def test_outputs_of_belief_propagation(xp):
    """Some points, twice, in several blocks of patterns: as on the CPU."""
    rng = np.random.default_rng(0)
    samples, kappa = np.array([264, 7, 0, 105, 200]), np.array([0.0, 0.5, 0.0, -0.3, 0.1])
    matrix = rng.normal(size=(264, DIMENSION)).astype(np.float32)
    answers = []
    for where in (anp, xp):
        outputs = Outputs.zero(rows=264, samples=samples, kappa=kappa, xp=where)
        for points in (np.arange(5), np.array([3, 0, 1])):
            mean = np.tanh(np.outer(np.arange(DIMENSION), 1 + points)).astype(np.float32)
            variance = np.linspace(0.2, 0.9, len(points)).astype(np.float32)
            given = matrix, mean
            if where is xp:
                given = on_device(matrix), on_device(mean)
            push, slopes = outputs.read(*given, points, variance)
            answers.append((np.asarray(push), slopes, np.asarray(outputs.values)))
    for here, there in zip(answers[:2], answers[2:], strict=True):
        for expected, found in zip(here, there, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", channels.names())
@pytest.mark.parametrize(("dtype", "word"), KINDS)
def test_a_column_does_not_depend_on_the_others_to_the_last_bit(name, dtype, word, xp):
    """With exact products: outputs and sums, alone, among few and among many, and beside a NaN."""
    channel, everyone = channels.load(name), np.arange(40)
    whole = problem(channel, 40, dtype, word, xp)

    def answer(some, spoilt=()):
        given = {**whole, "output": whole["output"].copy(), "mean": whole["mean"].copy()}
        given["mean"][3, list(spoilt)] = np.nan
        given |= {key: given[key][some] for key in ("points", "samples", "variance")}
        given |= {key: given[key][some] for key in channel.PARAMETERS}
        given["mean"] = given["mean"][:, some]
        _, moments = one_pass.read(channel, **given, xp=xp)
        return given["output"][:, given["points"]], moments

    output, moments = answer(everyone)
    for some in ([0], [5], [7, 3], [4, 8, 15, 16, 23, 39, 0, 1, 2]):
        alone, sums = answer(np.array(some))
        np.testing.assert_array_equal(alone, output[:, some])
        np.testing.assert_array_equal(sums, moments[:, some])
    beside, sums = answer(everyone, spoilt=[8])
    others = np.delete(everyone, 8)
    np.testing.assert_array_equal(beside[:, others], output[:, others])
    np.testing.assert_array_equal(sums[:, others], moments[:, others])
    assert np.isnan(beside[:, 8]).all()


def test_nothing_asked_is_answered_by_nothing(xp):
    given = {**problem(sign, 3, np.float32, "half", xp), "samples": np.zeros(3, dtype=int)}
    before = given["output"].copy()
    found, moments = one_pass.read(sign, **given, xp=xp)
    assert not found.any()
    assert not moments.any()
    np.testing.assert_array_equal(given["output"], before)


def test_columns_that_lie_apart_are_refused(xp):
    given = problem(sign, 3, np.float32, "plain", xp)
    for key in ("labels", "output"):
        with pytest.raises(ValueError, match="not contiguous"):
            one_pass.read(sign, **{**given, key: on_device(np.asfortranarray(given[key]))}, xp=xp)


@pytest.mark.parametrize("word", ["half", "tf32"])
def test_factors_are_rounded_as_in_arrays(word, xp):
    """To the last bit: sizes from nothing to beyond a number's end, infinite and not numbers."""
    rng = np.random.default_rng(0)
    size = np.array([0, 1e-44, 1e-39, 1e-30, 1e-3, 1, 65519, 65520, 1e30, 3e38])
    x = rng.uniform(-1, 1, (997, 12, len(size))) * np.exp2(-30 * rng.random((997, 12, 1)))
    x[500:] = rng.integers(-4096, 4097, (497, 12, len(size))) / 4096  # ties among them
    x = (x * size).astype(np.float32).reshape(997, -1)
    x[5, ::7], x[6, ::11], x[8, 3::9] = np.nan, np.inf, -np.inf
    held, x = HELD[word], on_device(x)
    with np.errstate(all="ignore"):
        (expected,), undo = held.lower(x.T, xp)
    largest = on_device(np.max(np.abs(x).view(np.int32), axis=0))
    for by_rows, given in ((False, x.copy()), (True, x.T.copy())):
        factors, found = one_pass.lower(given, largest, held, xp, by_rows=by_rows)
        assert factors.dtype == expected.dtype
        np.testing.assert_array_equal(factors, expected if by_rows else expected.T)
        np.testing.assert_array_equal(found, undo)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_columns_are_transposed_and_padded(dtype, order, xp):
    x = np.random.default_rng(0).normal(size=(333, 40)).astype(dtype)
    x[7, 3] = np.nan
    for count in (1, 8, 37):
        place = np.random.default_rng(count).permutation(40)[:count]
        out, largest = one_pass.transposed(
            on_device(np.asarray(x, order=order)), on_device(place), count, xp
        )
        np.testing.assert_array_equal(out, products.padded(on_device(x.T[place]), xp))
        if dtype == np.float32:
            np.testing.assert_array_equal(largest.view(np.float32), np.max(np.abs(out), axis=1))


@pytest.mark.parametrize("parts", [1, 2, 31, 32, 33, 1025, 5000])
def test_chunks_are_added_in_one_order(parts, xp):
    """Whatever the width, and however many chunks of nothing follow."""
    x = on_device(np.random.default_rng(0).normal(size=(parts, 3, 40)))
    whole = chunks.fold(x, xp)
    np.testing.assert_allclose(whole, np.sum(x, axis=0), atol=1e-11)
    np.testing.assert_array_equal(chunks.fold(x[:, :, 5:6].copy(), xp), whole[:, 5:6])
    longer = on_device(np.concatenate([x, np.zeros((3000, 3, 40))]))
    np.testing.assert_array_equal(chunks.fold(longer, xp), whole)


@pytest.mark.parametrize("columns", [1, 5, 8, 24, 32, 33, 520, 40_000])
@pytest.mark.parametrize("parts", [1, 7, 512, 2048, 10**6])
def test_threads_cover_what_is_asked_and_few_more(columns, parts):
    (high, wide), (across, down) = chunks.shape(columns, parts)
    assert columns <= wide * across < columns + 32
    assert parts <= high * down < parts + down
    assert across * down == 128
    assert wide < 2**16


def test_they_compile_for_a_device():
    """Every channel in both types; single precision has double sums and nothing else in double."""
    for name in channels.names():
        for real in ("float32", "float64"):
            kernel, keys = one_pass.response(channels.load(name))
            ptx = nvrtc(one_pass.source(kernel, len(keys), real), "--fmad=false")
            assert ptx.count(".entry") == 1
            wide = {"div.rn.f64", "sqrt.rn.f64", "rcp.rn.f64"} & set(ptx.split())
            assert bool(wide) == (real == "float64")
    rest = "".join(text(part) for part in ("sizes", "lowered", "fold"))
    assert nvrtc(rest, "--fmad=false").count(".entry") == 6


def transfers(steps, xp, monkeypatch, **given):
    """Transfers to the host and to the device of a run of message passing of so many steps."""
    counts = {"host": 0, "device": 0}
    to_device, asarray = array_api_compat.to_device, xp.asarray

    def to_host(array, where):
        counts["host"] += 1
        return to_device(array, where)

    def from_host(array, dtype=None):
        counts["device"] += not isinstance(array, DeviceArray)
        return asarray(array, dtype)

    with monkeypatch.context() as patch:
        patch.setattr(array_api_compat, "to_device", to_host)
        patch.setattr(xp, "asarray", from_host)
        given = {
            "alpha": np.array([1.5, 6.0]), "prior": "gaussian", "channel": "sign",
            "sparsity": np.full(2, 0.3), "kappa": np.full(2, 0.3), "noise": np.array([0.2, 0.1]),
            "design": "gaussian", "initialization": np.full(2, "uninformed"), "dimension": 100,
            "seed": 3, "iterations": 0, "damping": np.zeros(2), "tolerance": np.full(2, 1e-12),
            "max_steps": np.full(2, steps), "precision": "half", **given,
        }  # fmt: skip
        found = load_system("glm_bayes").methods["gamp"].function(xp=xp, **given)
    assert np.all(found["steps"] == steps)
    return counts


@pytest.mark.parametrize("channel", ["sign", "abs"])
@pytest.mark.parametrize("precision", ["half", "single"])
def test_transfers_of_an_iteration(precision, channel, xp, monkeypatch):
    """However many blocks: two waits of the host, three if it records, and few copies."""
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", scipy.special)
    for recorded, waits, copies in ((0, 2, 4), (50, 3, 5)):
        given = {"precision": precision, "channel": channel, "iterations": recorded}
        five, six = (transfers(n, xp, monkeypatch, **given) for n in (5, 6))
        assert six["host"] - five["host"] == waits
        assert six["device"] - five["device"] == copies

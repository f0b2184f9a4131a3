"""The threshold table: theory beside simulation, from labelled datasets of the form the engine writes."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from phasesweep import scaling
from phasesweep.scaling.report import with_error

KAPPAS, SIZES, SEEDS = [0.0, 0.5], [16, 32, 64], 80
TRUE = {0.0: 0.8, 0.5: 0.6}


def simulation():
    """Nested instances in windows around the threshold; alpha is the union of all windows."""
    rng = np.random.default_rng(0)
    asked = {
        (k, n): np.round(TRUE[k] + np.linspace(-3, 3, 13) * n**-0.5, 10)
        for k in KAPPAS
        for n in SIZES
    }
    alpha = np.unique(np.concatenate(list(asked.values())))
    shape = (len(KAPPAS), len(SIZES), SEEDS, len(alpha))
    satisfiable, samples = np.full(shape, np.nan), np.full(shape, np.nan)
    status = np.full(shape, -1, np.int8)
    for i, kappa in enumerate(KAPPAS):
        for j, size in enumerate(SIZES):
            thresholds = TRUE[kappa] + 0.9 * size**-0.5 * rng.normal(size=SEEDS)
            place = np.searchsorted(alpha, asked[kappa, size])
            count = np.floor(alpha[place] * size + 0.5)
            satisfiable[i, j][:, place] = count / size < thresholds[:, None]
            samples[i, j][:, place] = count
            status[i, j][:, place] = 0
    dims = ("kappa", "dimension", "seed", "alpha")
    return xr.Dataset(
        {"satisfiable": (dims, satisfiable), "samples": (dims, samples), "status": (dims, status)},
        {
            "kappa": KAPPAS,
            "dimension": SIZES,
            "seed": np.arange(SEEDS),
            "alpha": alpha,
            "weights": "binary",
        },
        {"size": "dimension", "role": "simulation"},
    )


def capacity(weights="binary"):
    return xr.Dataset(
        {
            "alpha_c": (("kappa",), [TRUE[k] for k in KAPPAS]),
            "validity": (("kappa",), ["exact", "upper_bound"]),
            "status": (("kappa",), np.array([0, 1], np.int8)),
        },
        {"kappa": KAPPAS, "weights": weights},
        {"size": "", "role": "theory"},
    )


def cover():
    sizes, alpha = [20, 50, 200], np.linspace(1, 3, 41)
    count = np.floor(np.outer(sizes, alpha) + 0.5)
    value = stats.binom.cdf(np.array(sizes)[:, None] - 1, count - 1, 0.5)
    dims = ("dimension", "alpha")
    return xr.Dataset(
        {"probability_separable": (dims, value), "samples": (dims, count)},
        {"dimension": sizes, "alpha": alpha},
        {"size": "dimension", "role": "exact"},
    )


def make_tree(**groups):
    description = json.dumps({"fixed": {"weights": "binary"}, "methods": {"capacity": None}})
    root = xr.Dataset(attrs={"description": description})
    default = {"enumeration": simulation(), "capacity": capacity(), "cover": cover()}
    return xr.DataTree.from_dict({"/": root, **(default | groups)})


ENTRY = {
    "of": "enumeration.satisfiable",
    "along": "alpha",
    "level": 0.5,
    "beside": "capacity.alpha_c",
}


@pytest.fixture(scope="module")
def rows():
    return scaling.threshold_table(make_tree(), [{**ENTRY, "exponent": 1.0, "collapse": True}])


def test_rows_of_a_simulation(rows):
    kinds = ["level"] * 3 + ["crossing"] * 2 + ["extrapolated", "collapse"]
    assert [row.kind for row in rows] == kinds * 2
    assert [row.axes for row in rows] == [{"kappa": 0.0}] * 7 + [{"kappa": 0.5}] * 7
    assert [row.sizes for row in rows[:6]] == [
        (16,),
        (32,),
        (64,),
        (16, 32),
        (32, 64),
        (16, 32, 64),
    ]
    for row in rows:
        assert row.theory == TRUE[row.axes["kappa"]]
        if row.status == "ok":
            assert row.deviation == pytest.approx((row.value - row.theory) / row.error)
            assert abs(row.deviation) < 4
    assert all(row.status == "ok" for row in rows if row.kind != "crossing")
    last = rows[6]
    assert abs(last.nu - 2) < 4 * last.nu_error
    assert last.degrees_of_freedom == 4
    assert rows[5].nu == 1.0


def test_table_repeats_the_functions_on_the_same_arrays(rows):
    """The realised alpha, samples/size, is the abscissa; a cell is what a person would cut out."""
    data = simulation().sel(kappa=0.5, dimension=32)
    asked = data.satisfiable.notnull().any("seed")
    data = data.isel(alpha=np.flatnonzero(asked))
    sample = scaling.make_sample(x=data.samples[0] / 32, y=data.satisfiable.values, size=32)
    fit = scaling.level_crossing(x=sample.x, y=sample.y, level=0.5)
    row = rows[8]
    assert row.value == pytest.approx(fit.value, rel=1e-12)
    assert row.error == pytest.approx(fit.error, rel=0.2)


def test_theory_remarks(rows):
    """A bound, or a theory that did not converge, is marked on every row that it stands beside."""
    assert "upper bound" not in rows[0].note
    assert "theory: upper bound; theory: max steps" in rows[7].note


def test_points_that_did_not_converge_are_counted():
    data = simulation()
    data["status"][0, 0, :3] = data["status"][0, 0, :3].where(data["status"][0, 0, :3] < 0, 1)
    rows = scaling.threshold_table(make_tree(enumeration=data), [ENTRY])
    assert rows[0].note == f"of {13 * SEEDS} points 39 not converged"
    assert rows[1].note == ""


def test_theory_at_other_parameters_is_not_compared():
    rows = scaling.threshold_table(make_tree(capacity=capacity("spherical")), [ENTRY])
    assert all(np.isnan(row.deviation) for row in rows)
    assert "theory is at weights = spherical" in rows[0].note
    fewer = capacity().isel(kappa=[0])
    rows = scaling.threshold_table(make_tree(capacity=fewer), [ENTRY])
    assert rows[0].theory == 0.8
    assert np.isnan(rows[-1].theory)
    assert "no theory at kappa = 0.5" in rows[-1].note
    rows = scaling.threshold_table(make_tree(capacity=capacity().isel(kappa=0)), [ENTRY])
    assert rows[0].theory == 0.8
    assert np.isnan(rows[-1].theory)
    assert "theory is at kappa = 0.0 only" in rows[-1].note


def test_computed_curves_and_values():
    entries = [
        {"of": "cover.probability_separable", "along": "alpha"},
        {"of": "capacity.alpha_c", "beside": "capacity.alpha_c"},
    ]
    rows = scaling.threshold_table(make_tree(), entries)
    assert [row.kind for row in rows] == ["level"] * 3 + ["crossing"] * 2 + ["extrapolated"] + [
        "value"
    ] * 2
    for row in rows[:6]:
        # P = 1/2 at 2N points in N dimensions, for every N.
        assert row.value == pytest.approx(2, abs=1e-9)
        assert row.status == "ok"
        assert np.isnan(row.error)
    assert [row.value for row in rows[6:]] == [0.8, 0.6]
    assert rows[6].status == "ok"
    assert rows[7].status.startswith("max steps: ")


def test_a_theory_curve_crosses_beside_a_theory_value():
    """The alpha where an entropy vanishes is the capacity; neither has an error."""
    alpha = np.linspace(0.1, 1.5, 57)
    entropy = np.log(2) * np.stack([1 - (alpha / TRUE[k]) ** 1.5 for k in KAPPAS])
    replica = xr.Dataset(
        {"entropy": (("kappa", "alpha"), entropy)},
        {"kappa": KAPPAS, "alpha": alpha, "weights": "binary"},
        {"size": "", "role": "theory"},
    )
    entry = {"of": "replica.entropy", "along": "alpha", "level": 0, "beside": "capacity.alpha_c"}
    rows = scaling.threshold_table(make_tree(replica=replica), [entry])
    assert [(row.kind, row.sizes) for row in rows] == [("level", ())] * 2
    for row in rows:
        assert row.value == pytest.approx(row.theory, abs=1e-4)
        assert np.isnan(row.deviation)


def test_what_is_missing_is_said():
    data = simulation()
    data["satisfiable"][:, 0] = np.nan
    rows = scaling.threshold_table(make_tree(enumeration=data), [{**ENTRY, "collapse": True}])
    assert "at least 2" in rows[0].status
    assert np.isnan(rows[0].value)
    extrapolated, collapsed = rows[5], rows[6]
    assert extrapolated.sizes == (32, 64)
    assert "3 are needed" in extrapolated.status
    assert "without size 16" in extrapolated.note
    assert "3 are needed" in collapsed.status
    one = make_tree(enumeration=simulation().isel(dimension=1, kappa=0))
    rows = scaling.threshold_table(one, [ENTRY])
    assert [(row.kind, row.sizes, row.axes) for row in rows] == [("level", (32,), {})]
    assert rows[0].theory == 0.8


def test_along_a_further_axis():
    """An observable of its own axis, such as a risk along time, with a size and seeds."""
    times = np.linspace(0, 4, 17)
    rng = np.random.default_rng(0)
    risk = np.exp(-times) + 0.02 * rng.normal(size=(2, 30, 17))
    data = xr.Dataset(
        {"risk": (("dimension", "seed", "time"), risk), "status": (("dimension", "seed"), np.zeros((2, 30), "i1"))},
        {"dimension": [100, 200], "seed": np.arange(30), "time": times},
        {"size": "dimension", "role": "simulation"},
    )  # fmt: skip
    rows = scaling.threshold_table(
        xr.DataTree.from_dict({"sgd": data}), [{"of": "sgd.risk", "along": "time", "level": 0.25}]
    )
    assert [row.kind for row in rows] == ["level", "level", "crossing", "extrapolated"]
    for row in rows[:2]:
        assert abs(row.value - np.log(4)) < 4 * row.error + 0.01


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"along": "alpha"}, "the field of is missing"),
        ({"of": "enumeration.satisfiable", "alung": "alpha"}, "unknown field 'alung'"),
        ({"of": "enumeration"}, "METHOD.OBSERVABLE"),
        ({"of": "enumerate.satisfiable"}, "did you mean enumeration?"),
        ({"of": "enumeration.satisfied"}, "did you mean satisfiable?"),
        ({"of": "enumeration.status"}, "is not known"),
        ({"of": "capacity.validity"}, "holds words"),
        ({**ENTRY, "along": "alpa"}, "did you mean alpha?"),
        ({**ENTRY, "along": "seed"}, "is not known"),
        ({**ENTRY, "along": "weights"}, "a single value"),
        ({**ENTRY, "level": 1.5}, "between 0 and 1"),
        ({**ENTRY, "beside": "capacity.alpha"}, "did you mean alpha_c?"),
        ({**ENTRY, "beside": "enumeration.samples"}, "is a simulation"),
        ({**ENTRY, "beside": "cover.probability_separable"}, "varies with alpha"),
        ({**ENTRY, "exponent": -1}, "above 0"),
        ({"of": "capacity.alpha_c", "collapse": True}, "need the field along"),
        (
            {"of": "cover.probability_separable", "along": "alpha", "collapse": True},
            "needs a simulation",
        ),
        ({"of": "enumeration.samples", "along": "alpha"}, "level is missing"),
    ],
)
def test_bad_entries_get_one_sentence(entry, message):
    with pytest.raises(ValueError, match="entry 2: ") as error:
        scaling.threshold_table(make_tree(), [{"of": "capacity.alpha_c"}, entry])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_writing(rows):
    records = scaling.to_records(rows)
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    read = list(csv.DictReader(io.StringIO(scaling.to_csv(rows))))
    assert [float(line["value"]) for line in read if line["value"]] == [
        row.value for row in rows if not np.isnan(row.value)
    ]
    assert read[0]["sizes"] == "16"
    frame = scaling.to_frame(rows)
    assert list(frame.kappa) == [0.0] * 7 + [0.5] * 7
    text = scaling.to_text(rows)
    assert "upper bound" in text
    assert text.count("collapse") == 2
    assert scaling.to_csv([]).startswith("of,kind")
    assert len(scaling.to_frame([])) == 0
    assert scaling.to_text([]) == ""


def test_errors_are_written_in_units_of_the_last_digit():
    assert with_error(0.83321, 0.0152) == "0.833(15)"
    assert with_error(0.83321, 0.00996) == "0.833(10)"
    assert with_error(12.3, 2.34) == "12.3(2.3)"
    assert with_error(1234.5, 21.0) == "1234(21)"
    assert with_error(np.nan, 1) == ""
    assert with_error(2.0, np.nan) == "2"

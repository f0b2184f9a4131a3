"""Nothing from a file can run, leave its folder, grow without bound, or pass for what it is not."""

from __future__ import annotations

import ast
import io
import json
import pickle
import tarfile
import zipfile
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from phasesweep.api import solve_points, sweep_points
from phasesweep.cache import Cache, Rows, segment
from phasesweep.cache.derive import derived_keys
from phasesweep.grid import Points
from phasesweep.sweep import _parameter
from phasesweep.sweepfile import read_sweep
from solvers.axes import FileContent
from solvers.contract import system_names

ROOT = Path(__file__).parent.parent.parent
SOURCES = [
    *sorted((ROOT / "phasesweep").rglob("*.py")),
    *sorted((ROOT / "solvers").rglob("*.py")),
    *sorted((ROOT / "workflow").rglob("*.py")),
]
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.fixture
def mark(tmp_path):
    """A file that is there once something ran, and that must not be."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


def test_no_module_can_unpickle_or_evaluate():
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            where = f"{file.relative_to(ROOT)}, line {getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
                assert not names & UNPICKLERS, where
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in UNPICKLERS, where
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "compile", "__import__"), where
                assert called not in ("yaml.unsafe_load", "yaml.full_load", "pd.read_pickle"), where
                if called == "yaml.load":
                    assert ast.unparse(node.args[1]) == "_Loader", where
                if called in ("np.load", "numpy.load"):
                    options = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    assert options.get("allow_pickle") == "False", where


def crafted(path: Path, change) -> bytes:
    """A segment with members changed, whole again by every checksum of its own."""
    whole = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w") as target:
        for info in source.infolist():
            name, data = change(info.filename, source.read(info.filename))
            target.writestr(zipfile.ZipInfo(name), data)
        target.comment = segment.MARK + b"0" * 32
    data = bytearray(buffer.getvalue())
    data[-32:] = blake2b(bytes(data[:-32]), digest_size=16).hexdigest().encode()
    segment.check_digest(bytes(data))
    assert len(whole)
    return bytes(data)


def test_crafted_segments_are_refused(tmp_path, mark):
    cache = Cache(tmp_path / "cache")
    solve_points("toy", "line", {"alpha": [0.5, 1.0]}, cache)
    [path] = cache.folder("toy", "line", 1).glob("*.zip")
    bomb = pickle.dumps(Bomb(mark))

    def objects(name, data):
        if name == "observable.path/zarr.json":
            about = json.loads(data)
            about["data_type"] = "object"
            about["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
            return name, json.dumps(about)
        return name, bomb if name == "observable.path/c/0/0" else data

    def codec(name, data):
        if name == "observable.path/zarr.json":
            about = json.loads(data)
            about["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
            return name, json.dumps(about)
        return name, bomb if name == "observable.path/c/0/0" else data

    def huge(name, data):
        if name == "observable.path/zarr.json":
            about = json.loads(data)
            about["shape"] = [2, 2**50]
            return name, json.dumps(about)
        return name, data

    def outside(name, data):
        if name == "zarr.json":
            return name, data.replace(b'"toy"', b'"../toy"')
        return name, data

    for change in (objects, codec, huge, outside):
        data = crafted(path, change)
        with pytest.raises(segment.SegmentError):
            segment.decode(data, place=("toy", "line", 1))
        whole = path.read_bytes()
        path.write_bytes(data)
        fresh = Cache(cache.root)
        assert fresh.read("toy", "line", 1).blocks == []
        assert list(fresh.damaged("toy", "line", 1)) == [path.name]
        path.write_bytes(whole)


def test_arrays_from_files_are_never_unpickled(tmp_path, mark):
    path = tmp_path / "start.npz"
    np.savez(path, x=np.array([Bomb(mark)], dtype=object))
    with pytest.raises(ValueError, match="cannot be read"):
        FileContent.read(path)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch MARK']",
        "system: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [MARK]]",
        "system: !!python/name:os.system",
        "!!python/module:os",
        "system: toy\nmethods: {line: {alpha: !!python/tuple [1]}}",
        "!include /etc/passwd",
        "system: toy\nmethods: &m {line: *m}",
        "a: &a [x, x]\nsystem: [*a, *a",
        "system: toy\nmethods: {line: {alpha: " + "[" * 5000 + "]" * 5000 + "}}",
        "system: toy\nmethods: {line: {alpha: " + "9" * 10_000 + "}}",
    ],
)
@pytest.mark.parametrize("command", ["plan", "summary"])
def test_files_are_plain_data(tmp_path, phasesweep, mark, text, command):
    file = tmp_path / "bad.yaml"
    file.write_text(text.replace("MARK", str(mark)))
    status, out, err = phasesweep(command, file)
    assert (status, out) == (2, ""), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err


def test_a_billion_laughs_are_bounded(tmp_path, phasesweep):
    lines = ['l0: &l0 ["ha", "ha", "ha"]']
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    for text in (
        "\n".join(lines),
        "\n".join([*lines, "system: toy", "methods: {line: {alpha: *l11}}"]),
    ):
        file = tmp_path / "laughs.yaml"
        file.write_text(text)
        for command in ("plan", "summary"):
            status, out, err = phasesweep(command, file)
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert "written out" in err


@pytest.mark.parametrize(
    "name", ["..", "../up", "a/b", ".hidden", "ünï", "a b", "-x", "a\u202eb", "x" * 300, "a.b"]
)
def test_a_name_cannot_leave_the_data_folder(tmp_path, phasesweep, data, name):
    folder = tmp_path / "sweeps"
    folder.mkdir()
    text = "system: toy\nmethods: {threshold: {kappa: 0}}\n"
    target = folder / f"{name}.yaml"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    except OSError:
        pass
    before = sorted(tmp_path.rglob("*"))
    if Path(name).name == name:  # the name of a sweep is that of its file
        for command in ("run", "dataset", "plan"):
            assert phasesweep(command, str(target))[0] == 2, command
    for command in ("thresholds", "figure"):
        status, out, err = phasesweep(command, name)
        assert (status, out, err.count("\n")) == (2, "", 1)
    for content in (
        {"system": name, "methods": {"threshold": {"kappa": 0}}},
        {"system": "toy", "methods": {name: {}}},
        {"system": "toy", "methods": {"threshold": {"kappa": 0}}, "figure": {"x": name}},
    ):
        file = folder / "named.json"
        file.write_text(json.dumps(content))
        assert phasesweep("run", file)[0] == 2
        file.unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_symbolic_link_is_no_segment(tmp_path):
    cache, elsewhere = Cache(tmp_path / "cache"), Cache(tmp_path / "elsewhere")
    solve_points("toy", "line", {"alpha": [0.5]}, cache)
    solve_points("toy", "line", {"alpha": [1.5]}, elsewhere)
    [other] = elsewhere.folder("toy", "line", 1).glob("*.zip")
    link = cache.folder("toy", "line", 1) / other.name
    link.symlink_to(other)
    assert len(cache.present("toy", "line", 1)) == 1
    assert [finding.path for finding in cache.verify().of("foreign")] == [link]


# -- caches of others ---------------------------------------------------------------------------


@pytest.mark.parametrize("system", system_names())
def test_keys_are_made_again_from_what_is_stored(system):
    """In step with `grid`, for every system and every kind of axis."""
    for points in sweep_points(read_sweep(system), Cache(Path("/nonexistent"))).values():
        some = points.take(np.unique(np.linspace(0, len(points) - 1, 50).astype(int)))
        rows = rows_with_keys(some)
        np.testing.assert_array_equal(derived_keys(rows), rows.keys)


def rows_with_keys(points: Points) -> Rows:
    """The parameters and keys of points, as they are stored."""
    method, empty = points.method, np.zeros(len(points))
    return Rows(
        *(method.system.name, method.name, method.version),
        keys=points.key_table,
        parameters={axis: _parameter(points, axis) for axis in points.columns},
        observables={},
        **dict.fromkeys(("status", "steps", "residual", "seconds", "messages"), empty),
    )


def test_an_import_takes_no_key_on_trust(tmp_path, phasesweep):
    """A forged archive cannot pass numbers off as those of another point."""
    there, here = Cache(tmp_path / "there"), Cache(tmp_path / "data" / "cache")
    _, [rows], _ = solve_points("toy", "line", {"alpha": [0.5, 1.0, 1.5]}, there)
    forged = rows.keys.copy()
    forged[0], forged[1] = rows.keys[1], rows.keys[0]
    bad = Cache(tmp_path / "bad")
    bad.write_segment(replace(rows, keys=forged))
    archive = tmp_path / "bad.tar"
    bad.export(archive)
    status, out, _ = phasesweep("cache", "import", archive)
    assert status == 1
    assert out.count("left out: toy line v1 key") == 2
    assert "1 points imported" in out
    assert len(here.present("toy", "line", 1)) == 1
    # What is honest comes in, once, and a second time is known.
    there.export(tmp_path / "good.tar")
    assert (
        "2 points imported, 1 known already"
        in phasesweep("cache", "import", tmp_path / "good.tar")[1]
    )
    # The same key with different numbers is told and not taken.
    other = {n: o + 1 if n == "path" else o for n, o in rows.observables.items()}
    wrong = Cache(tmp_path / "wrong")
    wrong.write_segment(replace(rows, observables=other))
    wrong.export(tmp_path / "wrong.tar")
    before = here.read("toy", "line", 1).blocks[0].observables["path"].tolist()
    status, out, _ = phasesweep("cache", "import", tmp_path / "wrong.tar")
    assert status == 1
    assert out.count("conflict: toy line v1 key") == 3
    assert here.read("toy", "line", 1).blocks[0].observables["path"].tolist() == before


def test_an_archive_of_a_stranger_is_refused_whole(tmp_path, phasesweep, mark):
    archive = tmp_path / "strange.tar"
    for member in ("../../evil", "/etc/evil", "toy/line/v1/x.pkl"):
        with tarfile.open(archive, "w") as tar:
            info, data = tarfile.TarInfo(member), pickle.dumps(Bomb(mark))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        status, out, err = phasesweep("cache", "import", archive)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "nothing was imported" in err

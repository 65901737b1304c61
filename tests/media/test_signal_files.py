"""Series are read from files that say what they are; everything else is refused in one line that names the file."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from blockyard.media.signal_files import SignalError, check_finite, read_signal

SERIES = np.array([[0.5, -1.0], [2.0, 3.25], [4.0, 5.0]])
ROWS = "0.5,-1\n2,3.25\n4,5\n"


def wrote(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "names", "rate"),
    [
        (ROWS, (), None),
        (f"ax,ay\n{ROWS}", ("ax", "ay"), None),
        (f'\ufeff"ax", "a,y"\r\n{ROWS}\n', ("ax", "a,y"), None),
        ("Time,ax,ay\n10,0.5,-1\n10.02,2,3.25\n10.04,4,5\n", ("ax", "ay"), 50),
        ("ax,rate,ay\n0.5,64,-1\n2,64,3.25\n4,64,5\n", ("ax", "ay"), 64),
        ("time,rate,ax,ay\n0,64,0.5,-1\n1,64,2,3.25\n2,64,4,5\n", ("ax", "ay"), 64),
    ],
)
def test_csv(content, names, rate, tmp_path):
    signal = read_signal(wrote(tmp_path, "a.CSV", content))
    assert np.array_equal(signal.values, SERIES)
    assert (signal.names, signal.rate and pytest.approx(signal.rate)) == (names, rate)


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", SERIES)
    lazy = read_signal(tmp_path / "a.npy")
    assert isinstance(lazy.values, np.memmap)
    assert np.array_equal(lazy.values, SERIES)
    assert (lazy.names, lazy.rate) == ((), None)
    np.savez(tmp_path / "b.npz", eeg=SERIES, rate=128.5, channels=["Fz", "Cz"])
    signal = read_signal(tmp_path / "b.npz")
    assert np.array_equal(signal.values, SERIES)
    assert (signal.names, signal.rate) == (("Fz", "Cz"), 128.5)
    np.save(tmp_path / "c.npy", np.arange(5, dtype=np.int16))
    assert read_signal(tmp_path / "c.npy").values.shape == (5, 1)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(width=32)))
def test_what_was_written_is_read_and_what_is_no_number_is_found(values):
    path = Path("unused")
    if np.isfinite(values).all():
        check_finite(path, values, "abcd")
    else:
        row, column = np.argwhere(~np.isfinite(values))[0]
        with pytest.raises(SignalError, match=rf"^unused: sample {10 + row} of channel {'abcd'[column]} is "):
            check_finite(path, values, "abcd", first=10)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "empty file"),
        ("a.csv", "\n1,2\n", "line 1 is empty"),
        ("a.csv", "ax,ay\n", "no sample in it"),
        ("a.csv", "ax,ay\n1,2\n3,\n", "line 3, column ay: '' is no number; fill in or cut out what is missing"),
        ("a.csv", "1,2\nx,4\n", "line 2, column 0: 'x' is no number"),
        ("a.csv", "ax,ay\n1,2\n3\n", "line 3 has 1 columns, the one before 2"),
        ("a.csv", "ax,ay,az\n1,2\n", "line 1 has 3 columns, line 2 has 2"),
        ("a.csv", "ax;ay\n1;2\n", "columns are separated by commas, not by ';', as in 'ax;ay'"),
        ("a.csv", "ax,ax\n1,2\n", "two columns are called 'ax'"),
        ("a.csv", "time\n1\n2\n", "no channel beside time"),
        ("a.csv", ",ax\n0,1\n1,1\n", "column 0 has no name; if it counts the rows, leave it out"),
        ("a.csv", "time,ax\n0,1\n1,1\n2,1\n9,1\n", "times are not even: 1 s before row 2, 3 s on average"),
        ("a.csv", "time,ax\n1,1\n0,1\n", "times are not even"),
        ("a.csv", "rate,ax\n50,1\n60,1\n", "the column rate is not the same in every row"),
        ("a.csv", "rate,ax\n0,1\n0,1\n", "a rate of 0 Hz"),
        ("a.csv", b"\xff\xfea", r"not in UTF-8 \(byte 0\)"),
        ("a.npy", b"\x00" * 100, r"damaged, or no \.npy file"),
        ("a.npz", b"ax,ay", r"damaged, or no \.npz file"),
        ("a.txt", "1,2", r"no kind of series that is read; allowed: \.csv, \.npy, \.npz, \.parquet"),
    ],
)
def test_texts_and_rubbish_are_refused(name, content, said, tmp_path):
    path = wrote(tmp_path, name, content)
    with pytest.raises(SignalError, match=said) as error:
        read_signal(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_what_is_missing_is_named(tmp_path):
    for name in ("a.csv", "a.npy", "a.npz"):
        with pytest.raises(SignalError, match=rf"{name} is missing$"):
            read_signal(tmp_path / name)


def test_files_that_were_cut_off_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", series=np.random.default_rng(0).normal(size=(50, 3)))
    np.save(tmp_path / "a.npy", np.ones((50, 3)))
    for name in ("a.npz", "a.npy"):
        whole = (tmp_path / name).read_bytes()
        for end in (60, len(whole) // 2, len(whole) - 8):
            with pytest.raises(SignalError, match=rf"{name}: "):
                read_signal(wrote(tmp_path, name, whole[:end]))


class Trap:
    """Executes something when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trap = np.array([Trap()], dtype=object)
    np.save("a.npy", trap, allow_pickle=True)
    np.savez("b.npz", trap)
    wrote(tmp_path, "c.npy", pickle.dumps(Trap()))
    for name, said in (("a.npy", "pickled objects"), ("b.npz", "pickled objects"), ("c.npy", "damaged, or no .npy")):
        with pytest.raises(SignalError, match=said):
            read_signal(Path(name))
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": SERIES, "b": SERIES}, "one array of series expected beside rate and channels, found a, b"),
        ({"rate": 3}, "found rate"),
        ({"a": SERIES, "channels": ["x"]}, "1 names of 2 channels"),
        ({"a": SERIES, "rate": np.nan}, "a rate of nan Hz"),
        ({"a": SERIES, "rate": [1, 2]}, "damaged"),
        ({"a": np.ones((2, 2, 2))}, "an array of 3 axes"),
        ({"a": np.ones((0, 2))}, "no sample in it"),
        ({"a": SERIES * 1j}, "holds complex128, no real numbers"),
        ({"a": np.array(["x"])}, "holds <U1, no real numbers"),
    ],
)
def test_other_arrays_are_refused(content, said, tmp_path):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(SignalError, match=said):
        read_signal(tmp_path / "a.npz")


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow
    from pyarrow import parquet

    table = {"time": [0.0, 0.01, 0.02], "ax": SERIES[:, 0], "ay": [-1.0, None, 5.0]}
    parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    signal = read_signal(tmp_path / "a.parquet")
    assert (signal.names, signal.rate) == (("ax", "ay"), pytest.approx(100))
    with pytest.raises(SignalError, match="sample 1 of channel ay is missing"):
        check_finite(tmp_path / "a.parquet", signal.values, signal.names)
    with pytest.raises(SignalError, match=r"a\.parquet: damaged"):
        read_signal(wrote(tmp_path, "a.parquet", b"PAR1 and no more"))


def test_parquet_asks_for_what_reads_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SignalError, match=r"a\.parquet: Parquet needs pyarrow: pip install 'blockyard\[parquet\]'$"):
        read_signal(wrote(tmp_path, "a.parquet", b"PAR1"))

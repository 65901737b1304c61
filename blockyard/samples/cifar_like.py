"""Small data sets in exactly the layout of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.unfinished import beside

TEST_SHARE = 6  # one sample of every class in six


def write_cifar_like(root: str | Path, classes: int = 10) -> Path:
    """Write the 1,797 handwritten digits of scikit-learn as if they were CIFAR-10 or CIFAR-100.

    The digits are enlarged to 32×32 and coloured in ten hues. Of ten classes, each is a digit; of a hundred, each is a
    digit in one hue. The files are pickles as Python 2 wrote them, like the published ones; read them with
    ``verify=False``.

    Args:
        root: Folder to write ``cifar-10-batches-py`` or ``cifar-100-python`` into.
        classes: 10 or 100.

    Returns:
        The folder written.

    Raises:
        ValueError: If ``classes`` is neither 10 nor 100.
    """
    if classes not in (10, 100):
        raise ValueError(f"classes must be 10 or 100, got {classes}")
    pixels, fine = coloured_digits()
    parts = divide(fine)
    folder = Path(root) / ("cifar-10-batches-py" if classes == 10 else "cifar-100-python")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (_cifar10 if classes == 10 else _cifar100)(pixels, fine, parts).items():
        _put(folder / name, python2_pickle(content))
    return folder


def python2_pickle(value: dict[str, Any]) -> bytes:
    """Pickle a value as Python 2 and NumPy 1 did, with protocol 2: strings as bytes, arrays with a byte string inside.

    Raises:
        TypeError: If there is anything but dictionaries, lists, strings, integers and uint8 arrays in it.
    """
    return pickle.PROTO + b"\x02" + _encode(value) + pickle.STOP


def _encode(value: Any) -> bytes:
    match value:
        case dict():
            items = b"".join(_encode(key) + _encode(item) for key, item in value.items())
            return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
        case list():
            return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(_encode, value)) + pickle.APPENDS
        case str() | bytes():
            raw = value.encode("latin1") if isinstance(value, str) else value
            return pickle.BINSTRING + struct.pack("<i", len(raw)) + raw
        case int():
            return pickle.BININT + struct.pack("<i", value)
        case np.ndarray() if value.dtype == np.uint8 and value.ndim == 2:
            return _encode_array(value)
    raise TypeError(f"can't write {type(value).__name__}")


def _encode_array(array: NDArray[np.uint8]) -> bytes:
    empty = (
        b"cnumpy.core.multiarray\n_reconstruct\n"
        + (b"cnumpy\nndarray\n" + _encode(0) + pickle.TUPLE1 + _encode("b") + pickle.TUPLE3)
        + pickle.REDUCE
    )
    state = (_encode("|"), pickle.NONE * 3, _encode(-1), _encode(-1), _encode(0))
    dtype = (
        (b"cnumpy\ndtype\n" + _encode("u1") + _encode(0) + _encode(1) + pickle.TUPLE3 + pickle.REDUCE)
        + (pickle.MARK + _encode(3) + b"".join(state) + pickle.TUPLE)
        + pickle.BUILD
    )
    shape = _encode(array.shape[0]) + _encode(array.shape[1]) + pickle.TUPLE2
    content = _encode(1) + shape + dtype + pickle.NEWFALSE + _encode(array.tobytes())
    return empty + pickle.MARK + content + pickle.TUPLE + pickle.BUILD


def coloured_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures ``(1797, 3072)``, planes of 32×32, and fine labels ``(1797,)``: ten times the digit, and the hue."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    occurrence = np.zeros(len(digits.target), dtype=np.int64)
    for digit in range(10):
        members = digits.target == digit
        occurrence[members] = np.arange(members.sum())
    hue = occurrence % 10
    angles = 2 * np.pi * (hue[:, None] / 10 + np.array([0, 1 / 3, 2 / 3]))
    colours = 0.6 + 0.4 * np.cos(angles)  # (n, 3)
    grey = np.kron(digits.images / 16, np.ones((1, 4, 4)))  # (n, 32, 32)
    pixels = (255 * colours[:, :, None, None] * grey[:, None]).round().astype(np.uint8)
    return pixels.reshape(len(pixels), 3072), digits.target.astype(np.int64) * 10 + hue


def _cifar10(pixels: NDArray[np.uint8], fine: NDArray[np.int64], parts: dict[str, NDArray[np.intp]]) -> dict[str, Any]:
    chunks = {f"data_batch_{number + 1}": rows for number, rows in enumerate(np.array_split(parts["train"], 5))}
    chunks["test_batch"] = parts["test"]
    files: dict[str, Any] = {
        name: {
            "batch_label": f"batch {number} of {len(chunks)}",
            "labels": (fine[rows] // 10).tolist(),
            "data": pixels[rows],
            "filenames": [f"digit_{row:06d}.png" for row in rows],
        }
        for number, (name, rows) in enumerate(chunks.items(), start=1)
    }
    names = [f"digit {digit}" for digit in range(10)]
    files["batches.meta"] = {"num_cases_per_batch": len(chunks["data_batch_1"]), "label_names": names, "num_vis": 3072}
    return files


def _cifar100(pixels: NDArray[np.uint8], fine: NDArray[np.int64], parts: dict[str, NDArray[np.intp]]) -> dict[str, Any]:
    files: dict[str, Any] = {
        name: {
            "filenames": [f"digit_{row:06d}.png" for row in rows],
            "batch_label": f"{name} batch 1 of 1",
            "fine_labels": fine[rows].tolist(),
            "coarse_labels": (fine[rows] // 5).tolist(),
            "data": pixels[rows],
        }
        for name, rows in parts.items()
    }
    files["meta"] = {
        "fine_label_names": [f"digit {label // 10} hue {label % 10}" for label in range(100)],
        "coarse_label_names": [f"digit {label // 2} hues {'5-9' if label % 2 else '0-4'}" for label in range(20)],
    }
    return files


def _put(path: Path, content: bytes) -> None:
    temporary = beside(path)
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def divide(fine: NDArray[np.int64]) -> dict[str, NDArray[np.intp]]:
    """Positions for ``train`` and ``test``."""
    test = np.zeros(len(fine), dtype=bool)
    for label in range(100):
        test[np.flatnonzero(fine == label)[::TEST_SHARE]] = True
    return {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}

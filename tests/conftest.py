"""Shared by all tests, and what they may be run under: see CONTRIBUTING.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# One thread a worker of pytest-xdist, and the same in every process that a test starts: the order of a sum, and so the
# last bit of a weight, depends on it.
os.environ["OMP_NUM_THREADS"] = os.environ.get("BLOCKYARD_TEST_THREADS", "1")

import fnmatch
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

if os.environ.get("BLOCKYARD_TEST_ONEDNN") == "0":
    torch.backends.mkldnn.set_flags(False)
# as blockyard does where it compiles: the cache on disk is shared by runs of the suite under other kernels
torch.compiler.config.cache_key_tag = torch.backends.cpu.get_cpu_capability()


def pytest_report_header() -> str:
    """Which kernels are tested."""
    onednn = "on" if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled else "off"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"torch: {capability} kernels, {torch.get_num_threads()} threads, oneDNN {onednn}"


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Initial weights are random: every test draws the same ones, alone or in the suite."""
    torch.manual_seed(0)


def _write_pictures(root, classes=("cat", "dog"), samples=(4, 2, 2), seed=0):
    """Pictures of 16×16 pixels in ``root/<split>/<class>``."""
    rng = np.random.default_rng(seed)
    for split, count in zip(("train", "val", "test"), samples, strict=True):
        for title in classes:
            folder = root / split / title
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return root


@pytest.fixture
def write_pictures():
    return _write_pictures


@pytest.fixture
def one_line():
    """Assert that a refusal is one line that says all of these things."""

    def check(error: pytest.ExceptionInfo, *parts: str) -> None:
        message = str(error.value)
        assert "\n" not in message
        for part in parts:
            assert str(part) in message

    return check


MARKER = "marker_of_foreign_code"
"""Name of a module that leaves traces if anything imports or calls it."""


@pytest.fixture
def traces(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the importable module :data:`MARKER` leaves a file if it is imported or anything in it called.

    It has a function, a class and a registry, as mmengine looks for one. At the end of the test the folder is empty.
    """
    home = tmp_path_factory.mktemp("foreign")
    place = home / "traces"
    place.mkdir()
    leave = f"import pathlib\nplace = pathlib.Path({str(place)!r})\n"
    called = "def call(*_, **__):\n    (place / 'called').touch()\nclass Thing:\n    __init__ = call\n"
    package = home / MARKER
    package.mkdir()
    (package / "__init__.py").write_text(f"{leave}(place / 'imported').touch()\n{called}")
    (package / "registry.py").write_text(f"{leave}(place / 'registry').touch()\n")
    monkeypatch.syspath_prepend(str(home))
    yield place
    left = sorted(path.name for path in place.iterdir())
    for name in [name for name in sys.modules if name.split(".")[0] == MARKER]:
        del sys.modules[name]
    assert left == []


@pytest.fixture
def assert_learns() -> Callable[[nn.Module, Callable[[], Tensor]], None]:
    """Called with a module and what computes a loss of it: a gradient reaches every parameter by the second step."""
    return _assert_learns


def _assert_learns(module: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Take two steps of a loss of the module, in float64, and look at the gradients of the second.

    Relative to the greatest gradient, what is zero by mathematics was seen to be up to 2e-12, roundings of 2⁻⁵³ that
    sums with cancelling terms make larger, and all else at least 3e-8; 1e-10 lies between.
    """
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    assert all(p.dtype == torch.float64 for p in parameters.values()), "float64 tells zero from small"
    for _ in range(2 if parameters else 0):
        module.zero_grad()
        loss().backward()
        assert not [name for name, p in parameters.items() if p.grad is None], "DDP waits for those that are zero too"
        with torch.no_grad():
            for p in parameters.values():
                p -= 0.1 * p.grad
    sizes = {name: float(p.grad.abs().max()) for name, p in parameters.items()}
    rounding = 1e-10 * max(sizes.values(), default=0.0)
    without_effect = declared(module, "without_effect")
    assert not {name: size for name, size in sizes.items() if name in without_effect and size > rounding}
    assert not {name: size for name, size in sizes.items() if name not in without_effect and size <= rounding}


def declared(module: nn.Module, attribute: str) -> set[str]:
    """The parameters that a module and those in it name by an attribute of globs, such as ``without_effect``."""
    names = [name for name, _ in module.named_parameters()]
    found = set()
    for path, part in module.named_modules():
        for glob in getattr(part, attribute, ()):
            matching = fnmatch.filter(names, f"{path}.{glob}" if path else glob)
            assert matching, f"{type(part).__name__} has no parameter {glob}"
            found.update(matching)
    return found


def _write_video(
    path,
    frames=50,
    fps=25,
    size=(48, 64),
    codec="mpeg4",
    gop=12,
    b_frames=0,
    movflags=None,
    pix_fmt="yuv420p",
    container=None,
    mux=None,
    pts=None,
    turn=None,
    tint=(255, 255, 255),
    **options,
):
    """A video whose frame n shows n in eight bars, black for 0 and white for 1, which survives any codec.

    ``container`` names its format where the suffix doesn't, ``mux`` has options of that, ``pts`` the tick of each
    frame, ``turn`` what ``set_display_rotation`` is given, ``tint`` a colour in place of white.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mux = (mux or {}) | ({"movflags": movflags} if movflags else {})
    with av.open(str(path), "w", format=container, options=mux) as box:
        options = {"g": str(gop), "bf": str(b_frames), "threads": "1"} | options
        stream = box.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        if turn:
            stream.set_display_rotation(**turn)
        for number in range(frames):
            bars = np.repeat(number >> np.arange(8) & 1, size[1] // 8).astype(np.uint8)
            pixels = np.ascontiguousarray(np.broadcast_to(bars[:, None] * np.uint8(tint), (*size, 3)))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], 1 / Fraction(fps)
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    return path


def _numbers(pixels):
    """Which frames these are; pixels (T, H, W, 3)."""
    bars = np.asarray(pixels).mean(axis=(1, 3)).reshape(len(pixels), 8, -1).mean(2) > 127
    return (bars @ 2 ** np.arange(8)).tolist()


@pytest.fixture
def write_video():
    return _write_video


@pytest.fixture
def numbers():
    return _numbers


@pytest.fixture
def cut_off():
    """Leave of a file only that share of its bytes."""

    def cut(path, share=0.6):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return cut


@pytest.fixture
def scribble():
    """Overwrite the data of a few frames, leaving the file's structure alone."""

    def overwrite(path, frames):
        with av.open(str(path)) as container:
            packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
        content = bytearray(path.read_bytes())
        for frame in frames:
            start, size = packets[frame]
            content[start + size // 2 : start + size] = b"\x55" * (size - size // 2)
        path.write_bytes(content)

    return overwrite

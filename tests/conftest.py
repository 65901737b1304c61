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
import itertools
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from blockyard import progress

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


@pytest.fixture(autouse=True)
def _as_on_an_idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy one anything may take so long that people are told what it is, between lines that a test reads."""
    monkeypatch.setattr(progress, "DELAY", 3600.0)


@pytest.fixture(autouse=True)
def _no_package_of_another_test() -> Iterator[None]:
    """People's own packages are called alike in several tests, each in a folder of its own.

    Whoever holds its classes keeps them among those that a parser lists, which warns of what can't be imported: so a
    package that is over stays, by another name.
    """
    yield
    number = next(_NUMBERS)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypkg"]:
        module, past = sys.modules.pop(name), f"past{number}_{name}"
        sys.modules[past] = module
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == name:
                kind.__module__ = past


_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables go into a pipe of no width, whatever terminal pytest-xdist says that its workers have."""
    monkeypatch.delenv("COLUMNS", raising=False)


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


class Publisher(ThreadingHTTPServer):
    """A server on this machine, whose faults a test chooses.

    Attributes:
        files: What it has, by path.
        ranges: Whether it answers with the part that was asked for.
        version: Its ETag.
        conditions: Whether it gives a part of that version alone which is asked for.
        cuts: After how many bytes each of the next answers breaks off.
        stalls: After how many bytes an answer waits until this is None.
        answers: Of the next requests, in place of a file: a status and headers.
        asked: Path, range and condition of each request.
        sent: Bytes of bodies.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files: dict[str, bytes] = {}
        self.ranges, self.version, self.conditions = True, '"1"', True
        self.cuts: list[int] = []
        self.stalls: int | None = None
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.sent = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append((self.path, wanted, self.headers["If-Range"]))
        content = server.files.get(self.path)
        if server.answers or content is None:
            status, headers = server.answers.pop(0) if server.answers else (404, {})
            return self._begin(status, {"Content-Length": "0"} | headers)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
        if server.conditions and self.headers["If-Range"] not in (None, server.version):
            start = 0
        headers = {"Content-Length": str(len(content) - start), "ETag": server.version}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._begin(206 if start else 200, headers)
        cut = server.cuts.pop(0) if server.cuts else len(content)
        server.sent += len(content[start : start + cut])  # first, or who asked may go on before it is counted
        with suppress(ConnectionError):  # whoever asked has gone
            if server.stalls is not None:
                self.wfile.write(content[start : server.stalls])
                while server.stalls is not None:
                    time.sleep(0.01)
                return None
            self.wfile.write(content[start : start + cut])
        return None

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A server on this machine that publishes files."""
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


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


@pytest.fixture
def drawn_by_name() -> Callable[[str, list[int]], Tensor]:
    """``drawn_by_name(name, shape)``: weights and statistics that their name alone decides."""

    def draw(name: str, shape: list[int]) -> Tensor:
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if len(shape) > 1:
            return torch.from_numpy(values).float() / values[0].size ** 0.5
        drawn = torch.as_tensor(values / 4 + (not name.endswith(("bias", "mean")))).float()
        return drawn.abs() if name.endswith("var") else drawn

    return draw


@pytest.fixture
def fill_by_name(drawn_by_name: Callable[[str, list[int]], Tensor]) -> Callable[[nn.Module], None]:
    """Give a module such weights and statistics."""

    def fill(module: nn.Module) -> None:
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(drawn_by_name(name, list(tensor.shape)))

    return fill


@pytest.fixture
def in_two_processes(tmp_path: Path) -> Callable[[str], None]:
    """Runs a file as a program, ``python FILE FOLDER RANK``, in two processes at a time, both of which must succeed."""

    def run(file: str) -> None:
        command = [sys.executable, file, str(tmp_path)]
        processes = [subprocess.Popen([*command, rank], stderr=subprocess.PIPE, text=True) for rank in "01"]
        errors = [process.communicate(timeout=120)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)

    return run

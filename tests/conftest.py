"""Shared by all tests, and what they may be run under: see CONTRIBUTING.md."""

from __future__ import annotations

import os

# One thread a worker of pytest-xdist, and the same in every process that a test starts: the order of a sum, and so the
# last bit of a weight, depends on it.
os.environ["OMP_NUM_THREADS"] = os.environ.get("BLOCKYARD_TEST_THREADS", "1")

import fnmatch
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

if os.environ.get("BLOCKYARD_TEST_ONEDNN") == "0":
    torch.backends.mkldnn.set_flags(False)


def pytest_report_header() -> str:
    """Which kernels are tested."""
    onednn = "on" if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled else "off"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"torch: {capability} kernels, {torch.get_num_threads()} threads, oneDNN {onednn}"


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Initial weights are random: every test draws the same ones, alone or in the suite."""
    torch.manual_seed(0)


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
        assert not [name for name, p in parameters.items() if p.grad is None], (
            "DDP waits for a gradient that is zero too"
        )
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

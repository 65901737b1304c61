"""What kernels of wide networks say, in numbers: products of layers (Hadamard), and trees of patches.

A few random networks of growing width beside the closed form; x² learnt from -1 to 1 and asked for outside, by kernel
regression and by small networks that are trained; the eigenvalues on the circle, and on pairs and triples of circles.
Everything is tiny and synthetic: it shows what the formulas say, not what networks on real data do.

    python benchmarks/kernels.py --csv benchmarks/results/kernels.csv --png docs/kernels.png
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import csv_files
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from blockyard.analysis.tangent_kernel import tangent_kernel
from blockyard.analysis.wide_limits import HadamardNetwork, HierarchicalNetwork, hadamard_kernel, hierarchical_kernels
from blockyard.blocks import PolynomialBranch

WIDTHS = (16, 64, 256, 1024)
SEEDS = range(5)
OUTSIDE = (1.5, 2.0, 3.0)
TREES = {"two patches of 2": (2, 2), "three patches of 2": (2, 3)}
GRID = {2: 512, 3: 96}
"""Positions on each circle, by how many circles there are."""


class Row(NamedTuple):
    """A number: of which system, what, of which network, at which width, place or frequency."""

    system: str
    what: str
    network: str
    at: float
    value: float


def widths() -> Iterator[Row]:
    """How far tangent kernels of random networks are from the closed form, as a part of its length."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 6, dtype=torch.float64, generator=generator) / math.sqrt(6)
    z = torch.randn(6, 2, 8, dtype=torch.float64, generator=generator)
    for degree in (1, 2, 3):
        expected = hadamard_kernel(x, x, degree)
        for width in WIDTHS:
            error = _error(lambda w=width, n=degree: HadamardNetwork(6, w, n), x, expected)
            yield Row("products", "error", f"degree {degree}", width, error)
    expected = hierarchical_kernels(z, z, (2, 2, 2)).tangent
    for width in WIDTHS[:-1]:
        error = _error(lambda w=width: HierarchicalNetwork(2, (8,), w, (2, 2, 2)), z, expected)
        yield Row("trees", "error", "patches 2 · 2 · 2", width, error)


def _error(make: Callable[[], nn.Module], x: Tensor, expected: Tensor) -> float:
    errors = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        errors.append(float((tangent_kernel(make(), list(x[:, None]))[0] - expected).norm() / expected.norm()))
    return sum(errors) / len(errors)


def extrapolation() -> Iterator[Row]:
    """What is said of x² outside; of trained networks the mean over seeds."""
    x, asked = _points(torch.linspace(-1, 1, 21)), _points(torch.tensor(OUTSIDE))
    square = x[:, :1].square()
    for name, degree, relu in (("ReLU", 1, True), ("ReLU, degree 2", 2, True), ("polynomial, degree 2", 2, False)):
        weights = torch.linalg.lstsq(hadamard_kernel(x, x, degree, relu), square, driver="gelsd").solution
        found = hadamard_kernel(asked, x, degree, relu) @ weights
        yield from (Row("products", "kernel's x²", name, at, float(y)) for at, y in zip(OUTSIDE, found, strict=True))
    networks: dict[str, Callable[[], nn.Module]] = {
        "ReLU": lambda: HadamardNetwork(2, 64, 1),
        "ReLU, degree 2": lambda: HadamardNetwork(2, 64, 2),
        "PolynomialBranch": _branch,
    }
    for name, make in networks.items():
        found = torch.stack([_trained(make, seed, x, square)(asked) for seed in SEEDS]).mean(0)
        yield from (Row("products", "trained x²", name, at, float(y)) for at, y in zip(OUTSIDE, found, strict=True))


def _points(at: Tensor) -> Tensor:
    return torch.stack([at.double(), torch.ones_like(at).double()], 1)


def _branch() -> nn.Module:
    block = PolynomialBranch(2, 1, inner=16, norm=False)
    nn.init.constant_(block.alpha, 0.5)
    return nn.Sequential(nn.Unflatten(1, (2, 1)), block, nn.Flatten(), nn.Linear(2, 1))


def _trained(make: Callable[[], nn.Module], seed: int, x: Tensor, y: Tensor) -> nn.Module:
    torch.manual_seed(seed)
    network = make().double()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(3000):
        optimizer.zero_grad()
        (network(x) - y).square().mean().backward()
        optimizer.step()
    return network.requires_grad_(False)


def spectra() -> Iterator[Row]:
    """Eigenvalues at a frequency, as shares of their sum: on the circle, and of trees by what a function depends on."""
    points = _circles(1, 1024)
    for degree in (1, 2, 4, 8):
        kernel = hadamard_kernel(points[:1], points, degree)[0]
        found = torch.fft.rfft(kernel).real / len(kernel) / kernel[0]
        yield from (Row("products", "eigenvalue", f"degree {degree}", k, float(found[k])) for k in range(1, 33))
    for name, patches in TREES.items():
        circles, count = patches[1], GRID[patches[1]]
        points = _circles(circles, count)[:, None]
        for kind, kernel in hierarchical_kernels(points[:1], points, patches)._asdict().items():
            cube = torch.fft.fftn(kernel.view((count,) * circles)).real / kernel.numel() / kernel[0, 0]
            for level, across in (("one patch", 1), ("the whole input", circles)):
                for k in range(2, count // 8 + 1, 2):  # beyond, a grid folds back what it can't tell apart
                    place = (k,) * across + (0,) * (circles - across)
                    yield Row("trees", f"eigenvalue, {kind}", f"{name}: {level}", k, float(cube[place]))


def _circles(number: int, count: int) -> Tensor:
    """A grid of points on a product of circles, ``(count^number, 2 number)``."""
    angle = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    grid = torch.cartesian_prod(*[angle] * number).view(-1, number)
    return torch.stack([grid.cos(), grid.sin()], 2).flatten(1)


def exponents(rows: Sequence[Row]) -> Iterator[Row]:
    """How fast eigenvalues of trees fall, between the largest frequency and the one nearest to half of it."""
    of_trees = [row for row in rows if row.system == "trees" and row.what.startswith("eigenvalue")]
    for what, network in dict.fromkeys((row.what, row.network) for row in of_trees):
        found = {row.at: row.value for row in of_trees if (row.what, row.network) == (what, network)}
        last = max(found)
        fall = math.log(found[last / 2] / found[last]) / math.log(2)
        yield Row("trees", what.replace("eigenvalue", "exponent"), network, last, fall)


def draw(rows: Sequence[Row], path: Path) -> None:
    """One panel each: error by width, x² outside, eigenvalues of products and of trees."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    (width, outside), (circle, trees) = figure.subplots(2, 2)
    _lines(width, [row for row in rows if row.what == "error"], lambda row: f"{row.system}, {row.network}")
    width.set(xscale="log", yscale="log", xlabel="width", ylabel="error of the kernel", title="random networks")
    _lines(outside, [row for row in rows if row.what.endswith("x²")], lambda row: f"{row.what[:-2]}{row.network}")
    at = torch.linspace(1, OUTSIDE[-1], 50)
    outside.plot(at, at.square(), "k:", label="x²")
    outside.set(xlabel="x, learnt from -1 to 1", title="x² outside")
    _lines(circle, [row for row in rows if (row.system, row.what) == ("products", "eigenvalue") and row.value > 1e-9])
    circle.set(xscale="log", yscale="log", xlabel="frequency", ylabel="share", title="eigenvalues on the circle")
    _lines(trees, [row for row in rows if row.what == "eigenvalue, tangent"])
    trees.set_xscale("log", base=2)
    trees.set(yscale="log", xlabel="frequency", ylabel="share", title="eigenvalues of trees")
    for axes in (width, outside, circle, trees):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6)
    figure.savefig(path, dpi=100)


def _lines(axes: Axes, rows: Sequence[Row], name: Callable[[Row], str] = lambda row: row.network) -> None:
    for label in dict.fromkeys(map(name, rows)):
        chosen = [row for row in rows if name(row) == label]
        axes.plot([row.at for row in chosen], [row.value for row in chosen], ".-", label=label)


def main() -> None:
    """Compute everything, in a minute."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--png", type=Path)
    asked = parser.parse_args()
    rows = [*widths(), *extrapolation(), *spectra()]
    rows += exponents(rows)
    shown = [row for row in rows if not row.what.startswith("eigenvalue")]
    for row in shown:
        print(f"{row.system:9} {row.what:20} {row.network:40} {row.at:6g} {row.value:.4g}")
    if asked.csv:
        csv_files.write(asked.csv, [row._asdict() | {"value": f"{row.value:.6g}", "at": f"{row.at:g}"} for row in rows])
    if asked.png:
        draw(rows, asked.png)


if __name__ == "__main__":
    main()

"""The table and the picture of docs/pruning.md: criteria beside each other, from the committed benchmark."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measured import rows_of
from objective_tables import percent

from blockyard.leaderboard.statistics import estimate

Key = tuple[str, str, float, str]
"""Data, criterion, share of MACs, statistics."""
DATA = {"Digits": "ResNet-18, digits", "SpokenCommands": "PreResNet-8, spoken commands"}
STATISTICS = {"left": "statistics of the whole network", "new": "taken anew from 512 samples"}
SHOWN = ((0.8, "left"), (0.8, "new"), (0.5, "left"), (0.5, "new"), (0.35, "new"), (0.2, "new"))


def scores() -> dict[Key, list[float]]:
    """Accuracies, one a seed."""
    found: dict[Key, list[float]] = {}
    for row in rows_of("pruning"):
        key = (row["data"], row["criterion"], float(row["keep"]), row["statistics"])
        found.setdefault(key, []).append(float(row["top1"]))
    return found


def criteria() -> str:
    """A row for each criterion and network: accuracy at some shares of the MACs."""
    found = scores()
    titles = " | ".join(f"{share:.0%}, {statistics}" for share, statistics in SHOWN)
    lines = [f"| network | criterion | {titles} |", f"| --- | --- |{' --: |' * len(SHOWN)}"]
    names = list(dict.fromkeys(criterion for _, criterion, _, _ in found if criterion != "none"))
    for data, network in DATA.items():
        for name in names:
            cells = [percent(estimate(found[data, name, *shown])) for shown in SHOWN]
            lines.append(f"| {network} | {name} | {' | '.join(cells)} |")
    whole = ", ".join(
        f"{network} {percent(estimate(found[data, 'none', 1.0, 'left']))}" for data, network in DATA.items()
    )
    return "\n".join([*lines, "", f"Of the whole networks, %: {whole}."])


def draw(path: Path) -> None:
    """Plot accuracy against the share of MACs: a row a network, a column a kind of statistics."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    found = scores()
    for axes, (data, network) in zip(grid, DATA.items(), strict=True):
        for panel, (statistics, title) in zip(axes, STATISTICS.items(), strict=True):
            _curves(panel, found, data, statistics)
            panel.set_title(f"{network}: {title}", fontsize=9)
            panel.grid(alpha=0.3)
        axes[0].set_ylabel("top-1, %")
    for panel in grid[1]:
        panel.set_xlabel("MACs kept, %")
    grid[0][1].legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)


def _curves(axes: Axes, found: dict[Key, list[float]], data: str, statistics: str) -> None:
    """A line for each criterion with its interval, from the whole network down."""
    names = dict.fromkeys(criterion for _, criterion, _, _ in found if criterion != "none")
    for name in names:
        points = {1.0: found[data, "none", 1.0, "left"]}
        points |= {key[2]: values for key, values in found.items() if key[:2] == (data, name) and key[3] == statistics}
        shares = sorted(points)
        means = [estimate(points[share]) for share in shares]
        axes.errorbar(
            [100 * share for share in shares],
            [100 * one.mean for one in means],
            [100 * (one.half_width or 0) for one in means],
            label=name,
            linewidth=1,
            elinewidth=0.6,
            color="black" if name == "Random" else None,
            linestyle="--" if name == "Random" else "-",
        )

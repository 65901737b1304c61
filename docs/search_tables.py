"""The table and the picture of docs/search.md: strategies at an equal budget, from the committed benchmark."""

from __future__ import annotations

from pathlib import Path

from measured import rows_of

from blockyard.analysis.front_drawing import draw_fronts
from blockyard.commands.search_file import Judged, reference, values_of
from blockyard.compression.searching.front import front, hypervolume
from blockyard.leaderboard.statistics import estimate, paired_difference

OBJECTIVES = ["accuracy", "bytes"]
BUDGETS = (16, 32, 48, 64)
CLASSES = 10
SHOWN = "1"
"""The seed whose fronts are drawn."""


def searches() -> dict[str, dict[str, list[Judged]]]:
    """What was judged, in order, by strategy and seed."""
    found: dict[str, dict[str, list[Judged]]] = {}
    for row in rows_of("searching"):
        judged = {name: float(value) for name, value in row.items() if name not in {"strategy", "seed", "number"}}
        found.setdefault(row["strategy"], {}).setdefault(row["seed"], []).append(judged)
    return found


def volumes(budget: int) -> dict[str, dict[int, float]]:
    """The hypervolume after so many networks, by strategy and seed."""
    found = searches()
    ((whole,),) = found.pop("whole").values()
    end = reference(OBJECTIVES, CLASSES)
    return {
        strategy: {
            int(seed): hypervolume([values_of(one, whole, OBJECTIVES) for one in judged[:budget]], end)
            for seed, judged in seeds.items()
        }
        for strategy, seeds in found.items()
    }


def budgets() -> str:
    """A row for each strategy, with its difference to chance at the last budget."""
    by_budget = {budget: volumes(budget) for budget in BUDGETS}
    lines = [f"| networks judged | {' | '.join(map(str, BUDGETS))} | beside random at {BUDGETS[-1]} |"]
    lines.append("| --- |" + " --: |" * (len(BUDGETS) + 1))
    last = by_budget[BUDGETS[-1]]
    for strategy, seeds in last.items():
        cells = []
        for budget in BUDGETS:
            found = estimate([*by_budget[budget][strategy].values()])
            cells.append(f"{found.mean:.2f} ± {found.half_width or 0:.2f}")
        apart = paired_difference(seeds, last["random"]) if strategy != "random" else None
        cells.append(f"{apart.mean:+.2f} ± {apart.half_width or 0:.2f}" if apart else "")
        lines.append(f"| `{strategy}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path: Path) -> None:
    """Draw one search of each strategy."""
    found = searches()
    ((whole,),) = found.pop("whole").values()
    shown = {}
    for strategy, seeds in found.items():
        judged = seeds[SHOWN]
        best = front([values_of(one, whole, OBJECTIVES) for one in judged])
        shown[strategy] = (judged, [judged[number] for number in best])
    path.write_bytes(draw_fronts(shown, whole, OBJECTIVES))

"""Blocks down, abilities across: what each block is for, from the records of the diagnostics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from blockyard.leaderboard.counting import Kind, count, is_complete
from blockyard.leaderboard.identity import canonical
from blockyard.leaderboard.labels import NO_BLOCK, class_name, differences
from blockyard.leaderboard.record import Record
from blockyard.leaderboard.statistics import Estimate, estimate, holm, paired_difference, paired_p_value
from blockyard.metrics import counted

CONFIGS = Path(__file__).parents[1] / "configs" / "diagnostics"
ABILITIES = ("transport-beyond", "transport-across", "pairing", "conjunction", "product", "covariance", "order")
"""What a network without the ability can't do; each is a configuration in :data:`CONFIGS`."""
CONTROLS = ("transport-near", "control")
"""What every network can do."""
COLUMNS = (*ABILITIES, *CONTROLS)
OF_PIXELS = "aAcc"
"""The accuracy of a task whose labels are those of pixels; the others are ranked by theirs."""
LEVEL = 0.01
"""Below this p value, corrected for all cells of the profile, a difference is marked."""
LIFT = 0.2
"""A block brings an ability if it lifts the accuracy by this much, so marked."""
BETTER, WORSE = "▲", "▼"
MISSING = "–"
LEGEND = (
    f"Accuracy in %, mean over seeds ± half its 95 % interval; {BETTER} better or {WORSE} worse than with no block:"
    f" p < {LEVEL} in a t test paired by seed, corrected for all cells (Holm)."
)


def percent(value: Estimate) -> str:
    """A mean in %, and half its interval if it has one."""
    half = "" if value.half_width is None else f" ± {100 * value.half_width:.1f}"
    return f"{100 * value.mean:.1f}{half}"


@dataclass(frozen=True)
class Cell:
    """What a block scores where an ability decides.

    Attributes:
        score: Accuracy.
        difference: Accuracy − that of the network with no block, paired by seed; None for that network itself.
        p: Significance of the difference, corrected for all cells; None below five pairs.
        costs: Parameters, and multiply–accumulates of one sample.
    """

    score: Estimate
    difference: Estimate | None
    p: float | None
    costs: tuple[int, int] = (0, 0)

    @property
    def sign(self) -> str:
        """:data:`BETTER`, :data:`WORSE` or nothing."""
        if self.difference is None or self.p is None or self.p >= LEVEL:
            return ""
        return BETTER if self.difference.mean > 0 else WORSE

    @property
    def lifts(self) -> bool:
        """Whether the block brings the ability."""
        return self.sign == BETTER and self.difference is not None and self.difference.mean >= LIFT

    @property
    def text(self) -> str:
        """Accuracy with its interval, and the sign."""
        return f"{percent(self.score)} {self.sign}".rstrip()

    @property
    def words(self) -> str:
        """The difference, for who asks for more."""
        if self.difference is None:
            return counted(self.score.n, "seed")
        known = "" if self.p is None else f", p = {self.p:.2g}"
        sign = "+" if self.difference.mean >= 0 else ""
        return f"{sign}{percent(self.difference)}, {counted(self.difference.n, 'pair')}{known}"


@dataclass(frozen=True)
class Profile:
    """The matrix.

    Attributes:
        columns: Those of :data:`COLUMNS` that there are records of.
        rows: What is plugged in to its cells by column; ``none`` first, then what brings the most abilities.
        experiments: Those that it is made of.
    """

    columns: tuple[str, ...]
    rows: dict[str, dict[str, Cell]]
    experiments: frozenset[str] = frozenset()

    def texts(self) -> list[list[str]]:
        """The matrix as text, its header first."""
        body = [
            [name, *(cells[c].text if c in cells else MISSING for c in self.columns)]
            for name, cells in self.rows.items()
        ]
        return [["Block", *self.columns], *body]


def profile(records: Iterable[Record], asked: Mapping[str, Mapping[str, Any]] | None = None) -> Profile:
    """The profile of blocks, from those records that are of diagnostics, trained to their end.

    Args:
        records: Any records.
        asked: For each column what the configurations of its runs say; by default the packaged configurations.
    """
    asked = asked or packaged()
    found = {name: _whole([r for r in records if says(r.config, asked[name])]) for name in asked}
    columns = tuple(name for name in asked if found[name])
    raw = {name: _cells(found[name]) for name in columns}
    adjusted = iter(holm([cell.p for cells in raw.values() for _, cell in cells if cell.p is not None]))
    rows: dict[str, dict[str, Cell]] = defaultdict(dict)
    for column, cells in raw.items():
        for name, cell in cells:
            rows[name][column] = cell if cell.p is None else replace(cell, p=next(adjusted))

    def rank(name: str) -> tuple[bool, int, float, str]:
        lifted = [cell.difference.mean for cell in rows[name].values() if cell.difference]
        return name != NO_BLOCK, -sum(cell.lifts for cell in rows[name].values()), -sum(lifted), name

    experiments = frozenset(runs[0].experiment for kinds in found.values() for runs in kinds.values())
    return Profile(columns, {name: rows[name] for name in sorted(rows, key=rank)}, experiments)


@cache
def packaged() -> dict[str, dict[str, Any]]:
    """What a run of each diagnostic says: its configuration, without what is plugged in and where the data lie."""
    found = {}
    for name in COLUMNS:
        config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
        for section, unasked in (("model", ("block", "at")), ("data", ("root", "num_workers"))):
            for option in unasked:
                config[section]["init_args"].pop(option, None)
        found[name] = config
    return found


@cache
def questions() -> dict[str, str]:
    """What each column asks, in the words of its configuration's first line."""
    first = {name: (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0] for name in COLUMNS}
    return {name: line.removeprefix("# ").partition(" See ")[0] for name, line in first.items()}


def says(given: Any, asked: Any) -> bool:
    """Whether a resolved configuration says all that another says; a class may go by its name alone."""
    if isinstance(asked, Mapping):
        return isinstance(given, Mapping) and all(key in given and says(given[key], asked[key]) for key in asked)
    if isinstance(asked, str):
        given = given.get("class_path") if isinstance(given, Mapping) else given
        return isinstance(given, str) and given.rpartition(".")[2] == asked.rpartition(".")[2]
    return bool(given == asked)


def accuracy(record: Record) -> float:
    """The accuracy that a record has."""
    return record.metrics.get(OF_PIXELS, record.metrics[record.primary])


def _whole(records: Sequence[Record]) -> dict[Kind, list[Record]]:
    """The rows of whole trainings that are compared with one baseline: the one with the most runs."""
    counted = {kind: runs for kind, runs in count(records).rows.items() if is_complete(runs[0])}
    runs_of: dict[tuple[str, str | None, int], int] = defaultdict(int)
    for kind, runs in counted.items():
        runs_of[_compared(kind, runs)] += len(runs)
    most = max(runs_of, key=lambda key: (runs_of[key], str(key)), default=None)
    return {kind: runs for kind, runs in counted.items() if _compared(kind, runs) == most}


def _compared(kind: Kind, runs: Sequence[Record]) -> tuple[str, str | None, int]:
    return runs[0].baseline, kind.checkpoint, kind.test_samples


def _cells(rows: Mapping[Kind, list[Record]]) -> list[tuple[str, Cell]]:
    """Name and cell of every row; significance is not corrected yet."""
    none = next((runs for runs in rows.values() if runs[0].experiment == runs[0].baseline), [])
    reference = {run.seed: accuracy(run) for run in none}
    cells = []
    for name, runs in zip(_names(list(rows.values())), rows.values(), strict=True):
        scores, least = {run.seed: accuracy(run) for run in runs}, 1 / runs[0].test_samples
        score, costs = estimate(list(scores.values()), least=least), (runs[0].parameters, runs[0].macs)
        if runs is none:
            cells.append((name, Cell(score, None, None, costs)))
            continue
        difference = paired_difference(scores, reference, least=least)
        p = paired_p_value(scores, reference, least=least)
        cells.append((name, Cell(score, difference, p, costs)))
    return cells


def _names(rows: Sequence[Sequence[Record]]) -> list[str]:
    """What is plugged in, with the options in which it differs from what is called the same."""
    families = [" + ".join(class_name(plug["block"]) for plug in runs[0].plugs) or NO_BLOCK for runs in rows]
    names = list(families)
    for family in {family for family in families if families.count(family) > 1}:
        alike = [index for index, name in enumerate(families) if name == family]
        settings = differences([canonical(rows[index][0].config) for index in alike])
        for index, text in zip(alike, settings, strict=True):
            names[index] = f"{family}({text})"
    return names

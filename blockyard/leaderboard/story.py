"""What the records say at a glance: where a block makes a difference, by how much and at what cost; and where none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from blockyard.leaderboard.columns import signed, with_interval
from blockyard.leaderboard.labels import NO_BLOCK
from blockyard.leaderboard.matrix import SIGNS, Verdict, breakable
from blockyard.leaderboard.profile import Profile, questions
from blockyard.leaderboard.statistics import ALPHA, Estimate
from blockyard.leaderboard.tables import Row, Table
from blockyard.metrics import Metric, counted

ACCURACY = Metric("accuracy", low=0, high=1)
WIDTH, HEIGHT, EDGE = 240, 22, 8
"""Of the strip of all blocks, and the room at its ends; CSS pixels at full size."""
LISTED = 3
"""So many names stand in a sentence at most."""


@dataclass(frozen=True)
class Effect:
    """What a block does beside none.

    Attributes:
        block: What is plugged in where.
        gain: The difference, paired by seed.
        said: Whether it is significantly better or worse.
        parameters: Parameters that it adds.
        macs: Multiply–accumulates that it adds.
        share: The same as a share of those of the network without it; None if that has none.
    """

    block: str
    gain: Estimate
    said: Verdict
    parameters: int
    macs: int
    share: float | None

    @property
    def cost(self) -> str:
        """In words."""
        if self.parameters == self.macs == 0:
            return "no parameters and no MACs"
        macs = "" if self.share is None else f"{100 * self.share:+.1f} % MACs, "
        return f"{macs}{self.parameters:+,} parameters"


@dataclass(frozen=True)
class Finding:
    """What blocks do on one data set.

    Attributes:
        title: What is asked: a data set, or an ability.
        kind: The task.
        link: The section that holds the numbers.
        metric: What is measured.
        floors: Scores without a block, one for each backbone and setting.
        effects: Of every block that can be compared.
    """

    title: str
    kind: str
    link: str
    metric: Metric
    floors: Sequence[Estimate]
    effects: Sequence[Effect]

    def of(self, said: Verdict) -> list[Effect]:
        """The effects of one kind, that first which is best by its mean."""
        sign = -1 if self.metric.higher_is_better else 1
        return sorted((one for one in self.effects if one.said == said), key=lambda one: sign * one.gain.mean)

    @property
    def tells(self) -> bool:
        """Whether any block can be told from none."""
        return any(one.said != "unclear" for one in self.effects)


def findings(tables: Sequence[Table], found: Profile | None) -> list[Finding]:
    """The abilities of the profile, then the tables that are not made of its runs; those first where more helps."""
    known = found.experiments if found else frozenset[str]()
    others = [_of_table(number, table, known) for number, table in enumerate(tables, 1)]
    others = [one for one in others if one.effects]
    others.sort(key=lambda one: (not one.tells, -len(one.of("better")), one.title))
    return [*_of_profile(found), *others]


def _of_profile(found: Profile | None) -> list[Finding]:
    if found is None:
        return []
    made, asked = [], questions()
    for column in found.columns:
        floor = found.rows.get(NO_BLOCK, {}).get(column)
        cells = [(name, cells[column]) for name, cells in found.rows.items() if column in cells]
        effects = [
            _effect(name, cell.difference, _said(cell.p, cell.difference, cell.sign), cell.costs, floor.costs)
            for name, cell in cells
            if cell.difference and floor
        ]
        if effects and floor:
            made.append(Finding(column, asked.get(column, "ability"), "profile", ACCURACY, [floor.score], effects))
    return made


def _said(p: float | None, gain: Estimate, sign: str) -> Verdict:
    """The verdict of a cell of the profile, which has a level of its own."""
    return "unclear" if not sign or p is None else "better" if gain.mean > 0 else "worse"


def _of_table(number: int, table: Table, known: frozenset[str]) -> Finding:
    rows = [row for row in table.rows if row.experiment not in known]
    bases = {row.experiment: row for row in rows if row.is_baseline}
    effects = [
        _effect(
            row.block, row.difference, _verdict(row, table), (row.parameters, row.macs), (base.parameters, base.macs)
        )
        for row in rows
        if not row.is_baseline and row.difference and (base := bases.get(row.baseline))
    ]
    floors = [row.score for row in bases.values()]
    return Finding(table.data, table.task, f"table-{number}", table.primary, floors, effects)


def _verdict(row: Row, table: Table) -> Verdict:
    if row.p is None or row.p >= ALPHA or row.difference is None:
        return "unclear"
    return "better" if (row.difference.mean > 0) == table.primary.higher_is_better else "worse"


def _effect(block: str, gain: Estimate, said: Verdict, costs: tuple[int, int], floor: tuple[int, int]) -> Effect:
    parameters, macs = (own - base for own, base in zip(costs, floor, strict=True))
    return Effect(block, gain, said, parameters, macs, macs / floor[1] if floor[1] else None)


def story(tables: Sequence[Table], found: Profile | None) -> str:
    """The first screen as HTML."""
    made = findings(tables, found)
    telling, silent = [one for one in made if one.tells], [one for one in made if not one.tells]
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADS)
    grid = (
        f'<table class="story" aria-labelledby="story"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(map(_line, telling))}</tbody></table>"
    )
    rest = "".join(f"<li>{_silent(one)}</li>" for one in silent)
    untold = f'<h3>Nothing can be told apart yet</h3><ul class="untold">{rest}</ul>' if silent else ""
    return f'<p class="lead">{_lead(telling, silent, found)}</p>{grid if telling else ""}{untold}'


HEADS = ("Where", "Without a block", "Helps most", "Cheapest that helps", "All blocks")


def _lead(telling: Sequence[Finding], silent: Sequence[Finding], found: Profile | None) -> str:
    """The story in two or three sentences."""
    if not telling:
        why = "no difference to the same network without a block is significant" if silent else "there is no comparison"
        return f"Nothing can be told apart yet: {why}."
    helped = [one for one in telling if one.of("better")]
    said = [f"<strong>Some block helps on {len(helped)} of {counted(len(telling) + len(silent), 'data set')}</strong>"]
    if silent:
        said.append(f"; on {len(silent)} nothing can be told apart yet")
    most = _most(found) if found else ""
    return f"{''.join(said)}. {most}"


def _most(found: Profile) -> str:
    """Which blocks bring the most abilities."""
    brought = {name: sum(cell.lifts for cell in cells.values()) for name, cells in found.rows.items()}
    most = max(brought.values(), default=0)
    if not most:
        return ""
    names = [name for name, count in brought.items() if count == most]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    verb = "bring" if len(names) > 1 else "brings"
    said = f"{', '.join(map(escape, names[:LISTED]))}{more} {verb} most: {most} of {len(found.columns)} abilities."
    if idle := sum(not count for name, count in brought.items() if name != NO_BLOCK):
        said += f" {counted(idle, 'block')} {'bring' if idle > 1 else 'brings'} none."
    return said


def _line(one: Finding) -> str:
    better = one.of("better")
    cheapest = min(better, key=lambda effect: (effect.macs, effect.parameters), default=None)
    counts = [f'<span class="{said}">{SIGNS[said]} {len(one.of(said))} {said}</span>' for said in SIGNS if one.of(said)]
    cells = [
        f'<a href="#{one.link}">{breakable(one.title)}</a><small>{escape(one.kind)}</small>',
        f"{_floors(one)}<small>{escape(one.metric.heading)}</small>",
        _block(one, better[0] if better else None),
        _block(one, cheapest),
        f"{strip(one)}<small>{' '.join(counts)}</small>",
    ]
    first, *others = cells
    body = "".join(f'<td data-label="{name}">{cell}</td>' for name, cell in zip(HEADS[1:], others, strict=True))
    return f'<tr><th scope="row">{first}</th>{body}</tr>'


def _floors(one: Finding) -> str:
    if len(one.floors) == 1:
        return with_interval(one.floors[0], one.metric)
    means = [floor.mean for floor in one.floors]
    return f"{one.metric.text(min(means))} … {one.metric.text(max(means))}" if means else "–"


def _block(one: Finding, effect: Effect | None) -> str:
    if effect is None:
        return '<span class="empty">none</span>'
    return f"<strong>{breakable(effect.block)}</strong> {_gain(effect.gain, one.metric)}<small>{effect.cost}</small>"


def _gain(gain: Estimate, metric: Metric) -> str:
    half = "" if gain.half_width is None else f" ± {metric.text(gain.half_width)}"
    return f'<span class="gain">{signed(gain.mean, metric)}{half}</span>'


def _silent(one: Finding) -> str:
    """What is not known, and why."""
    nearest = one.of("unclear")[0]
    pairs = sorted({effect.gain.n for effect in one.effects})
    seeds = counted(pairs[0], "seed") if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]} seeds"
    return (
        f'<a href="#{one.link}">{escape(one.title)}</a>: {counted(len(one.effects), "comparison")}, {seeds}; best by '
        f"its mean {breakable(nearest.block)}, {_gain(nearest.gain, one.metric)} {escape(one.metric.shown_unit)}"
    )


def strip(one: Finding) -> str:
    """Every block as a dot by its difference, those that are significant in colour; an SVG picture."""
    means = [effect.gain.mean for effect in one.effects]
    low, high = min(0.0, *means, 0.0), max(0.0, *means, 0.0)
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (value - low) / span

    # whole pixels: of a thousand blocks most lie over each other
    dots = dict.fromkeys((effect.said, round(at(effect.gain.mean))) for effect in _clear_last(one.effects))
    drawn = "".join(f'<circle class="dot {said}" cx="{x}" cy="{HEIGHT / 2:g}" r="5"/>' for said, x in dots)
    ends = f"from {signed(low, one.metric)} to {signed(high, one.metric)} {one.metric.shown_unit}".rstrip()
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Differences of all blocks, '
        f'{escape(ends)}"><path class="grid" d="M{EDGE} {HEIGHT / 2:g}H{WIDTH - EDGE}"/>'
        f'<path class="zero" d="M{at(0):.1f} 1V{HEIGHT - 1}"/>{drawn}</svg>'
    )


def _clear_last(effects: Iterable[Effect]) -> list[Effect]:
    return sorted(effects, key=lambda effect: effect.said != "unclear")

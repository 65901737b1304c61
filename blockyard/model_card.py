"""The README of a network that is passed on: what it is, what it scores, on which data, and how to make it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from blockyard.leaderboard.bootstrap import Interval, StoredScores, averaged_score, bootstrap_mean
from blockyard.leaderboard.columns import difference, with_interval
from blockyard.leaderboard.record import Record, read_all
from blockyard.leaderboard.render import markdown_grid
from blockyard.leaderboard.tables import Row, tables
from blockyard.portable import Card

TRAINING = "training.yaml"
"""The file that holds the configuration of the training."""
UNKNOWN = (
    "There is no record of this run: `blockyard test --ckpt_path …` makes one, and `export --records DIR` reads it."
)


class Evidence(NamedTuple):
    """What is on record of a network.

    Attributes:
        own: The record of its run; None if there is none.
        row: Its experiment over all seeds on record.
        interval: That of the run's score over its test samples; None where it is no mean over samples.
    """

    own: Record | None
    row: Row
    interval: Interval | None


def evidence(card: Card, folders: Sequence[Path]) -> Evidence | None:
    """What the records of some folders say of a network; None if they say nothing.

    Args:
        card: What the network is.
        folders: Folders of records; those that are missing are passed over.
    """
    there = [folder for folder in folders if folder.is_dir()]
    records = read_all(there)[0] if card.experiment else []
    own = next((record for record in records if record.run == card.run and not record.repeat), None)
    kin = {own.baseline} if own else {record.baseline for record in records if record.experiment == card.experiment}
    made = tables([record for record in records if record.experiment in {card.experiment, *kin}])
    rows = [row for table in made for row in table.rows if row.experiment == card.experiment]
    if not rows:
        return None
    return Evidence(own, max(rows, key=lambda row: row.score.n), _over_samples(own, there) if own else None)


def _over_samples(own: Record, folders: Sequence[Path]) -> Interval | None:
    try:
        scores = StoredScores(folders).of(own)
        return bootstrap_mean(scores[averaged_score([(own, scores)])])
    except ValueError:  # no scores, or a metric that is no mean of them
        return None


def model_card(card: Card, name: str, found: Evidence | None = None, training: str = "") -> str:
    """The README of a folder, in Markdown, with the hub's header.

    Args:
        card: What the network is.
        name: Name of the folder.
        found: What is on record of it.
        training: The command that trains it again; empty where that is not known.
    """
    header = yaml.safe_dump(_header(card, name, found), sort_keys=False, allow_unicode=True)
    shape = ", ".join(map(str, (1, *card.input_shape)))
    sections = [
        f"---\n{header}---\n# {name}",
        markdown_grid([["", ""], *_facts(card)], 2),
        f"## Load it\n\n```python\nimport torch\nfrom blockyard.hub import load_pretrained\n"
        f"output = load_pretrained({name!r})(torch.rand({shape}))\n```\n\n"
        f"In place of `{name}` the path of this folder, or the name of its repository; it takes {card.takes}. "
        "`.network` of what is loaded is the bare network, `.card` says what goes in and what comes out.",
        f"## Scores\n\n{_scores(found) if found else UNKNOWN}",
        f"## Data\n\n{_data(card, found)}",
    ]
    if training:
        sections.append(f"## Make it again\n\n```sh\n{training}\n```\n\n`{TRAINING}` is the training's configuration.")
    return "\n\n".join(sections) + "\n"


def _header(card: Card, name: str, found: Evidence | None) -> dict[str, Any]:
    tag = card.pipeline
    header: dict[str, Any] = {"library_name": "blockyard", "tags": ["blockyard", "pytorch"]}
    if tag:
        header["pipeline_tag"] = tag
    if tag and found and found.own and card.data:
        own = found.own
        metrics = [{"type": key, "name": own.metric(key).heading, "value": value} for key, value in own.metrics.items()]
        data = {"type": card.data.lower(), "name": card.data, "split": "test"}
        header["model-index"] = [
            {"name": name, "results": [{"task": {"type": tag}, "dataset": data, "metrics": metrics}]}
        ]
    return header


def _facts(card: Card) -> list[list[str]]:
    classes = ", ".join(card.classes[:20]) + (", …" if len(card.classes) > 20 else "")
    facts = {
        "task": card.task,
        "network": card.backbone,
        "block": card.block,
        "input": f"float32 (B, {', '.join(map(str, card.input_shape))}), {card.takes}",
        "mean, std": f"{list(card.mean)}, {list(card.std)}" if card.mean else "",
        "output": card.output,
        "classes": f"{card.num_classes}: {classes}" if classes else "",
        "run": f"{card.run}, experiment {card.experiment}, seed {card.seed}" if card.run else "",
    }
    return [[key, " ".join(value.split())] for key, value in facts.items() if value]


def _scores(found: Evidence) -> str:
    """Every metric, with the interval that there is, and what that is of."""
    own, row = found.own, found.row
    several = row.score.n > 1
    if own is None:
        return f"This run has no record; over {row.score.n} others of the experiment the mean is {row.score.mean:.4g}."
    primary = own.metric(own.primary)
    estimates = {primary: row.score, **row.others}
    over = f"mean over {row.score.n} seeds ± half its 95 % interval" if several else "95 % interval over test samples"
    lines = [["metric", f"this run, seed {own.seed}", over]]
    for metric in sorted(map(own.metric, own.metrics), key=lambda one: (one != primary, one.order)):
        seeds = with_interval(estimates[metric], metric) if metric in estimates else ""
        samples = found.interval if metric == primary else None
        interval = f"{metric.text(samples.low)} … {metric.text(samples.high)}" if samples else ""
        lines.append([metric.heading, metric.text(own.metrics[metric.name]), seeds if several else interval])
    said = (
        "The interval covers what another draw of seeds would change (Student t), not the choice of test samples."
        if several
        else "There is one seed on record: the interval is that of this run's own score, its test samples drawn anew "
        "(bootstrap), and does not cover other seeds."
    )
    if row.difference:
        said += (
            f" Difference to the same network without the block: {difference(row.difference, primary)} pairs of seeds."
        )
    return f"{markdown_grid(lines, 1)}\n\n{said}"


def _data(card: Card, found: Evidence | None) -> str:
    own = found.own if found else None
    prints = {name: digits for name, digits in card.fingerprints.items() if name != "of"}
    said = [f"`{card.data or 'unknown'}`"]
    said += [f"{own.test_samples:,} test samples"] if own else []
    said += ["fingerprints " + ", ".join(f"{name} `{digits}`" for name, digits in prints.items())] if prints else []
    return (
        f"{', '.join(said)}.\n\nThe code, blockyard, is under Apache-2.0. The data "
        "are under the terms of their publisher, which may bind who passes on or uses weights that were trained on "
        "them: read these terms first."
    )

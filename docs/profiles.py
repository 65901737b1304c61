"""Write the profile of the blocks, as a picture and as tables, from the committed records; ``make docs`` runs it."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import yaml

from blockyard.composing.composition import merge
from blockyard.leaderboard.profile import ABILITIES, CONFIGS, MISSING, Profile, packaged, percent, profile
from blockyard.leaderboard.profile_picture import Predictions, failed, picture, prediction_of
from blockyard.leaderboard.record import Record, read_all
from blockyard.leaderboard.render import markdown_grid

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "diagnostics.md"
FOLDER = ROOT / "leaderboard" / "diagnostics"
PICTURE = ROOT / "docs" / "profile.svg"
CHECKS = {"longer": ("longer", "longer-pairing"), "wider": ("wider-masks", "wider")}
"""Folders of the records that check the diagnostics, and the studies ``diagnostics-…`` that they are of."""


def records(folder: str = "records") -> list[Record]:
    """Those of the study, or those that check the diagnostics.

    Raises:
        ValueError: If one is damaged.
    """
    found, damaged = read_all([FOLDER / folder])
    if damaged:
        raise ValueError(damaged[0])
    return found


def study() -> Profile:
    """The profile of all blocks."""
    return profile(records())


def drawn() -> str:
    """Its picture."""
    return picture(study(), predictions())


def checked(folder: str) -> Profile:
    """The profile of the few blocks that were trained longer, or in a wider network."""
    asked = {}
    for name in CHECKS[folder]:
        study = yaml.safe_load((CONFIGS.parent / "studies" / f"diagnostics-{name}.yaml").read_text())
        configs = study["config"] if isinstance(study["config"], list) else [study["config"]]
        columns = [Path(config).stem for config in configs]
        asked |= {column: merge(packaged()[column], study["settings"]) for column in columns}
    return profile(records(folder), {column: asked[column] for column in packaged() if column in asked})


def predictions() -> Predictions:
    """What was predicted before the study ran: name of a row to column to ``+``, ``-`` or ``?``."""
    with (FOLDER / "predictions.csv").open(newline="") as file:
        return {row.pop("block"): row for row in csv.DictReader(file)}


def matrix(found: Profile, said: Predictions) -> str:
    """The profile with what was predicted behind each score."""
    header, *rows = found.texts()
    marked = [
        [
            name,
            *(
                f"{text} {_told(prediction_of(name, c, said))}".rstrip()
                for c, text in zip(found.columns, texts, strict=True)
            ),
        ]
        for name, *texts in rows
    ]
    return markdown_grid([header, *marked], 1)


def _told(mark: str) -> str:
    return f"({mark.replace('-', '−')})" if mark else ""


def otherwise(found: Profile, said: Predictions) -> str:
    """Predictions that came otherwise, a line each block; and how many came true."""
    lines, judged = [], Counter[bool]()
    for name, cells in found.rows.items():
        marks = {column: prediction_of(name, column, said) for column in ABILITIES if column in cells}
        sure = [column for column, mark in marks.items() if mark in ("+", "-") and cells[column].p is not None]
        wrong = [column for column in sure if failed(marks[column], cells[column])]
        judged.update({False: len(sure) - len(wrong), True: len(wrong)})
        if wrong:
            lines.append(f"- {name}: {', '.join(f'{c} {cells[c].text} {_told(marks[c])}' for c in wrong)}")
    return "\n".join([f"Of {judged.total()} predictions, {judged[False]} came true. These did not:", "", *lines])


def acceptance(found: Profile) -> str:
    """What the study has beside what the same blocks reach longer trained and in a wider network; a block each."""
    checks = {"study": found, **{name: checked(name) for name in CHECKS}}
    columns = checks["longer"].columns
    rows = [
        [block, name, *(percent(of.rows[block][c].score) if c in of.rows[block] else MISSING for c in columns)]
        for block in checks["longer"].rows
        for name, of in checks.items()
    ]
    return markdown_grid([["Block", "runs", *columns], *rows], 2)


def cost(found: list[Record]) -> str:
    """How many runs the profile is made of, and what they took."""
    seconds = [record.training_seconds or 0.0 for record in found]
    machines = ", ".join(sorted({record.training_hardware or "" for record in found}))
    hours = sum(seconds) / 3600
    return f"{len(found):,} runs, {hours:.1f} hours of training in all ({machines}), {max(seconds):.0f} s the longest."


def updated(text: str) -> str:
    """A page with its generated sections as they should be."""
    found, said = study(), predictions()
    made = {"profile": f"{matrix(found, said)}\n\n{cost(records())}", "otherwise": otherwise(found, said)}
    if all((FOLDER / name).exists() for name in CHECKS):
        made["acceptance"] = acceptance(found)
    for name, content in made.items():
        section = f"<!-- {name}: written by make docs -->\n{content}\n<!-- end of {name} -->"
        text = re.sub(rf"<!-- {name}: .*?<!-- end of {name} -->", lambda _, s=section: s, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
    PICTURE.write_text(drawn())

"""What a test may look at otherwise than the training did, and which result that is."""

from __future__ import annotations

import copy
from pydoc import locate
from typing import Any

from blockyard.leaderboard.identity import FINGERPRINTS


def evaluation_options(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Section and name of the options that only evaluation looks at, of the configuration's task and data module."""
    kinds = [(section, locate(config[section]["class_path"])) for section in ("model", "data")]
    return [(section, option) for section, kind in kinds for option in getattr(kind, "evaluation_options", ())]


def tested_on(saved: dict[str, Any], now: dict[str, str]) -> dict[str, str]:
    """The data that a training was on, as its configuration says, and the test split that it is tested on now."""
    return {"of": now["of"], **saved.get(FINGERPRINTS, {}), **{key: now[key] for key in ("test",) if key in now}}


def evaluated(saved: dict[str, Any], now: dict[str, Any], options: list[tuple[str, str]]) -> dict[str, Any]:
    """The configuration of a training with the evaluation options of ``now``: a result under others is another one.

    So is one on another test split, where ``now`` says on which.
    """
    config = copy.deepcopy(saved)
    if FINGERPRINTS in now:
        config[FINGERPRINTS] = tested_on(saved, now[FINGERPRINTS])
    for section, option in options:
        config[section]["init_args"][option] = now[section]["init_args"].get(option)
    return config

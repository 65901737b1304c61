"""What was recorded stays comparable: today's classes make the same experiments of yesterday's configurations."""

import json
from pathlib import Path

import pytest

from blockyard.composing.composition import Composed
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.leaderboard.identity import FINGERPRINTS, PARENT, PROBE, identity

RECORDS = sorted((Path(__file__).parents[2] / "leaderboard").glob("*/*.json"))
EXPERIMENTS = {record["experiment"]: record for record in (json.loads(path.read_text()) for path in RECORDS)}


class Resolved(SuiteCLI):
    """Parses, which fills in the options that came later, and builds nothing."""

    def instantiate_classes(self) -> None:
        pass


@pytest.mark.parametrize("record", EXPERIMENTS.values(), ids=list(EXPERIMENTS))
def test_a_recorded_configuration_is_the_same_run_today(record):
    # If this fails, a class has a new option: let it be null by default, or enter it in blockyard.leaderboard.identity.
    prepare()
    said = record["config"]
    config = {key: said[key] for key in ("seed_everything", "trainer", "model", "data", PARENT) if key in said}
    now = Resolved(None, Composed(config)).run_config
    kept = {key: said[key] for key in (FINGERPRINTS, PROBE) if key in said}
    if PROBE in said:  # nothing was trained, so that the trainer has no defaults
        kept["trainer"] = said["trainer"]
    assert identity(now | kept).run == record["run"]


def test_there_are_recorded_configurations():
    assert EXPERIMENTS

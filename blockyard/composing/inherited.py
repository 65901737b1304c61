"""What a command takes over from the configuration inside a checkpoint, which anybody may have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from blockyard.leaderboard.identity import fingerprints_of, parent_of


def believed(saved: Any, checkpoint: Path) -> dict[str, Any]:
    """The configuration inside a checkpoint, as far as it is a configuration and the checkpoint's to say.

    Where its run wrote is believed if the checkpoint lies there, in ``checkpoints/``: otherwise one from elsewhere
    could say where a test writes.

    Args:
        saved: What stands in the checkpoint.
        checkpoint: The file.

    Raises:
        ValueError: If it is no configuration of a run.
    """
    try:
        config = yaml.safe_load(yaml.safe_dump(saved))  # plain values without shared nodes
        parts = [config.get(name) or {} for name in ("model", "data", "trainer")]
        parts += [part.get("init_args") or {} for part in parts]
        damaged = not all(isinstance(part, dict) for part in parts)
    except (yaml.YAMLError, AttributeError, RecursionError):
        damaged = True
    if damaged or not isinstance(config.get("seed_everything") or 0, int):
        raise ValueError(f"{checkpoint}: the configuration in it is damaged")
    fingerprints_of(config)
    parent_of(config)
    trainer = dict(config.get("trainer") or {})
    place = trainer.get("default_root_dir")
    if place and Path(str(place)).resolve() != checkpoint.resolve().parent.parent:
        trainer["default_root_dir"] = None
    return {**config, "trainer": trainer}


def inherited(saved: dict[str, Any], keep_trainer: bool) -> dict[str, Any]:
    """The part of a run's configuration that a later command starts from."""
    config: dict[str, Any] = {key: saved[key] for key in ("seed_everything", "model", "data") if key in saved}
    trainer = saved["trainer"]
    config["trainer"] = trainer if keep_trainer else {k: trainer[k] for k in ("precision",) if k in trainer}
    return yaml.safe_load(yaml.safe_dump(config))

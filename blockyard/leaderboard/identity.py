"""Which runs belong together: the identity of a configuration."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SEED = "seed_everything"
SEEDS = range(2**32)
"""Those that NumPy takes."""
IGNORED = (
    # the seed tells runs of one experiment apart
    SEED,
    # how options were found that are there with their values
    "found",
    # paths and the command line
    "config",
    "ckpt_path",
    "weights_only",
    "trainer.default_root_dir",
    "data.init_args.root",
    "data.init_args.predict_folder",
    "data.init_args.predict_path",
    "data.init_args.query_folder",
    "data.init_args.gallery_folder",
    "data.init_args.predict_tile",
    "data.init_args.predict_overlap",
    # what the data are called and by what file they were checked: their fingerprints say which they are
    "data.init_args.name",
    "data.init_args.checked",
    # whom the user trusts
    "model.init_args.trust_config",
    # the machine: the global batch stays the same on any number of devices
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "data.init_args.num_workers",
    # how long it may take before it has to leave; it goes on later
    "trainer.max_time",
    # what is shown and logged
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.enable_checkpointing",
    "trainer.profiler",
    "model.init_args.overlays",
    "model.init_args.confidence",
)
"""Settings that don't tell experiments apart; everything else does."""

IGNORED_CALLBACKS = (
    "ClassReport",
    "ContactSheet",
    "DeviceStatsMonitor",
    "ExactResume",
    "LearningRateMonitor",
    "LossLandscape",
    "KeepBest",
    "KeepLast",
    "ModelCheckpoint",
    "MaskWriter",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "PredictionsCSV",
    "RankedGallery",
    "RetrievalWriter",
    "RichModelSummary",
    "RichProgressBar",
    "RunConfig",
    "RunRecord",
    "SegmentationCases",
    "SegmentationReport",
    "TQDMProgressBar",
    "TagReport",
)
"""Callbacks of Lightning, and of this package (where they say ``only_watches``), that don't change the training."""
LIGHTNING = ("lightning.pytorch.callbacks.", "pytorch_lightning.callbacks.")
"""Where Lightning keeps its callbacks. A class of the same name that lies anywhere else may do anything."""

ADDED: dict[str, dict[str, Any]] = {
    "BackboneFeatures": {"num_classes": 0},
    "MMSegBackbone": {"num_classes": 0},
    "PDCNet": {"strict": True},
    "PreResNet": {"strict": True},
    "TimmFeatures": {"num_classes": 0},
}
"""Options that a class has gained since records of it exist, each with the value that leaves it as it was before.

``{"Adam": {"decoupled_weight_decay": False}}`` leaves that option out of an identity where it has that value: runs from
before and after compare. An entry stays for good: should the default become another value, runs that rely on it are
other experiments, as they must be. An option that is null by default needs no entry, for null is left out anyway. One
of a base class stands under ``Task``, ``DataModule`` or ``Trainer``.
"""
FINGERPRINTS = "fingerprints"
"""Where a configuration says which data it is about: the split, or ``classes``, to 16 hexadecimal digits.

``of`` says whether they are of ``names`` and labels or of ``contents``. Configurations from before this was written
down have none, and stay what they were.
"""
PARENT = "parent"
"""Where a configuration says that its training went on from a checkpoint of another experiment.

``experiment``, ``baseline`` and ``run`` are that one's hashes, ``step`` says after how many optimiser steps, and
``changed`` what the options were until then that are others now. Without ``step`` the training began anew with the
weights of that one's network, wherever they lie; ``by`` is the objective that they come from.
"""
WEIGHTS = "model.init_args.backbone.init_args.weights"
"""The file of weights that a network begins with."""
FOUND = "found"
"""Where a configuration says which of its options were found by trial before the run: by what, and which value."""
PROBE = "probe"
"""Where a configuration says that the network stays as it is, and that its features are judged: by which method.

``method`` and what that depends on, and ``weights``: ``trained``, or ``as built``.
"""
TOGETHER = "together"
"""Where that of one of several tasks learned at once says so: ``task``, its name, ``sets`` of all, options."""
BASES = {"model": "Task", "data": "DataModule", "trainer": "Trainer"}
"""Under which name :data:`ADDED` has the options that a whole section of the configuration has gained."""

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_HASH = re.compile(r"[0-9a-f]{12}")
_CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True)
class Identity:
    """Short hashes of a configuration, 12 hexadecimal digits each.

    Attributes:
        experiment: The configuration without seed and without what :data:`IGNORED` names.
        baseline: The same experiment with no block plugged in; equal to ``experiment`` for a baseline.
        run: Experiment and seed.
    """

    experiment: str
    baseline: str
    run: str


def identity(config: Mapping[str, Any]) -> Identity:
    """Identity of a resolved configuration.

    Args:
        config: What LightningCLI resolved, plain values only: ``seed_everything``, ``trainer``, ``model`` and
            ``data``, the last two with ``class_path`` and ``init_args``.

    Raises:
        ValueError: If a value is not plain data, a class path is malformed, or model, data or seed is
            missing.
    """
    return identity_of(canonical(config), seed_of(config))


def identity_of(experiment: Mapping[str, Any], seed: int) -> Identity:
    """Identity of a configuration that :func:`canonical` has brought into its one form."""
    arguments = experiment["model"]["init_args"]
    unplugged = {key: value for key, value in arguments.items() if key != "plugs"}
    baseline = {**experiment, "model": {**experiment["model"], "init_args": unplugged}}
    if PARENT in baseline:  # the baseline of what went on is a baseline that went on
        baseline[PARENT] = {**baseline[PARENT], "experiment": baseline[PARENT]["baseline"]}
    digest = _digest(experiment)
    return Identity(digest, _digest(baseline), _digest([digest, seed]))


def canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that makes the experiment, in one form however it was written.

    Null and absent are the same, so are 1 and 1.0; classes of this package go by their name alone, so that
    moving one doesn't change an identity; ``block`` with ``at`` becomes an entry of ``plugs``, and every
    entry has one site: ``block`` (class_path, init_args), ``at``, ``mode``, ``gate``.

    Raises:
        ValueError: As :func:`identity`, the seed apart.
    """
    plain = _simplify(config, "")
    if parent := parent_of(config):
        plain[PARENT] = {name: parent[name] for name in ("experiment", "baseline", "step", "by") if name in parent}
        if "step" not in parent:
            _drop(plain, WEIGHTS.split("."))
    for section, base in BASES.items():
        node = plain.get(section, {})
        _forget_added(node if section == "trainer" else node.get("init_args", {}), base)
    for section in ("model", "data"):
        if "class_path" not in plain.get(section, {}):
            raise ValueError(f"config: {section}.class_path is missing")
        plain[section].setdefault("init_args", {})
    sets = plain["data"]["init_args"].get("sets")
    within = [{"data": one} for one in (sets.values() if isinstance(sets, dict) else ()) if isinstance(one, dict)]
    for path in IGNORED:
        for node in (plain, *within):
            _drop(node, path.split("."))
    trainer = plain.setdefault("trainer", {})
    trainer["callbacks"] = _training_callbacks(trainer.get("callbacks", []))
    arguments = plain["model"]["init_args"]
    single = {key: arguments.pop(key) for key in ("block", "at") if key in arguments}
    arguments["plugs"] = _plugs([single, *arguments.get("plugs", [])])
    if not arguments["plugs"]:
        del arguments["plugs"]
    return plain


def seed_of(config: Mapping[str, Any]) -> int:
    """The seed of a run.

    Raises:
        ValueError: If there is none: without it, a run can't be compared with its baseline.
    """
    seed = config.get(SEED)
    if type(seed) is not int or seed not in SEEDS:
        raise ValueError(f"config: {SEED} is {seed!r}; a record needs a whole number from 0 to {SEEDS[-1]}")
    return seed


def fingerprints_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Which data a configuration is about; empty if it does not say.

    Raises:
        ValueError: If what it says is malformed.
    """
    said = config.get(FINGERPRINTS) or {}
    if not isinstance(said, Mapping) or not all(isinstance(text, str) for item in said.items() for text in item):
        raise ValueError(f"config: {FINGERPRINTS} is {said!r:.80}; a mapping of names to fingerprints is needed")
    digests = {name: text for name, text in said.items() if name != "of"}
    wrong = [name for name, text in digests.items() if not _FINGERPRINT.fullmatch(text)]
    if wrong or (said and said.get("of") not in ("names", "contents")):
        raise ValueError(f"config: {FINGERPRINTS} are {dict(said)!r:.200}; 16 hexadecimal digits each are needed")
    return dict(said)


def parent_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a configuration says of the experiment that its training went on from; None if it began by itself.

    Raises:
        ValueError: If what it says is malformed.
    """
    said = config.get(PARENT)
    if said is None:
        return None
    hashes = [said.get(name) for name in ("experiment", "baseline", "run")] if isinstance(said, Mapping) else [None]
    sound = all(isinstance(text, str) and _HASH.fullmatch(text) for text in hashes)
    if not sound or not _says_how(said) or not isinstance(said.get("changed"), Mapping):
        raise ValueError(
            f"config: {PARENT} is {said!r:.200}; needed are experiment, baseline and run, 12 hexadecimal digits each, "
            "step or by, and changed"
        )
    return dict(said)


def _says_how(parent: Mapping[str, Any]) -> bool:
    """Whether a training went on from a step of another, or began with the weights that an objective made."""
    step, by = parent.get("step"), parent.get("by")
    if step is None:
        return isinstance(by, str) and bool(_CLASS_PATH.fullmatch(by))
    return by is None and type(step) is int and step >= 0


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _drop(config: dict[str, Any], path: list[str]) -> None:
    *parents, last = path
    for key in parents:
        config = config.get(key, {})
    config.pop(last, None)


def _training_callbacks(callbacks: Any) -> list[Any]:
    listed = callbacks if isinstance(callbacks, list) else [callbacks]
    entries = [{"class_path": entry} if isinstance(entry, str) else entry for entry in listed if entry]
    return [entry for entry in entries if not _watches(entry["class_path"])]


def _watches(class_path: str) -> bool:
    """Whether a callback is one of :data:`IGNORED_CALLBACKS`; those of this package go by their name alone."""
    module, _, name = class_path.rpartition(".")
    return name in IGNORED_CALLBACKS and (not module or f"{module}.".startswith(LIGHTNING))


def _plugs(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    plugs = []
    for entry in (entry.get("init_args", entry) for entry in entries):
        if "block" in entry:
            sites = [entry["at"]] if isinstance(entry["at"], str) else sorted(entry["at"])
            options = {"mode": entry.get("mode", "after"), "gate": entry.get("gate", False)}
            plugs += [{"block": entry["block"], "at": site, **options} for site in sites]
    return plugs


def _short(class_path: str) -> str:
    if not isinstance(class_path, str) or not _CLASS_PATH.fullmatch(class_path):
        raise ValueError(f"config: class_path {class_path!r} is not a dotted name")
    return class_path.rpartition(".")[2] if class_path.startswith("blockyard.") else class_path


def _forget_added(options: Any, name: str) -> None:
    """Drop the options that mean the same as their absence did."""
    for option, before in ADDED.get(name, {}).items():
        # true is not 1, as in the identity
        if option in options and _digest(options[option]) == _digest(_simplify(before, option)):
            del options[option]


def _simplify(node: Any, path: str) -> Any:
    if node is None or isinstance(node, str | int):  # most are: first, as ten thousand records are read at once
        return node
    if isinstance(node, Mapping):
        prefix = f"{path}." if path else ""
        items = {str(key): _simplify(value, f"{prefix}{key}") for key, value in node.items()}
        if "class_path" in items:
            items["class_path"] = _short(items["class_path"])
            _forget_added(items.get("init_args") or {}, items["class_path"].rpartition(".")[2])
        return {key: value for key, value in items.items() if value is not None and value != {}}
    if isinstance(node, list | tuple):
        return [_simplify(value, f"{path}[{i}]") for i, value in enumerate(node)]
    if isinstance(node, float) and math.isfinite(node):
        return int(node) if node.is_integer() else node
    raise ValueError(
        f"config: {path} is {node!r}; allowed are text, finite numbers, true, false, null, lists, mappings"
    )

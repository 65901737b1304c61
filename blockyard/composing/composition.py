"""One configuration out of YAML files, a checkpoint and a command line; no torch until a checkpoint is read.

jsonargparse merges files and options too, but when the class at a key changes it keeps those options of the
old class that the new one happens to accept. Here a new class starts clean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from blockyard.composing.config_files import read_config
from blockyard.composing.flat_options import laid_over
from blockyard.composing.inherited import believed, inherited
from blockyard.composing.merging import class_path, merge, same_class
from blockyard.composing.run_directories import checkpoint_at, no_checkpoint
from blockyard.leaderboard.identity import FINGERPRINTS, FOUND, PARENT, PROBE

if TYPE_CHECKING:
    from blockyard.datamodules.vocabulary import Vocabulary

TRUST = "--trust_config"
"""Short for the model's option of that name, which no file can set: neither a checkpoint nor a configuration."""
TRUSTING = (f"--model.{TRUST[2:]}", f"--model.init_args.{TRUST[2:]}")
"""What an option that says so begins with."""


@dataclass
class Composed:
    """What a command line asks for.

    Attributes:
        config: The configuration files merged, plain values only.
        options: The other command line tokens, to be applied on top.
        checkpoint: What ``--ckpt_path`` means: the path of a file, ``"best"``, ``"last"`` or None.
        saved: The configuration inside the checkpoint, if ``checkpoint`` is a file.
    """

    config: dict[str, Any]
    options: list[str] = field(default_factory=list)
    checkpoint: str | None = None
    saved: dict[str, Any] | None = None

    def asks(self, option: str) -> bool:
        """Whether the command line itself sets an option."""
        return any(token.partition("=")[0] == f"--{option}" for token in self.options)

    def arguments(self, verb: str | None) -> list[str]:
        """The command line that says the same to jsonargparse, with or without a verb in front."""
        # what a resolved configuration says of data, of what it went on from and of options found is none of a new run
        said = {key: value for key, value in self.config.items() if key not in (FINGERPRINTS, PARENT, FOUND, PROBE)}
        config = ["--config", yaml.safe_dump(said, sort_keys=False)] if said else []
        checkpoint = ["--ckpt_path", self.checkpoint] if self.checkpoint and verb else []
        return [*([verb] if verb else []), *config, *checkpoint, *self.options]


def compose(arguments: list[str], *, keep_trainer: bool) -> Composed:
    """Read what ``arguments`` name and merge it: checkpoint, then files in order, then options.

    Args:
        arguments: Command line tokens after the verb.
        keep_trainer: Whether the checkpoint also decides the trainer (to continue a run), not only model and data.

    Raises:
        ValueError: If a file or checkpoint is missing or damaged.
    """
    files, checkpoint, options = _split(arguments)
    read, checkpoint = _read(files, checkpoint)
    if checkpoint and checkpoint not in ("best", "last"):
        checkpoint = str(checkpoint_at(Path(checkpoint), "last" if keep_trainer else "best"))
    saved = read_checkpoint(Path(checkpoint)) if checkpoint and checkpoint not in ("best", "last") else None
    config = inherited(saved, keep_trainer) if saved else {}
    for part in read:
        config = merge(config, part)
    config.get("model", {}).get("init_args", {}).pop(TRUST[2:], None)
    make_room(config, options)
    config, options = _with_nulls(config, options)
    return Composed(config, options, checkpoint, saved)


def _perhaps(token: str) -> str:
    """What a word without an option may be meant to be."""
    option = {".ckpt": "--ckpt_path", ".yaml": "--config", ".yml": "--config"}.get(Path(token).suffix)
    return f"did you mean {option} {token}?" if option else "a value follows its option, such as --config FILE"


def make_room(config: dict[str, Any], options: Iterable[str]) -> None:
    """Take the options of a class out of a configuration where command line tokens name another class."""
    for key, value in pairs(options):
        _start_clean(config, key.split("."), value)


def look_for_files(arguments: Iterable[str]) -> None:
    """Refuse a command line that names a file which is not there or holds no configuration, before torch comes.

    Raises:
        ValueError: What :func:`compose` would say.
    """
    files, checkpoint, _ = _split(arguments)
    _, checkpoint = _read(files, checkpoint)
    if checkpoint and checkpoint not in ("best", "last"):
        _insist_on(checkpoint_at(Path(checkpoint), "last"))


def _read(files: Iterable[str], checkpoint: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """The configuration files, and the checkpoint: the command line's, or else the last that a file names."""
    read = [read_config(file) for file in files]
    named = [config.pop("ckpt_path", None) for config in read]
    chosen = next(filter(None, reversed(named)), None) if checkpoint is None else checkpoint
    if not isinstance(chosen, str | None):
        raise ValueError(f"ckpt_path: {chosen!r:.80} is no path, nor best or last")
    return read, None if chosen == "null" else chosen


def _insist_on(checkpoint: Path) -> None:
    if not checkpoint.is_file():
        raise no_checkpoint(checkpoint)


def _split(arguments: Iterable[str]) -> tuple[list[str], str | None, list[str]]:
    """Configuration files, the checkpoint, and everything else."""
    files: list[str] = []
    checkpoint: str | None = None
    options: list[str] = []
    tokens = iter(arguments)
    for token in tokens:
        name, equals, value = token.partition("=")
        if token == TRUST:
            options.append(f"--model.{TRUST[2:]}=true")
            continue
        if name not in ("-c", "--config", "--ckpt_path"):
            if not options and not token.startswith("-"):
                raise ValueError(f"{token} belongs to no option; {_perhaps(token)}")
            options.append(token)
            continue
        if not equals and (value := next(tokens, "")).startswith("--"):
            value = ""
        if not value:
            raise ValueError(f"{name} needs a value")
        if name == "--ckpt_path":
            checkpoint = value
        else:
            files.append(value)
    return files, checkpoint, options


def _with_nulls(config: dict[str, Any], options: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Lay those options over a configuration that jsonargparse 4.53 gets wrong, and leave the others.

    In a class within a class it takes null for a word, so that where one is said the options of the inner class, such
    as ``--model.backbone``, go the way of a file.
    """
    said = _said(options)
    null = {_inner(key) for key, texts, _ in said if texts and _value(texts[-1]) is None and key.count(".") > 1}
    for key, value in pairs(options):
        if _inner(key) in null - {None}:
            config = laid_over(config, {key: value})
    return config, [token for key, _, tokens in said if _inner(key) not in null - {None} for token in tokens]


def _inner(key: str) -> str | None:
    """The class within the model or the data that an option is of, such as ``model.backbone``."""
    section, *names = key.split(".")
    return f"{section}.{names[0]}" if names and section in ("model", "data") else None


def pairs(options: Iterable[str]) -> list[tuple[str, Any]]:
    """``--a.b value`` and ``--a.b=value`` as (key, value); a flag without a value has None."""
    return [(key, _value(texts[-1]) if texts else None) for key, texts, _ in _said(options)]


def _said(options: Iterable[str]) -> list[tuple[str, list[str], list[str]]]:
    """Of every option its key, the texts of its value, and all its tokens."""
    said = list[tuple[str, list[str], list[str]]]()
    for token in options:
        if token.startswith("--"):
            key, _, text = token[2:].partition("=")
            said.append((key, [text] if text else [], [token]))
        elif said:
            said[-1][1].append(token)
            said[-1][2].append(token)
    return said


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _start_clean(config: dict[str, Any], path: list[str], value: Any) -> None:
    """Drop the options of the class at ``path`` if ``value`` names another class."""
    node = config
    for name in path[:-1]:
        child = node.get("init_args", node) if "class_path" in node else node
        if isinstance(child.get(name), str):
            child[name] = {"class_path": child[name]}
        if not isinstance(child.get(name), dict):
            return
        node = child[name]
    holder = node.get("init_args", {}) if "class_path" in node else node
    old, new = class_path(holder.get(path[-1])), class_path(value)
    if old and new and not same_class(old, new):
        holder[path[-1]] = value


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The configuration of the run that wrote a checkpoint.

    Raises:
        ValueError: If the file is missing, damaged, or was not written by ``blockyard fit``.
    """
    from blockyard.runs.run_config import CONFIG_KEY

    checkpoint = _open(path)
    if CONFIG_KEY not in checkpoint:
        raise ValueError(f"{path} holds no configuration: it was not written by 'blockyard fit'")
    return believed(checkpoint[CONFIG_KEY], path)


def read_vocabulary(path: Path) -> Vocabulary | None:
    """What the outputs of a checkpoint's network mean; None if it is older than that was written.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    from blockyard.datamodules.vocabulary import Vocabulary
    from blockyard.runs.run_config import VOCABULARY_KEY

    items = _open(path).get(VOCABULARY_KEY)
    return None if items is None else Vocabulary.of(items)


def _open(path: Path) -> dict[str, Any]:
    import torch

    _insist_on(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many types for a truncated, foreign or malicious file
        raise ValueError(f"{path} is not a readable checkpoint: it is damaged, or no checkpoint") from error
    return checkpoint if isinstance(checkpoint, dict) else {}


PLACES = (
    "data.root",
    "data.name",
    "data.checked",
    "data.predict_folder",
    "data.predict_path",
    "data.query_folder",
    "data.gallery_folder",
    "data.predict_tile",
    "data.predict_overlap",
    "model.trust_config",
    "model.overlays",
    "model.confidence",
    "data.verify",
    "data.batch_size",
    "data.num_workers",
)
"""Where the data lie, how they are loaded, whom the user trusts, and what is drawn."""


def contradiction(saved: dict[str, Any], now: dict[str, Any], evaluation: Collection[str] = ()) -> str | None:
    """The first option of ``now`` that would give another network or other data than the checkpoint's.

    Options of :data:`PLACES` may differ, and so may those that came after the checkpoint.

    Args:
        saved: The configuration of the checkpoint.
        now: The configuration asked for.
        evaluation: Options such as ``data.clips`` that may differ because they change no training.
    """
    before, after = flatten(saved), flatten(now)
    free = {*PLACES, *evaluation}
    for key in sorted(key for key in before if key.startswith(("model", "data"))):
        if not free.isdisjoint(_prefixes(of_one_set(key))):
            continue
        if before[key] != after.get(key):
            given, then = ("null" if value is None else value for value in (after.get(key), before[key]))
            return f"--{key} {given} contradicts the checkpoint, trained with {then}"
    return None


def of_one_set(option: str) -> str:
    """An option of one of several data sets, such as ``data.sets.digits.root``, as one of a single set's."""
    return re.sub(r"^data\.sets\.\w+(?=\.)", "data", option)


def _prefixes(key: str) -> list[str]:
    """``a.b.c`` as ``a``, ``a.b`` and ``a.b.c``."""
    return [key[:end] for end, letter in enumerate(f"{key}.") if letter == "."]


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A configuration as one level: keys as on the command line, classes by name, lists by length and entries."""
    if not isinstance(config, dict | list):
        return {prefix: config}
    flat: dict[str, Any] = {}
    if isinstance(config, list):
        flat[prefix] = f"[{len(config)}]"
        config = {str(index): value for index, value in enumerate(config)}
    if "class_path" in config:
        path = config["class_path"]  # of a class elsewhere, its name alone may be that of one of ours
        flat[prefix] = path.split(".")[-1] if path.startswith("blockyard.") else path
        config = config.get("init_args") or {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat

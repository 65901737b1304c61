"""Plugged networks as folders that anybody can load: config.json, model.safetensors, README.md and training.yaml.

The folder is that of a repository of the Hugging Face hub. It holds no pickle, and ``config.json`` can build classes of
this package alone, and of those that the user allows.
"""

from __future__ import annotations

import copy
import io
import json
from argparse import ArgumentError
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from blockyard import files
from blockyard.composing.composition import compose
from blockyard.composing.naming import refuse_calls
from blockyard.composing.parser_messages import explain
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.leaderboard.identity import FINGERPRINTS, FOUND, IGNORED, PARENT, PROBE, SEED, fingerprints_of, identity
from blockyard.leaderboard.record import RECORDS, described
from blockyard.mistakes import mistake_in
from blockyard.model_card import TRAINING as TRAINING_FILE
from blockyard.model_card import evidence, model_card
from blockyard.plugging.places import stock_network
from blockyard.portable import Card, Portable
from blockyard.tasks import Task
from blockyard.version import __version__

CONFIG, WEIGHTS, README = "config.json", "model.safetensors", "README.md"
FETCHING = ("pretrained", "weights", "init_cfg", "mmseg_weights", "trust_config")
"""Options that read a file, download or execute one: weights come with the card, and a card from outside has no say."""
TRAINING = ("optimizer", "lr_scheduler", "objective", "num_classes", "input_shape", "members")
"""Options of a task that the network does not depend on, or that the card has itself."""


def from_checkpoint(checkpoint: str | Path, options: Sequence[str] = ()) -> Portable:
    """The network of a checkpoint that ``blockyard fit`` wrote.

    The data that it was trained on need not be there, but for a checkpoint that is too old to name its classes.

    Args:
        checkpoint: Path of the checkpoint.
        options: Command line options besides, such as ``["--data.root", "DIR"]``.

    Raises:
        ValueError: If checkpoint, options or data are not what they should be.
    """
    prepare()
    composed = compose(["--ckpt_path", str(checkpoint), *options], keep_trainer=False)
    if composed.saved is None:
        raise ValueError(f"--ckpt_path {checkpoint}: a file is needed")
    built = SuiteCLI(None, composed, needs_data=False)
    built.load_weights(checkpoint)
    card = _card(built.model, getattr(built.datamodule, "exported", built.datamodule), built.run_config)
    return Portable(built.model.network, card, _training(built.run_config)).eval()


def _training(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a training as another machine can have it: its paths are nobody's business."""
    told = (FINGERPRINTS, PARENT, FOUND, PROBE)
    found = {key: copy.deepcopy(value) for key, value in config.items() if key not in told}
    for option in IGNORED:
        *sections, name = option.split(".")
        node: Any = found
        for section in sections:
            node = node.get(section) or {}
        if option != SEED:
            node.pop(name, None)
    return found


def _card(task: Task, data: Any, config: dict[str, Any]) -> Card:
    found, said = identity(config), described(config)
    normalised = getattr(data, "mean", None) is not None and getattr(data, "std", None) is not None
    return Card(
        task=type(task).__name__,
        num_classes=data.vocabulary.num_classes,
        input_shape=tuple(data.input_shape),
        output=task.output,
        pipeline=task.pipeline,
        model=_portable_model(config["model"]),
        classes=data.vocabulary.classes if task.named else (),
        mean=tuple(data.mean) if normalised else (),
        std=tuple(data.std) if normalised else (),
        sample_rate=getattr(data, "sample_rate", None),
        values=getattr(data, "values_are", ""),
        seed=config["seed_everything"],
        experiment=found.experiment,
        run=found.run,
        data=said["data"],
        fingerprints=fingerprints_of(config),
        backbone=said["backbone"],
        block=said["block"],
        blockyard=__version__,
    )


def _portable_model(model: dict[str, Any]) -> dict[str, Any]:
    arguments = {name: value for name, value in (model.get("init_args") or {}).items() if name not in TRAINING}
    return {"class_path": model["class_path"], "init_args": _without_files(arguments)}


def _without_files(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_files(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {name: _without_files(value) for name, value in node.items() if name not in FETCHING}


def build(card: Card) -> Portable:
    """The network of a card, with fresh weights.

    Raises:
        ValueError: If the card names a class that is not allowed, reads a file, or describes no network; one line.
    """
    prepare()
    if option := _fetching(card.model):
        raise ValueError(f"card: {option} is set; a card can't make anybody read, download or execute a file")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Task, "model")
    model = copy.deepcopy(card.model)
    model["init_args"] = {
        **(model.get("init_args") or {}),
        **({"num_classes": card.num_classes} if card.num_classes else {}),
        "input_shape": list(card.input_shape),
        "optimizer": {"class_path": "torch.optim.SGD"},
    }
    try:
        with redirect_stdout(io.StringIO()):  # what is plugged where, the card says
            parsed = parser.parse_object({"model": model})
            refuse_calls(parsed)
            task = parser.instantiate_classes(parsed).model
    except ArgumentError as error:
        raise ValueError(f"card: {explain(str(error))}") from error
    except ValueError as error:  # the parser wraps what a class refuses
        raise ValueError(f"card: {mistake_in(error) or explain(str(error))}") from error
    return Portable(task.network, card).eval()


def _fetching(node: Any) -> str | None:
    """The first option in a description of a network that would read, download or execute a file."""
    if isinstance(node, list):
        return next(filter(None, map(_fetching, node)), None)
    if not isinstance(node, dict):
        return None
    own = next((name for name in FETCHING if node.get(name)), None)
    return own or next(filter(None, map(_fetching, node.values())), None)


def save_pretrained(
    network: nn.Module, directory: str | Path, card: Card | None = None, records: Sequence[Path] = (RECORDS,)
) -> Path:
    """Write a plugged network into a folder, once it turned out that what will be there builds the network again.

    Args:
        network: A :class:`Portable`; or, with a ``card``, the network that the card builds, or the stock network of
            timm in it with the same blocks at the same places.
        directory: Where; it is made, and earlier files of the same names are replaced.
        card: What the network is.
        records: Folders of records; what they say of the network stands in its README.

    Returns:
        The folder.

    Raises:
        ValueError: If the card is missing, or builds another network.
    """
    from safetensors.torch import save

    training: dict[str, Any] = {}
    if isinstance(network, Portable):
        training, card = network.training_config, card or network.card
        network = network.network
    if card is None:
        raise ValueError("save_pretrained needs a card, which says how to build the network again")
    whole, folder = _adopted(network, card), Path(directory)
    # weights last: without them the folder can't be taken for a whole one
    files.write(folder / CONFIG, f"{json.dumps(whole.card.items(), indent=2)}\n".encode())
    if training:
        files.write(folder / TRAINING_FILE, yaml.safe_dump(training, sort_keys=False).encode())
    found, command = evidence(whole.card, records), _command(training)
    files.write(folder / README, model_card(whole.card, folder.resolve().name, found, command).encode())
    tensors = {name: tensor.clone().contiguous() for name, tensor in whole.network.state_dict().items()}
    files.write(folder / WEIGHTS, save(tensors))
    return folder


def _command(training: dict[str, Any]) -> str:
    """What trains the network again; empty where that is not known."""
    if not training:
        return ""
    seed = "" if training.get(SEED) is None else f" --{SEED} {training[SEED]}"
    return (
        f"blockyard fit --config {TRAINING_FILE}{seed}  # --data.root DIR says where the data lie, if not where usual"
    )


def _adopted(network: nn.Module, card: Card) -> Portable:
    whole = build(card)
    given = network.state_dict()
    for target in (whole.network, stock_network(whole.network)):
        if _shapes(target.state_dict()) == _shapes(given):
            target.load_state_dict(given)
            return whole
    differing = _shapes(given).keys() ^ _shapes(stock_network(whole.network).state_dict()).keys()
    raise ValueError(f"the card builds another network; they differ in {', '.join(sorted(differing)[:3]) or 'shapes'}")


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def load_pretrained(source: str | Path, revision: str | None = None) -> Portable:
    """The network of a folder, or of a repository of the Hugging Face hub.

    Args:
        source: A folder, or a repository such as ``"someone/snl-resnet50"``, which needs ``huggingface_hub``.
        revision: Branch, tag or commit of the repository.

    Returns:
        The network in evaluation mode, behind its normalisation; ``.network`` is the bare one, ``.card`` what it is.

    Raises:
        ValueError: If files are missing or damaged, or ask for what is not allowed; one line.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(source)
    if not folder.is_dir():
        folder = _downloaded(str(source), revision)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is missing")
    try:
        items = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / CONFIG} is damaged: {error}") from error
    try:
        whole = build(Card.of(items))
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from error
    try:
        whole.network.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder / WEIGHTS} does not hold the network's weights: {line}") from error
    return whole


def _downloaded(repository: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise ValueError(f"no folder {repository}; for a repository, pip install huggingface_hub") from error
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"neither a folder nor a repository to be had: {repository} ({line})") from error


def push_to_hub(directory: str | Path, repository: str, private: bool = True) -> str:
    """Upload a folder that :func:`save_pretrained` wrote; who one is, huggingface_hub knows.

    Args:
        directory: The folder.
        repository: Its name there, such as ``"someone/snl-resnet50"``; made if it is new.
        private: Whether a new one is seen by its owner only.

    Returns:
        Address of the commit.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repository, folder_path=directory, allow_patterns=[CONFIG, WEIGHTS, README, TRAINING_FILE]
    )
    return str(commit.commit_url)

"""The checkpoint of a pruned network, in the folder of a run of its own."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from blockyard import files
from blockyard.commands.pruned_training import Cost
from blockyard.composing.run_directories import run_directory
from blockyard.runs.checkpoint_io import AtomicCheckpointIO
from blockyard.runs.record import KEY, training_of
from blockyard.runs.run_config import CONFIG_KEY

OF_A_TRAINING = ("optimizer_states", "lr_schedulers", "callbacks")
"""What a checkpoint keeps to go on with, which is of the larger network."""


def write_checkpoint(options: Namespace, config: dict[str, Any], state: dict[str, Tensor], trained: Cost) -> Path:
    """Write what is left of a network.

    Args:
        options: ``ckpt_path``, ``output`` and ``overwrite``.
        config: That of the checkpoint, and how it was pruned.
        state: The weights of the task.
        trained: What training in between has cost.

    Returns:
        Where it is.

    Raises:
        ValueError: If there is one already; one line.
    """
    config["trainer"] = {**config["trainer"], "default_root_dir": options.output and str(options.output)}
    folder = run_directory(config)
    place = folder / "checkpoints" / options.ckpt_path.name
    if place.exists() and not options.overwrite:
        raise ValueError(f"prune: {place} is there already: --overwrite replaces it, --output DIR writes elsewhere")
    content = torch.load(options.ckpt_path, map_location="cpu", weights_only=True)
    content |= {name: type(content[name])() for name in OF_A_TRAINING if name in content}
    cost = {**content.get(KEY, {}), "complete": training_of(options.ckpt_path)["complete"]}
    content |= {"state_dict": state, CONFIG_KEY: config, KEY: trained.added_to(cost)}
    place.parent.mkdir(parents=True, exist_ok=True)
    AtomicCheckpointIO().save_checkpoint(content, place)
    files.write(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False).encode())
    return place

"""The masks that a task asks for, from the class of every pixel."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from blockyard.heads.oneformer.losses import Target

Task = Literal["semantic", "instance", "panoptic"]
IGNORED = 255


def masks_of(classes: Tensor, task: Task, things: Collection[int]) -> Target:
    """The masks of a picture.

    Semantic: one a class. Instance: one for each connected component, diagonals included, of each class that is a
    thing; objects that touch are one. Panoptic: those, and one for each other class.

    Args:
        classes: Class of each pixel ``(H, W)``, 255 where nothing is known.
        task: ``semantic``, ``instance`` or ``panoptic``.
        things: Classes whose objects are counted.
    """
    known = classes != IGNORED
    labels: list[int] = []
    masks: list[Tensor] = []
    for label in classes[known].unique().tolist():
        here = classes == label
        if task == "semantic" or (task == "panoptic" and label not in things):
            found = here[None]
        elif label in things:
            components, count = ndimage.label(here.cpu().numpy(), np.ones((3, 3)))
            numbers = torch.arange(1, count + 1, device=classes.device)
            found = torch.from_numpy(components).to(classes.device) == numbers[:, None, None]
        else:
            continue
        labels += [label] * len(found)
        masks.append(found)
    every = torch.cat(masks) if masks else known.new_zeros(0, *known.shape)
    return Target(torch.tensor(labels, dtype=torch.long, device=classes.device), every.float(), known.float())

"""Tokens leave a plain transformer as soon as an auxiliary head is sure of their class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from blockyard.backbones import Isotropic
from blockyard.blocks import ISTA, Block, SelfAttention, SubspaceSelfAttention
from blockyard.heads.segmentor import Segmentor

_OF_SETS = (SelfAttention, SubspaceSelfAttention, ISTA)
"""Blocks that see a set of tokens, wherever these lie."""


@dataclass
class TokenPruning:
    """Which tokens leave early.

    Args:
        threshold: A token leaves where an auxiliary head gives its class a higher probability; 1 lets none leave.
        kept: So many of each class, those that are surest, stay all the same, for the others to attend to.
    """

    threshold: float = 0.9
    kept: int = 5


class EarlyExits:
    """A segmentor whose tokens leave at auxiliary heads: logits ``(B, K, H, W)`` of ``(B, C, H, W)``, in evaluation.

    Tang et al., Dynamic Token Pruning in Plain Vision Transformers for Semantic Segmentation, ICCV 2023; threshold and
    ``kept`` are by default those of the published configurations. Each auxiliary head stands behind a stage, and says
    of every token that is still there how likely its class is. What is more likely than the threshold has its logits
    from this head, and no later unit computes it; what stays has them from a later head, or from the decode head. Each
    picture takes its own time, so pictures run one by one.

    Args:
        network: Isotropic, and heads that classify each token by itself.
        pruning: Which tokens leave.

    Raises:
        ValueError: If a number is out of range, the backbone is no plain transformer, a unit behind the first auxiliary
            head asks where tokens lie, or a head looks at more than a token.
    """

    def __init__(self, network: Segmentor, pruning: TokenPruning) -> None:
        if not 0 <= pruning.threshold <= 1 or pruning.kept < 0:
            raise ValueError(f"token_pruning: threshold must be from 0 to 1 and kept at least 0, got {pruning}")
        trunk = network.backbone
        if not isinstance(trunk, Isotropic) or network.neck is not None:
            what = "a neck" if isinstance(trunk, Isotropic) else type(trunk).__name__
            raise ValueError(f"token_pruning: tokens leave the stages of Isotropic with heads behind it, not {what}")
        if not len(network.auxiliary_heads):
            raise ValueError("token_pruning: tokens leave at auxiliary_heads, and there are none")
        count = len(trunk.stages)
        heads: dict[int, Any] = {_stage_of(head, count): head for head in network.auxiliary_heads}
        if len(heads) < len(network.auxiliary_heads) or count in heads or _stage_of(network.decode_head, count) < count:
            raise ValueError(
                "token_pruning: auxiliary_heads stand behind a stage each, the decode head behind the last"
            )
        for stage in trunk.stages[min(heads) :]:
            _check_orderless(trunk, stage.path)
        self.network, self.trunk, self.pruning = network, trunk, pruning
        self.heads = heads | {count: network.decode_head}

    def __call__(self, x: Tensor) -> Tensor:
        """Logits ``(B, K, H, W)`` of ``(B, C, H, W)``, at the input's size."""
        head: Any = self.network.decode_head
        grids = [self.grid(picture) for picture in x.split(1)]
        logits: Tensor = head.predict_by_feat(torch.cat(grids), [{"img_shape": x.shape[2:]}])
        return logits

    def grid(self, picture: Tensor) -> Tensor:
        """Logits of the tokens ``(1, K, h, w)`` of a picture ``(1, C, H, W)``, each from the head where it left."""
        x = self.trunk.embedded(picture)
        size = x.shape[2:]
        where = torch.arange(size.numel(), device=x.device)
        found: Tensor | None = None
        for number in range(1, len(self.trunk.stages) + 1):
            x = self.trunk.passed(x, number)
            if number not in self.heads:
                continue
            rows = x.flatten(2)[0].T
            first = len(rows) - len(where)  # a class token, if there is one, stays
            logits = self._classify(number, rows[first:])
            found = logits.new_empty(size.numel(), logits.shape[1]) if found is None else found
            found[where] = logits  # of what stays, a later head writes over it
            stays = ~leaving(logits, self.pruning)
            if number == len(self.trunk.stages) or not stays.any():
                break
            where, rows = where[stays], torch.cat([rows[:first], rows[first:][stays]])
            x = rows.T[None] if x.dim() == 3 else rows.T[None, :, :, None]
        assert found is not None
        return found.T.unflatten(1, size)[None]

    def _classify(self, number: int, rows: Tensor) -> Tensor:
        """Logits ``(n, K)`` of tokens ``(n, C)`` by the head of a stage, which picks one of a list of maps."""
        maps = [rows.T[None, :, :, None]] * len(self.trunk.stages)
        logits: Tensor = self.heads[number](maps)
        return logits[0, :, :, 0].T


def leaving(logits: Tensor, pruning: TokenPruning) -> Tensor:
    """Which tokens leave, ``(n,)``, by their logits ``(n, K)``: the sure ones but for the surest few of each class."""
    confidence, label = logits.float().softmax(1).max(1)
    order = confidence.argsort(descending=True, stable=True)
    classes = one_hot(label[order], logits.shape[1])
    rank = (classes.cumsum(0) * classes).sum(1)  # from 1, within the class
    leaves = torch.empty_like(rank, dtype=torch.bool)
    leaves[order] = (confidence[order] > pruning.threshold) & (rank > pruning.kept)
    return leaves


def _stage_of(head: Any, count: int) -> int:
    """The stage, from 1, behind which a head stands.

    Raises:
        ValueError: If it takes several maps, or looks at more than one position.
    """
    kernels = {conv.kernel_size for conv in head.modules() if isinstance(conv, nn.Conv2d)}
    if type(head).__name__ != "FCNHead" or kernels != {(1, 1)} or not isinstance(head.in_index, int):
        raise ValueError(
            f"token_pruning: {type(head).__name__} sees more than one token; "
            "give {type: FCNHead, num_convs: 1, kernel_size: 1, concat_input: false}"
        )
    return int(head.in_index) % count + 1


def _check_orderless(trunk: nn.Module, path: str) -> None:
    for name, module in trunk.get_submodule(path).named_modules():
        if isinstance(module, Block) and not isinstance(module, _OF_SETS):
            kind = type(module).__name__
            raise ValueError(f"token_pruning: {kind} at {path}.{name} asks where tokens lie; SelfAttention does not")

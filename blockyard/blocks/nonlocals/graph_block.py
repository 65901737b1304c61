"""What all nonlocal blocks are: filters on a graph of positions."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from blockyard.blocks.base import Block
from blockyard.blocks.nonlocals.operators import Operator


class GraphBlock(Block):
    """A block whose positions are the vertices of a graph: they see each other through one linear map A."""

    @abstractmethod
    def operator(self, x: Tensor) -> Operator:
        """The map A of a feature map ``(B, C, *S)``, ``(B, N, M)``: N positions see M, fewer where keys are pooled.

        A block of several passes computes a new one for each; this is the first.
        """

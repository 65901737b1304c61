"""Blocks that can be plugged into any network: one family a file, torch alone."""

from __future__ import annotations

from blockyard.blocks.activations import StarReLU
from blockyard.blocks.attention.ghost_attention import GhostAttention
from blockyard.blocks.attention.local_attention import HaloAttention
from blockyard.blocks.attention.relative_attention import RelativeAttention
from blockyard.blocks.attention.residual_channel_attention import ResidualChannelAttention
from blockyard.blocks.attention.subspace_attention import ULSAM
from blockyard.blocks.base import Block, Wrapper, concrete_subclasses
from blockyard.blocks.channels.mixstyle import MixStyle
from blockyard.blocks.channels.second_order import GSoP
from blockyard.blocks.channels.squeeze_excitation import ECA, SqueezeExcitation
from blockyard.blocks.convolutions.cheap_convolutions import PHC, GhostModule
from blockyard.blocks.convolutions.dcls import DCLS
from blockyard.blocks.convolutions.dilated_reparam import DilatedReparam
from blockyard.blocks.convolutions.inverted_residual import FusedInvertedResidual, InvertedResidual
from blockyard.blocks.convolutions.parameter_free import PFLayer
from blockyard.blocks.convolutions.polynomials import PolynomialBranch, PolynomialConvolution
from blockyard.blocks.convolutions.selectable_kan import SelectableKAN
from blockyard.blocks.mixers.chunked_attention import TCNCA
from blockyard.blocks.mixers.convolutions import (
    DepthwiseConvolution,
    InceptionConvolution,
    LocalRelationAggregator,
    SeparableConvolution,
)
from blockyard.blocks.mixers.experts import ExpertAttention, ExpertMLP
from blockyard.blocks.mixers.gated import RecursiveGatedConvolution
from blockyard.blocks.mixers.gated_attention import GatedPositionalAttention
from blockyard.blocks.mixers.inception import InceptionBranches
from blockyard.blocks.mixers.large_small import LSConvolution
from blockyard.blocks.mixers.multi_axis import MultiAxisMLP
from blockyard.blocks.mixers.nasnet_cell import NASNetCell
from blockyard.blocks.mixers.parameter_free import IdentityMixer, PoolMixer, RandomMixer
from blockyard.blocks.mixers.raft import RaftMixer
from blockyard.blocks.mixers.reinforcement import CMixer, SMixer
from blockyard.blocks.mixers.response_norm import ResponseNormMLP
from blockyard.blocks.mixers.sampled_attention import SampledAttention
from blockyard.blocks.mixers.self_attention import SelfAttention
from blockyard.blocks.mixers.sliced_attention import SlicedAttention
from blockyard.blocks.mixers.sparse_rate import ISTA, SubspaceSelfAttention
from blockyard.blocks.nonlocals.adaptive_hops import AdaptiveHops, HopSum
from blockyard.blocks.nonlocals.asymmetric import AsymmetricNonlocal
from blockyard.blocks.nonlocals.compact import CompactNonlocal
from blockyard.blocks.nonlocals.criss_cross import CrissCross
from blockyard.blocks.nonlocals.disentangled import DisentangledNonlocal
from blockyard.blocks.nonlocals.double_attention import DoubleAttention
from blockyard.blocks.nonlocals.dual_attention import ChannelAttention, PositionAttention
from blockyard.blocks.nonlocals.global_context import GlobalContext
from blockyard.blocks.nonlocals.graph_block import GraphBlock
from blockyard.blocks.nonlocals.hypergraph import AdaptiveHypergraph
from blockyard.blocks.nonlocals.pairwise import Nonlocal, NonlocalStage
from blockyard.blocks.nonlocals.released import ReleasedNonlocal
from blockyard.blocks.nonlocals.spectral import SpectralNonlocal
from blockyard.blocks.stages.ghost_stage import GhostStage
from blockyard.blocks.stages.parallel_sum import ParallelSum
from blockyard.blocks.stages.recursion import Recursion
from blockyard.blocks.stages.residual_scaling import ResidualScaling
from blockyard.blocks.stages.reversible_stage import ReversibleStage
from blockyard.blocks.stages.selective_depth import SelectiveDepth

__all__ = [
    "DCLS",
    "ECA",
    "ISTA",
    "PHC",
    "TCNCA",
    "ULSAM",
    "AdaptiveHops",
    "AdaptiveHypergraph",
    "AsymmetricNonlocal",
    "Block",
    "CMixer",
    "ChannelAttention",
    "CompactNonlocal",
    "CrissCross",
    "DepthwiseConvolution",
    "DilatedReparam",
    "DisentangledNonlocal",
    "DoubleAttention",
    "ExpertAttention",
    "ExpertMLP",
    "FusedInvertedResidual",
    "GSoP",
    "GatedPositionalAttention",
    "GhostAttention",
    "GhostModule",
    "GhostStage",
    "GlobalContext",
    "GraphBlock",
    "HaloAttention",
    "HopSum",
    "IdentityMixer",
    "InceptionBranches",
    "InceptionConvolution",
    "InvertedResidual",
    "LSConvolution",
    "LocalRelationAggregator",
    "MixStyle",
    "MultiAxisMLP",
    "NASNetCell",
    "Nonlocal",
    "NonlocalStage",
    "PFLayer",
    "ParallelSum",
    "PolynomialBranch",
    "PolynomialConvolution",
    "PoolMixer",
    "PositionAttention",
    "RaftMixer",
    "RandomMixer",
    "Recursion",
    "RecursiveGatedConvolution",
    "RelativeAttention",
    "ReleasedNonlocal",
    "ResidualChannelAttention",
    "ResidualScaling",
    "ResponseNormMLP",
    "ReversibleStage",
    "SMixer",
    "SampledAttention",
    "SelectableKAN",
    "SelectiveDepth",
    "SelfAttention",
    "SeparableConvolution",
    "SlicedAttention",
    "SpectralNonlocal",
    "SqueezeExcitation",
    "StarReLU",
    "SubspaceSelfAttention",
    "Wrapper",
    "list_blocks",
    "list_wrappers",
]


def list_blocks(pattern: str = "*") -> list[type[Block]]:
    """Return every block whose class name matches the glob, in alphabetical order.

    A block is a subclass of :class:`Block`; those of other packages are found too, once they are imported.
    """
    return concrete_subclasses(Block, pattern)  # type: ignore[type-abstract]


def list_wrappers(pattern: str = "*") -> list[type[Wrapper]]:
    """Return every wrapper whose class name matches the glob, in alphabetical order; as :func:`list_blocks`."""
    return concrete_subclasses(Wrapper, pattern)  # type: ignore[type-abstract]

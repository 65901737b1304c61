"""The contract that every block keeps, for every rank."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from blockyard.blocks import (
    DCLS,
    ECA,
    ISTA,
    PHC,
    TCNCA,
    ULSAM,
    AdaptiveHops,
    AsymmetricNonlocal,
    Block,
    CompactNonlocal,
    CrissCross,
    DisentangledNonlocal,
    DoubleAttention,
    ExpertAttention,
    ExpertMLP,
    GhostModule,
    GhostStage,
    GlobalContext,
    GSoP,
    HaloAttention,
    IdentityMixer,
    InceptionBranches,
    InvertedResidual,
    MixStyle,
    Nonlocal,
    NonlocalStage,
    PolynomialBranch,
    PolynomialConvolution,
    PoolMixer,
    PositionAttention,
    RecursiveGatedConvolution,
    RelativeAttention,
    ResidualChannelAttention,
    ResponseNormMLP,
    ReversibleStage,
    SelfAttention,
    SlicedAttention,
    SpectralNonlocal,
    SqueezeExcitation,
    SubspaceSelfAttention,
    list_blocks,
)

OURS = [cls for cls in list_blocks() if cls.__module__.startswith("blockyard.")]  # other tests define some too
VARIANTS = {cls.__name__: cls for cls in OURS} | {
    "AdaptiveHops gaussian": partial(AdaptiveHops, kernel="gaussian"),
    "Nonlocal gaussian": partial(Nonlocal, kernel="gaussian"),
    "Nonlocal dot_product": partial(Nonlocal, kernel="dot_product"),
    "Nonlocal concatenation": partial(Nonlocal, kernel="concatenation"),
    "Nonlocal pooled": partial(Nonlocal, pool="after"),
    "NonlocalStage of 3": partial(NonlocalStage, steps=3),
    "gSNL": partial(SpectralNonlocal, order=3),
    "SpectralNonlocal exp": partial(SpectralNonlocal, kernel="exp"),
    "SpectralNonlocal relu": partial(SpectralNonlocal, kernel="relu"),
    "SpectralNonlocal sigmoid": partial(SpectralNonlocal, kernel="sigmoid"),
    "CGNLx": partial(CompactNonlocal, kernel="rbf"),
    "efficient attention": partial(DoubleAttention, heads=4),
    "GlobalContext mul": partial(GlobalContext, fusion="mul"),
    "SqueezeExcitation": partial(SqueezeExcitation, reduction=4),  # of 32 / 16 hidden units both may be dead at init
    "ECA of 5": partial(ECA, kernel_size=5),
    "GSoP": partial(GSoP, inner=16),
    "GSoP position": partial(GSoP, inner=16, attention="position"),
    "ULSAM of 1": partial(ULSAM, groups=1),
    "InceptionBranches B": partial(InceptionBranches, kind="B"),
    "MixStyle": partial(MixStyle, probability=1.0),
    "MixStyle crossdomain": partial(MixStyle, probability=1.0, partner="crossdomain"),
    "GhostModule of 3": partial(GhostModule, ratio=3),
    "PHC of 2": partial(PHC, dimension=2),
    "PolynomialConvolution of 3": partial(PolynomialConvolution, degree=3, bound="none"),
    "PolynomialBranch without norm": partial(PolynomialBranch, norm=False),
    "PolynomialBranch of 3": partial(PolynomialBranch, kernel_size=3, negative_slope=0.01),
    "RelativeAttention absolute": partial(RelativeAttention, position="absolute"),
    "RecursiveGatedConvolution of all frequencies": partial(RecursiveGatedConvolution, global_filter=True),
    "SlicedAttention shuffled": partial(SlicedAttention, slices=3, shuffled=True),
    "TCNCA causal": partial(TCNCA, chunk=8, causal=True),
    "HaloAttention of 2": partial(HaloAttention, block_size=2, halo_size=1, outside="nothing"),
}
SIZE = (4, 6, 5)
MIXED = ("convolution", "mixer")
"""Slots of what mixes positions in the precision of a convolution."""
SETS = IdentityMixer | ISTA | ResponseNormMLP | SelfAttention | SubspaceSelfAttention | ExpertAttention | ExpertMLP
"""Mixers that treat positions as a set."""
LOCAL = RelativeAttention | HaloAttention | GhostStage | InvertedResidual | ReversibleStage | ResidualChannelAttention
"""What knows neighbours in no slot of a convolution or a mixer."""
every_block = pytest.mark.parametrize("make", VARIANTS.values(), ids=VARIANTS.keys())
every_rank = pytest.mark.parametrize("rank", [1, 2, 3])


def knows_the_grid(block: Block) -> bool:
    """Whether the weights belong to neighbours or places, so that they differ from rank to rank."""
    return (
        isinstance(block, LOCAL)
        or (block.slot in MIXED and not isinstance(block, SETS | TCNCA))
        or getattr(block, "attention", "") == "position"
        or (isinstance(block, PolynomialBranch) and block.kernel_size is not None)
    )


def sees_neighbours(block: Block) -> bool:
    """Whether a position is not just one of many to the block."""
    pools = isinstance(block, AsymmetricNonlocal | ULSAM)
    pooled = isinstance(block, Nonlocal) and block.affinity.phi.pool != "none"
    return pools or pooled or isinstance(block, CrissCross | SlicedAttention | TCNCA) or knows_the_grid(block)


def draw(batch: int, rank: int, channels: int = 32, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(batch, channels, *SIZE[:rank], generator=generator, dtype=dtype)


def awake(block: Block) -> Block:
    """Set every gate that starts at zero to one half, so that the block does something."""
    for name, parameter in block.named_parameters():
        if not parameter.any():
            nn.init.constant_(parameter, 0.5 if name.endswith(("weight", "gamma")) else 0.1)
    return block


@every_rank
@every_block
def test_a_residual_block_is_the_identity_at_init_bit_for_bit(make, rank):
    block, x = make(32, rank), draw(3, rank)
    assert all(torch.equal(block.train(training)(x), x) for training in (True, False)) == block.identity_at_init


def test_a_zero_initialised_gate_starts_at_one_half():
    block, x = GlobalContext(32, fusion="mul"), draw(3, 2)
    assert torch.equal(block(x), x / 2)


@every_rank
@every_block
def test_a_gradient_reaches_every_parameter_by_the_second_step(make, rank, assert_learns):
    block, x = make(32, rank).double(), draw(3, rank, dtype=torch.float64)
    target = torch.randn_like(block(x))  # not of x alone, whose means a norm's bias would have no reason to move
    assert_learns(block, lambda: (block(x) - target).square().mean())


@every_rank
@every_block
def test_autocast_and_half_precision_stay_close_to_float32(make, rank):
    # of numbers that bfloat16 has, or the greatest of several could be another one there
    block, x = awake(make(32, rank)).eval(), draw(3, rank).bfloat16().float()
    expected = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = block(x)
    pure = copy.deepcopy(block).bfloat16()(x.bfloat16())
    # what mixes as a convolution does hands on what that would: half precision
    assert mixed.dtype == torch.float32 or (block.slot in MIXED and mixed.dtype == torch.bfloat16)
    assert pure.dtype == torch.bfloat16
    for result in (mixed, pure):
        # 2^-8 is bfloat16's rounding; a handful of them relative to the largest entry.
        assert (result.float() - expected).abs().max() < 0.05 * expected.abs().max()


@every_block
def test_the_output_may_be_modified_in_place(make):
    block, x = awake(make(32)), draw(2, 2).requires_grad_()
    block(x).add_(1).relu_().sum().backward()


@every_block
def test_a_sample_does_not_depend_on_the_rest_of_the_batch(make):
    block, x = awake(make(32)).eval().double(), draw(3, 2, dtype=torch.float64)
    torch.testing.assert_close(block(x)[1:2], block(x[1:2]))


@every_rank
@every_block
def test_one_sample_a_process_is_enough_to_train(make, rank):
    """As under DDP with one sample a rank: no batch norm may see a single value a channel."""
    block, x = awake(make(32, rank)).train(), draw(1, rank).requires_grad_()
    block(x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


@pytest.mark.parametrize("training", [True, False])
@every_rank
@every_block
def test_nothing_becomes_nothing(make, rank, training):
    """A process may have no sample: B = 0 gives B = 0, gradients of zero for DDP, and leaves the statistics alone."""
    block, x = awake(make(32, rank)).train(training), draw(0, rank).requires_grad_()
    before = {name: buffer.clone() for name, buffer in block.named_buffers()}
    y = block(x)
    y.sum().backward()
    assert y.shape == x.shape
    assert all(p.grad is not None and not p.grad.any() for p in block.parameters())
    kept = {name: buffer for name, buffer in block.named_buffers() if "num_batches_tracked" not in name}
    assert all(torch.equal(buffer, before[name]) for name, buffer in kept.items())


@every_block
def test_memory_format_does_not_matter(make):
    block, x = awake(make(32)).eval().double(), draw(2, 2, dtype=torch.float64)
    torch.testing.assert_close(block(x.contiguous(memory_format=torch.channels_last)), block(x))
    torch.testing.assert_close(block(x.transpose(2, 3)), block(x.transpose(2, 3).contiguous()))


@every_block
def test_one_state_dict_serves_every_rank(make):
    """3-D with T = 1 is 2-D, 2-D with H = 1 is 1-D. Pools see other cells there, so the pyramid is left out."""
    one, two, three = (awake(make(32, rank)).double().eval() for rank in (1, 2, 3))
    if knows_the_grid(one) and one.state_dict():
        with pytest.raises(RuntimeError):
            two.load_state_dict(one.state_dict())
        return
    two.load_state_dict(one.state_dict())
    three.load_state_dict(one.state_dict())
    if isinstance(one, AsymmetricNonlocal | PoolMixer):
        return
    x = draw(2, 2, dtype=torch.float64)
    torch.testing.assert_close(three(x.unsqueeze(2)).squeeze(2), two(x))
    row = x[:, :, :1]
    torch.testing.assert_close(two(row).squeeze(2), one(row.squeeze(2)))


@every_block
def test_positions_have_no_order(make):
    """Full-support blocks commute with every permutation, criss-cross with permutations of rows and columns."""
    block, x = awake(make(32)).eval().double(), draw(2, 2, dtype=torch.float64)
    rows, columns = torch.randperm(SIZE[0]), torch.randperm(SIZE[1])
    positions = torch.randperm(SIZE[0] * SIZE[1])

    def shuffle(m: Tensor) -> Tensor:
        return m.flatten(2)[:, :, positions].reshape(m.shape)

    def shuffle_lines(m: Tensor) -> Tensor:
        return m[:, :, rows][:, :, :, columns]

    if sees_neighbours(block):
        assert not torch.allclose(block(shuffle(x)), shuffle(block(x)))
    else:
        torch.testing.assert_close(block(shuffle(x)), shuffle(block(x)))
    if isinstance(block, CrissCross):
        torch.testing.assert_close(block(shuffle_lines(x)), shuffle_lines(block(x)))


@every_block
def test_compiles_to_one_graph(make):
    block, x = awake(make(32)), draw(2, 2)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(block), fullgraph=True, backend="aot_eager")
    torch.manual_seed(1)
    expected = block(x)
    torch.manual_seed(1)
    # The same kernels in another order.
    torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-5)


@every_block
def test_exports_with_dynamic_height_and_width(make):
    """Exported at 16×16, run at 4×4, 5×9 and 40×30: no choice by shape is baked in.

    torch.export takes two blocks along an axis for many, and one for another case: maps of one block are left out.
    """
    block = awake(make(32)).eval().double()
    dynamic = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    x = torch.randn(2, 32, 16, 16, dtype=torch.float64)
    program = torch.export.export(block, (x,), dynamic_shapes=(dynamic,)).module()
    # torch 2.11 exports pooling for even sizes only.
    pooled = isinstance(block, Nonlocal) and block.affinity.phi.pool != "none"
    sizes = [(4, 4), (6, 10) if pooled else (5, 9), (40, 30)]
    for size in [size for size in sizes if min(size) > getattr(block, "block_size", 0)]:
        x = torch.randn(2, 32, *size, dtype=torch.float64)
        torch.testing.assert_close(program(x), block(x))


@pytest.mark.slow
@pytest.mark.parametrize("make", [Nonlocal, SpectralNonlocal, CrissCross, CompactNonlocal, DCLS, HaloAttention])
def test_inductor_gives_the_same_result(make):
    block, x = awake(make(32)).eval(), draw(2, 2)
    torch.testing.assert_close(torch.compile(block, fullgraph=True)(x), block(x), rtol=1e-4, atol=1e-5)


def finite(block: Block, x: Tensor, context: AbstractContextManager) -> bool:
    """Whether the output is, and all gradients, those of parameters and of the input."""
    x.requires_grad_()
    with context:
        y = block(x)
    y.float().mean().backward()
    return all(t.isfinite().all() for t in (y, x.grad, *(p.grad for p in block.parameters())))


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "bfloat16"])
@every_rank
@every_block
def test_finite_on_zero_constant_and_large_input(make, rank, mixed):
    shape = 2, 32, *SIZE[:rank]
    for x in (torch.zeros(shape), torch.full(shape, 3.0), torch.full(shape, 1e4), 1e4 * draw(2, rank)):
        context = torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext()
        assert finite(awake(make(32, rank)), x, context)


@every_block
def test_float16_has_room_for_features_of_thirty(make):
    """More than norms let through, and their products still within 65,504; third powers are not, unless bounded."""
    block, x = awake(make(64)), 30 * torch.randn(2, 64, 12, 12, generator=torch.Generator().manual_seed(0))
    cubic = isinstance(block, PolynomialConvolution) and block.bound == "none" and len(block.weights) > 2
    assert finite(block, x, torch.autocast("cpu", torch.float16)) != cubic


@pytest.mark.slow
def test_two_processes_train_every_block_with_no_parameter_left_out(tmp_path):
    script, meeting = Path(__file__).with_name("train_every_block.py"), tmp_path / "meeting"
    processes = [
        subprocess.Popen([sys.executable, script, str(rank), meeting], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)


PUBLISHED_COUNTS = {  # C = 1024, c = 512 where the block has such channels
    Nonlocal: 2_099_200,
    NonlocalStage: 2_099_200,
    DoubleAttention: 2_099_200,
    SpectralNonlocal: 2_623_488,
    partial(SpectralNonlocal, order=2): 3_147_776,
    CompactNonlocal: 1_640_448,
    partial(CompactNonlocal, kernel="rbf", order=2, groups=1): 2_099_200,
    DisentangledNonlocal: 2_100_224,
    partial(CrissCross, reduction=2): 2_099_201,
    AsymmetricNonlocal: 1_575_936,
}


@pytest.mark.parametrize(("make", "count"), PUBLISHED_COUNTS.items(), ids=str)
def test_parameter_counts_are_the_published_ones(make, count):
    assert sum(p.numel() for p in make(1024).parameters()) == count


@pytest.mark.parametrize("cls", OURS)
def test_bad_input_is_answered_in_one_line(cls):
    block = cls(32, 2)
    with pytest.raises(ValueError, match=r"expects 32 channels, got shape \(2, 16, 4, 4\)"):
        block(torch.zeros(2, 16, 4, 4))
    with pytest.raises(ValueError, match=r"2 spatial dimensions, got shape \(2, 32, 4\)"):
        block(torch.zeros(2, 32, 4))
    with pytest.raises(ValueError, match="spatial_dims must be one of"):
        cls(32, 4)
    with pytest.raises(ValueError, match="channels must be at least 1"):
        cls(0)


@pytest.mark.parametrize("cls", [c for c in OURS if "reduction" in inspect.signature(c).parameters])
def test_channels_that_do_not_divide_are_refused(cls):
    with pytest.raises(ValueError, match=rf"{cls.__name__}: 30 channels are not divisible by reduction=7"):
        cls(30, reduction=7)


def test_list_blocks_finds_by_glob_and_every_block_names_its_paper():
    assert list_blocks("*Spectral*") == [SpectralNonlocal]
    assert list_blocks("nothing*") == []
    assert PositionAttention in list_blocks()
    assert all(cls.paper and cls.__doc__ for cls in OURS)
    assert all(cls.paper.rsplit(" ", 1)[1].isdigit() for cls in OURS), "the year stands last"


def test_a_block_of_another_package_is_listed():
    class Halve(Block):
        identity_at_init = False

        def transform(self, x: Tensor) -> Tensor:
            return x / 2

    assert Halve in list_blocks()
    del Halve

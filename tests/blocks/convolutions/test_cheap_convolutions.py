"""Ghost features equal timm's; hypercomplex kernels are sums of Kronecker products."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from timm.models.ghostnet import GhostModule as TimmGhost
from torch import Tensor, nn

from blockyard.blocks import PHC, GhostModule


def adopt(theirs: TimmGhost) -> GhostModule:
    primary, _, act = theirs.primary_conv
    geometry = primary.kernel_size, primary.stride, primary.padding
    host = nn.Conv2d(primary.in_channels, theirs.out_chs, *geometry, bias=False)
    ours = GhostModule(primary.in_channels, relu=isinstance(act, nn.ReLU), host=host).train(theirs.training)
    ours.primary.load_state_dict(theirs.primary_conv.state_dict())
    ours.cheap.load_state_dict(theirs.cheap_operation.state_dict())
    return ours


def test_ghostnet_with_every_module_replaced_computes_the_same():
    network = timm.create_model("ghostnet_100").eval()
    assert sum(p.numel() for p in network.parameters()) == 5_182_508
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    ours = copy.deepcopy(network)
    modules = [(name, m) for name, m in network.named_modules() if isinstance(m, TimmGhost)]
    for name, theirs in modules:
        ours.set_submodule(name, adopt(theirs))
    assert len(modules) == 32
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(x), network(x))
    assert sum(p.numel() for p in ours.parameters()) == 5_182_508
    count = FlopCountAnalysis(ours, torch.zeros(1, 3, 224, 224)).unsupported_ops_warnings(False)
    by_operator = count.uncalled_modules_warnings(False).by_operator()
    assert round((by_operator["conv"] + by_operator["linear"]) / 1e6, 2) == 141.15


def test_an_odd_number_of_channels_is_cut_as_timm_cuts_it():
    theirs = TimmGhost(8, 15).eval()
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(adopt(theirs)(x), theirs(x))


def test_a_ratio_of_one_is_the_convolution():
    host = nn.Conv2d(8, 16, 3, 2, 1)
    ours = GhostModule(8, ratio=1, norm=False, relu=False, host=host)
    ours.primary[0].load_state_dict(host.state_dict())
    x = torch.randn(2, 8, 9, 9)
    torch.testing.assert_close(ours(x), host(x))


def test_ghosts_need_one_weight_a_tap():
    """s = 2: half a 1×1 convolution, and 3×3 taps for each of the other half."""
    block = GhostModule(64, norm=False, host=nn.Conv2d(64, 128, 1, bias=False))
    assert sum(p.numel() for p in block.parameters()) == 64 * 64 + 64 * 9


def test_a_hypercomplex_convolution_has_a_quarter_of_the_weights():
    """n³ + C C' k / n + C': 1,248 instead of 4,640."""
    host = nn.Conv2d(16, 32, 3)
    assert sum(p.numel() for p in PHC(16, dimension=4, host=host).parameters()) == 1_248
    assert sum(p.numel() for p in host.parameters()) == 4_640


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_its_kernel_is_a_sum_of_kronecker_products(rank: int):
    block = PHC(8, rank, dimension=4).double()
    kernel = block.kernel()
    for tap in torch.cartesian_prod(*[torch.arange(3)] * rank).reshape(-1, rank).tolist():
        index = (..., *tap)
        expected = sum(torch.kron(a, f[index]) for a, f in zip(block.algebra, block.filters, strict=True))
        torch.testing.assert_close(kernel[index], expected)


def test_of_dimension_one_it_is_a_scaled_convolution():
    host = nn.Conv2d(6, 10, 3, padding=1)
    block = PHC(6, dimension=1, host=host)
    with torch.no_grad():
        block.algebra.fill_(2)
        block.filters.copy_(host.weight[None] / 2)
        block.bias.copy_(host.bias)
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(block(x), host(x))


def quaternion_product(p: list[Tensor], q: list[Tensor], times) -> list[Tensor]:
    a, b, c, d = p
    e, f, g, h = q
    return [
        times(a, e) - times(b, f) - times(c, g) - times(d, h),
        times(a, f) + times(b, e) + times(c, h) - times(d, g),
        times(a, g) - times(b, h) + times(c, e) + times(d, f),
        times(a, h) + times(b, g) - times(c, f) + times(d, e),
    ]


def test_with_hamiltons_matrices_it_is_the_convolution_of_quaternions():
    units = torch.eye(4)
    # column j of Aᵢ is the product of the i-th unit with the j-th
    hamilton = [
        torch.stack([torch.stack(quaternion_product(list(p), list(q), torch.mul)) for q in units], 1) for p in units
    ]
    block = PHC(8, dimension=4)
    with torch.no_grad():
        block.algebra.copy_(torch.stack(hamilton))
    x = torch.randn(2, 8, 6, 6)
    expected = quaternion_product(
        list(block.filters), list(x.chunk(4, 1)), lambda kernel, part: F.conv2d(part, kernel, padding=1)
    )
    torch.testing.assert_close(block(x), torch.cat(expected, 1), rtol=1e-4, atol=1e-5)  # float32, another order


def test_a_fresh_kernel_has_the_spread_of_a_convolutions():
    """Within a third: the algebra is one draw of 64 numbers."""
    host = nn.Conv2d(64, 64, 3)
    assert abs(PHC(64, host=host).kernel().std() / host.weight.std() - 1) < 1 / 3

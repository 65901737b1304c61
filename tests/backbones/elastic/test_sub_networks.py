"""A network within another is its slices, whether it has copies of them or borrows them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from blockyard.backbones import ElasticMobileNet, FrontEnded, LogMel, PreResNet
from blockyard.backbones.elastic import Borrower, Choices, Sharing, space_of, sub_network
from blockyard.blocks import ECA
from blockyard.plugging import plug

SMALL = partial(
    ElasticMobileNet, widths=[8, 16], depths=2, kernels=7, expansions=4, strides=[1, 2], gated=[False, True], stem=8,
    last=24, hidden=12, rectified=1,
)  # fmt: skip
WITHIN = Choices((1, 2), (3, 7, 5), (2, 4, 2))


def made(rank: int = 2, **options) -> tuple[ElasticMobileNet, Sharing]:
    """A network whose statistics are none of the beginning, and what its networks within share, both learned."""
    torch.manual_seed(0)
    network = SMALL(3, 1, spatial_dims=rank, **options).double()
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    space = space_of(network, [3, 5, 7], [1, 2], [2, 4])
    sharing = Sharing(network, [taps[:-1] for taps in space.kernels]).double()
    with torch.no_grad():
        for matrix in sharing.parameters():
            matrix += 0.1 * torch.randn_like(matrix)
    sharing.sort(network)
    return network, sharing


def x(rank: int = 2) -> torch.Tensor:
    return torch.randn(4, 1, *(12, 16, 8)[:rank]).double()


@pytest.mark.parametrize("training", [True, False])
def test_the_largest_is_the_network(training):
    """Bit for bit, whatever the order of its channels."""
    network, sharing = made()
    whole = space_of(network, [3], [1], [2]).whole
    same, seen = sub_network(network.train(training), whole, sharing), x()
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in same.state_dict().items())
    borrowed = Borrower(network, whole).borrow(network, sharing, seen)
    for one, two, three in zip(borrowed, same.map_and_logits(seen), network.map_and_logits(seen), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(two, three)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("training", [True, False])
def test_borrowing_is_having_a_copy(rank, training):
    """Outputs bit for bit; gradients are the copy's, where it was copied from."""
    network, sharing = made(rank)
    network.train(training)
    copy, seen = sub_network(network, WITHIN, sharing), x(rank)
    last, logits = Borrower(network, WITHIN).borrow(network, sharing, seen)
    own_last, own = copy.map_and_logits(seen)
    assert torch.equal(last, own_last)
    assert torch.equal(logits, own)
    logits.square().sum().backward()
    own.square().sum().backward()
    for name, parameter in copy.named_parameters():
        whole = network.get_parameter(name)
        (expected,) = torch.autograd.grad(sharing.lend(name, whole, parameter.shape), whole, parameter.grad)
        torch.testing.assert_close(whole.grad, expected, rtol=1e-12, atol=1e-14)


def test_what_a_network_lacks_has_no_gradient():
    network, sharing = made()
    Borrower(network, WITHIN).borrow(network, sharing, x())[1].sum().backward()
    lacking = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert lacking == {name for name, _ in network.named_parameters() if name.startswith("layer1.1.")}
    without = {name for name, parameter in sharing.named_parameters() if parameter.grad is None}
    assert without == {*(f"units.layer1_1.transforms.{taps}" for taps in (3, 5)), *_untouched}


_untouched = {f"units.layer2_0.transforms.{taps}" for taps in (3, 5)} | {"units.layer2_1.transforms.3"}
"""Matrices of a unit with all taps, and of those with 5 the one that leads to 3."""


def test_running_statistics_of_the_whole_stay():
    network, sharing = made()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    Borrower(network.train(), WITHIN).borrow(network, sharing, x())
    assert all(torch.equal(before[name], buffer) for name, buffer in network.named_buffers())


class TestKernels:
    @pytest.mark.parametrize("rank", [1, 2, 3])
    @pytest.mark.parametrize("taps", [3, 5, 7])
    def test_the_identity_crops_the_centre(self, rank, taps):
        network = SMALL(3, 1, spatial_dims=rank)
        kernel = network.layer2[0].depthwise[0].weight
        unit = Sharing(network, [[3, 5]] * 4).units["layer2_0"]
        margin = (7 - taps) // 2
        centre = kernel[(..., *[slice(margin, 7 - margin)] * rank)]
        assert torch.equal(unit.shrunk(kernel, taps), centre)
        assert torch.equal(Sharing(network).units["layer2_0"].shrunk(kernel, taps), centre)

    def test_shrink_step_by_step(self):
        """3 taps are made of the centre of the 5, after these were made of the 7."""
        network, sharing = made()
        unit, kernel = sharing.units["layer1_0"], network.layer1[0].depthwise[0].weight
        five = torch.einsum("ij,cj->ci", unit.transforms["5"], kernel[:, 0, 1:6, 1:6].flatten(1)).view(-1, 5, 5)
        three = torch.einsum("ij,cj->ci", unit.transforms["3"], five[:, 1:4, 1:4].flatten(1)).view(-1, 1, 3, 3)
        torch.testing.assert_close(unit.shrunk(kernel, 3), three)


class TestOrder:
    def test_the_most_important_channels_are_kept(self):
        """By how much the layer behind them weighs them; in their own order."""
        network, sharing = made()
        sums = network.layer2[0].project[0].weight.abs().sum((0, 2, 3))
        kept = sums.topk(16).indices.sort().values
        part = sub_network(network, Choices((1, 1), (7, 7), (4, 2)), sharing)
        assert torch.equal(part.layer2[0].project[0].weight, network.layer2[0].project[0].weight[:, kept])
        assert torch.equal(part.layer2[0].expand[1].running_var, network.layer2[0].expand[1].running_var[kept])
        gate = network.layer2[0].gate
        inside = gate.excite.weight.abs().sum(0).topk(8).indices.sort().values
        assert torch.equal(part.layer2[0].gate.squeeze.weight, gate.squeeze.weight[inside][:, kept])

    def test_channels_that_weigh_nothing_change_nothing(self):
        """So what is kept of a network with half of its channels dead is the same function."""
        network, sharing = made()
        network.eval()
        dead = torch.randperm(32)[:16]
        with torch.no_grad():
            network.layer1[0].project[0].weight[:, dead] = 0
        sharing.sort(network)
        part = sub_network(network, Choices((2, 2), (7,) * 4, (2, 4, 4, 4)), sharing)
        seen = x()
        torch.testing.assert_close(part(seen), network(seen))

    def test_without_any_the_first_are_kept(self):
        network, _ = made()
        part = sub_network(network, Choices((1, 1), (7, 7), (2, 2)))
        assert torch.equal(part.layer1[0].expand[0].weight, network.layer1[0].expand[0].weight[:16])


def test_it_has_all_other_options_and_no_say_in_random_numbers():
    network, sharing = made(dropout=0.3)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    part = sub_network(network, WITHIN, sharing)
    Borrower(network, WITHIN)
    assert torch.equal(torch.rand(3), expected)
    assert (part.num_classes, part.in_channels, part.dropout.p, part.fc.in_features) == (3, 1, 0.3, 12)


def test_behind_a_front_end():
    network = FrontEnded(3, 1, LogMel(8000, n_mels=16), partial(SMALL)).eval()
    part = sub_network(network, WITHIN)
    seen = torch.randn(2, 1, 4000)
    alone = sub_network(network.backbone, WITHIN)
    assert torch.equal(part(seen), alone(network.front_end(seen)))
    assert part.front_end is not network.front_end


def test_norms_that_wait_for_each_other_are_borrowed_so():
    network, _ = made()
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in Borrower(network, WITHIN).modules())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    norms = [m for m in Borrower(converted, WITHIN).modules() if "BatchNorm" in type(m).__name__]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) and not norm.track_running_stats for norm in norms)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (lambda: PreResNet(3, 1, depth=8), "PreResNet has no networks within: take --model.backbone ElasticMobileNet"),
        (lambda: plug(SMALL(3, 1), ECA, "stage1", example=(1, 1, 16, 16), quiet=True), "the block at layer1"),
    ],
)
def test_others_are_refused(network, said, one_line):
    with pytest.raises(ValueError, match="within") as refusal:
        sub_network(network(), WITHIN)
    one_line(refusal, said)

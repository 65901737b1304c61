"""Statistics taken anew are those of the inputs, and nothing else changes."""

import copy

import torch
from torch import nn

from blockyard.compression.statistics import recalibrate


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def test_they_are_the_means_over_batches_of_what_reaches_a_norm():
    net = network().eval()
    batches = [torch.randn(8, 2, 6, 6) + 3 * number for number in range(3)]
    with torch.no_grad():
        seen = [net[0](x) for x in batches]
    assert recalibrate(net, batches) == 1
    mean = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(net[1].running_mean, mean)
    torch.testing.assert_close(net[1].running_var, variance)


def test_weights_modes_and_momenta_stay():
    net = network().train()
    net[0].eval()
    before = copy.deepcopy(net)
    recalibrate(net, [torch.randn(4, 2, 6, 6)])
    assert [module.training for module in net.modules()] == [module.training for module in before.modules()]
    assert net[1].momentum == before[1].momentum
    for name, weight in net.named_parameters():
        assert torch.equal(weight, before.get_parameter(name))


def test_the_norms_of_one_batch_make_evaluation_what_training_was():
    """A norm behind a norm sees what the first makes of the batch, not what it made of another."""
    net = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).eval()
    x = 5 + 2 * torch.randn(16, 2, 8, 8)
    with torch.no_grad():
        expected = copy.deepcopy(net).train()(x)
    recalibrate(net, [x])
    # Running variances are those of samples, with n − 1: 1 in 2,048 a norm, of values up to 5.
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-2)


def test_without_norms_inputs_are_not_read():
    assert recalibrate(nn.Linear(2, 2), iter(lambda: 1 / 0, None)) == 0

"""Quantised networks: torch's own post-training quantisation, numbers by hand, and rebuilding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.ao.nn.quantized import reference
from torch.ao.quantization import MinMaxObserver, PerChannelMinMaxObserver, QConfig, QConfigMapping
from torch.ao.quantization.backend_config import BackendConfig, BackendPatternConfig, DTypeConfig, ObservationType
from torch.ao.quantization.quantize_fx import convert_to_reference_fx, prepare_fx

from blockyard.backbones import PreResNet
from blockyard.compression.quantising import Quantised, Rounding, bytes_of, on_levels, prepare, quantisable, quantise
from blockyard.tasks import ImageClassification

EXAMPLE = torch.zeros(2, 1, 12, 12)


def lively(network: nn.Module) -> nn.Module:
    """With statistics of batch norms that a training might have left."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


@pytest.fixture
def network():
    torch.manual_seed(0)
    return lively(PreResNet(10, 1, depth=8))


@pytest.fixture
def inputs():
    return torch.rand(16, 1, 12, 12, generator=torch.Generator().manual_seed(1))


def quantised_by_torch(network: nn.Module, x: torch.Tensor) -> nn.Module:
    """Its post-training quantisation of convolutions and linear layers, no layers fused, as a reference of floats."""
    kinds = DTypeConfig(torch.quint8, torch.quint8, torch.qint8, torch.float)
    patterns = [
        BackendPatternConfig(layer)
        .set_observation_type(ObservationType.OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT)
        .set_dtype_configs([kinds])
        .set_root_module(layer)
        .set_reference_quantized_module(theirs)
        for layer, theirs in ((nn.Conv2d, reference.Conv2d), (nn.Linear, reference.Linear))
    ]
    backend = BackendConfig("plain").set_backend_pattern_configs(patterns)
    symmetric = {"dtype": torch.qint8, "qscheme": torch.per_channel_symmetric, "quant_min": -127, "quant_max": 127}
    config = QConfig(MinMaxObserver.with_args(dtype=torch.quint8), PerChannelMinMaxObserver.with_args(**symmetric))
    mapping = QConfigMapping().set_global(config)
    prepared = prepare_fx(copy.deepcopy(network), mapping, (x,), backend_config=backend)
    prepared(x)
    return convert_to_reference_fx(prepared, backend_config=backend, qconfig_mapping=mapping)


@torch.no_grad()
def test_all_of_eight_bits_is_the_post_training_quantisation_of_torch(network, inputs):
    theirs = quantised_by_torch(network, inputs)
    ours = copy.deepcopy(network)
    quantise(ours, dict.fromkeys(quantisable(network, EXAMPLE), 8), [inputs[:5], inputs[5:]])
    new = torch.rand(64, 1, 12, 12, generator=torch.Generator().manual_seed(2))
    step = ours.fc.output_rounding.scale
    for x in (inputs, new):
        found, expected = ours(x), theirs(x)
        same = (found - expected).abs() < 1e-6
        assert same.float().mean() > 0.97  # a number that lies between two levels goes up or down by its last bit
        assert (found - expected).abs().max() < 1.01 * step
        assert (found - network(x)).abs().max() > 1.01 * step


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weights_lie_on_so_many_levels_about_zero(bits):
    weight = torch.randn(5, 200, generator=torch.Generator().manual_seed(0))
    found = on_levels(weight, bits)
    for before, row in zip(weight, found, strict=True):
        levels = row.unique()
        assert len(levels) == min(2**bits - 1, len(levels))
        step = before.abs().max() / (2 ** (bits - 1) - 1)
        assert torch.allclose(levels / step, (levels / step).round(), atol=1e-4)
        assert (row - before).abs().max() <= step / 2 * 1.001
    assert torch.allclose(on_levels(found, bits), found, rtol=1e-5, atol=0)
    assert torch.equal(on_levels(weight.T, bits, 1), found.T)


def test_maps_are_rounded_as_by_fake_quantisation():
    rounding = Rounding()
    rounding.scale.fill_(0.02)
    rounding.zero_point.fill_(7)
    x = 3 * torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rounding(x), torch.fake_quantize_per_tensor_affine(x, 0.02, 7, 0, 255))
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = rounding(ours), torch.fake_quantize_per_tensor_affine(theirs, 0.02, 7, 0, 255)
    assert torch.equal(found, expected)
    found.sum().backward()
    expected.sum().backward()
    assert torch.allclose(ours.grad, theirs.grad)


@torch.no_grad()
def test_bits_and_weights_rebuild_it(network, inputs):
    bits = dict(zip(quantisable(network, EXAMPLE), [32, 2, 3, 4, 8, 32, 5, 6, 7, 8, 8], strict=True))
    whole = copy.deepcopy(network)
    quantise(network, bits, [inputs])
    assert torch.equal(network.conv1.weight, whole.conv1.weight)
    assert not torch.equal(network.fc.weight, whole.fc.weight)
    again = lively(PreResNet(10, 1, depth=8))
    prepare(again, {path: number for path, number in bits.items() if number != 32})
    again.load_state_dict(copy.deepcopy(network).state_dict())
    assert torch.equal(again(inputs), network(inputs))


def test_it_is_exported_as_it_is():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 5)).eval()
    x = torch.rand(6, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    quantise(network, {"0": 4, "3": 8}, [x])
    exported = torch.export.export(network, (x,)).module()
    assert torch.equal(exported(x), network(x))


def test_nothing_trains_it():
    task = ImageClassification(
        lambda classes, channels: PreResNet(classes, channels, depth=8),
        num_classes=3,
        input_shape=(1, 8, 8),
        optimizer=torch.optim.SGD,
        quantised=Quantised({"fc": 4}),
    )
    with pytest.raises(ValueError, match="quantised is of what has been trained"):
        task.configure_optimizers()


def test_bytes_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5))
    assert bytes_of(network, {}) == 4 * (3 * 8 * 9 + 8 + 8 * 5 + 5)
    assert bytes_of(network, {"0": 3, "3": 32}) == 3 * 8 * 9 * 3 / 8 + 4 * 8 + 4 * (8 + 8 * 5 + 5)
    quantise(network, {"0": 3}, [torch.rand(2, 3, 3, 3)])  # two maps, each a scale and a level of zero
    assert bytes_of(network, {"0": 3}) == 3 * 8 * 9 * 3 / 8 + 4 * 8 + 4 * (8 + 8 * 5 + 5) + 16


def test_what_is_not_called_or_shared_or_computed_stays_as_it_is():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused, self.one, self.two = (nn.Linear(4, 4) for _ in range(4))
            self.two.weight = self.one.weight
            self.computed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))

        def forward(self, x):
            return self.computed(self.two(self.one(self.used(x))))

    assert quantisable(Odd(), torch.zeros(1, 4)) == ["used"]


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ({"layer1.0.convv1": 8}, "no layer layer1.0.convv1 .* did you mean layer1.0.conv"),
        ({"bn1": 8}, "no layer bn1 has weights to be quantised"),
        ({"fc": 9}, "fc can't have 9 bits; allowed: 2, 3"),
    ],
)
def test_what_can_not_be_is_told(network, bits, said):
    with pytest.raises(ValueError, match=said) as error:
        prepare(network, bits)
    assert "\n" not in str(error.value)

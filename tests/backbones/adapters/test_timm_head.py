"""A pooling behind networks of timm: maps, maps with channels last and tokens; nothing is left over."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import BackboneFeatures, TimmBackbone
from blockyard.blocks import GSoP
from blockyard.poolings import CrossCovariance, ISqrtCov, Pooling


class Mean(Pooling):
    """The pooling that networks have anyway."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def pool(self, signal: Tensor) -> Tensor:
        return signal.mean(2)


@pytest.mark.parametrize("name", ["resnet10t", "swin_tiny_patch4_window7_224"])
def test_the_mean_with_the_stock_classifier_is_the_stock_network(name: str):
    pooled, stock = TimmBackbone(7, name=name, pooling=Mean).eval(), TimmBackbone(7, name=name).eval()
    own = {key: value for key, value in stock.net.state_dict().items() if key in pooled.net.state_dict()}
    pooled.net.load_state_dict(own)
    classifier = next(m for m in reversed(list(stock.net.modules())) if isinstance(m, nn.Linear))
    pooled.head.classifier.load_state_dict(classifier.state_dict())
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(pooled(x), stock(x))


def test_a_class_token_stands_beside_the_tokens_of_the_picture():
    """One classifier of both is the sum of two, as the paper has it."""
    backbone = TimmBackbone(7, name="vit_tiny_patch16_224", pooling=partial(CrossCovariance, heads=2, inner=4)).eval()
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        tokens = backbone.net.forward_features(x)
        first, second = backbone.head.classifier.weight.split([192, 32], 1)
        pooled = backbone.head.pooling(tokens[:, 1:].transpose(1, 2))
        expected = tokens[:, 0] @ first.T + pooled @ second.T + backbone.head.classifier.bias
        torch.testing.assert_close(backbone(x), expected)


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_every_parameter_gets_a_gradient(name: str):
    """A norm or a convolution behind the stock pooling is gone: nothing would reach it."""
    backbone = TimmBackbone(7, name=name, pooling=ISqrtCov)
    side = 64 if "vit" not in name else 224
    logits = backbone(torch.randn(2, 3, side, side))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert [key for key, p in backbone.named_parameters() if p.grad is None] == []


def test_the_network_s_own_pooling_stays_as_it_was():
    stock = TimmBackbone(7, name="resnet10t")
    assert stock.head is None
    assert not any(key.startswith("head") for key in stock.state_dict())


def test_plugs_and_features_work_as_without():
    backbone = TimmBackbone(7, name="resnet10t", pooling=ISqrtCov).eval()
    x = torch.randn(2, 3, 64, 64)
    assert [f.shape[1] for f in backbone.features(x)] == [stage.channels for stage in backbone.stages]
    before = backbone(x)
    plug(backbone, GSoP, "stage2.0", quiet=True)
    assert not torch.equal(backbone(x), before)


def test_where_the_map_itself_is_used_a_pooling_is_refused():
    with pytest.raises(ValueError, match="TimmBackbone: pooling is for classification; here its last map itself"):
        BackboneFeatures(0, 3, lambda k, c: TimmBackbone(k, c, "resnet10t", pooling=ISqrtCov))


def test_compiles_to_one_graph():
    torch.compiler.reset()
    backbone = TimmBackbone(7, name="resnet10t", pooling=ISqrtCov).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(backbone, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), backbone(x))


def test_a_network_of_several_maps_is_refused():
    with pytest.raises(ValueError, match="CoaT ends in several maps; a pooling takes one"):
        TimmBackbone(7, name="coat_tiny", pooling=ISqrtCov)

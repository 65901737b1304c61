"""What a process without a sample makes of its empty batch: nothing, and no mistake."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import (
    BackboneFeatures,
    Framewise,
    FrontEnded,
    LogMel,
    PDCNet,
    PreResNet,
    PyTorchVideoBackbone,
    TimmBackbone,
    TimmFeatures,
)
from blockyard.heads import make_segmentor
from blockyard.heads.embedding import Embedding
from blockyard.poolings import ISqrtCov
from blockyard.retrieval.pool_features import PoolFeatures
from blockyard.tasks import ActionRecognition, ImageClassification, SemanticSegmentation
from blockyard.tasks.classification.base import OUTCOME, calibration_error
from blockyard.tasks.classification.class_means import MacroAccuracy, MacroF1
from blockyard.tasks.classification.tag_scores import ranking_precision
from blockyard.tasks.classification.tagging import SmoothedBCE, losses
from blockyard.tasks.classification.views import ViewMean
from blockyard.tasks.person_reid.metric_losses import MetricLoss
from blockyard.tasks.sample_scores import SampleScores
from blockyard.tasks.segmentation.metrics import confusion_of
from blockyard.training.bias_loss import BiasLoss

CLIP, PICTURE = (3, 3, 32, 32), (3, 64, 64)
FRONT_END = {"front_end": LogMel(n_mels=40, freq_mask=4, time_mask=4)}
SMALL = partial(PreResNet, depth=8)
NETWORKS = {
    "PreResNet 1": (partial(SMALL, 5, spatial_dims=1), (3, 32), 5),
    "PreResNet 2": (partial(SMALL, 5), (3, 32, 32), 5),
    "PreResNet 3": (partial(SMALL, 5, spatial_dims=3), CLIP, 5),
    "PDCNet": (partial(PDCNet, 5), PICTURE, 5),
    "FrontEnded": (partial(FrontEnded, 5, 1, backbone=SMALL, **FRONT_END), (1, 8000), 5),
    "TimmBackbone": (partial(TimmBackbone, 5, 3, "resnet10t"), PICTURE, 5),
    "TimmBackbone pooled": (partial(TimmBackbone, 5, 3, "resnet10t", pooling=ISqrtCov), PICTURE, 5),
    **{
        f"Framewise {temporal}": (partial(Framewise, 5, 3, "resnet10t", temporal), CLIP, 5)
        for temporal in ("mean", "attention", "lstm", "consensus")
    },
    **{
        f"Embedding {temporal}": (lambda t=temporal: Embedding(Framewise(5, 3, "resnet10t"), 5, CLIP, t), CLIP, 512)
        for temporal in ("mean", "attention", "lstm")
    },
    "Embedding of pictures": (lambda: Embedding(SMALL(5), 5, PICTURE), PICTURE, 64),
    **{
        head["type"]: (
            partial(make_segmentor, BackboneFeatures(0, 3, SMALL), {"channels": 8, **head}, [], 5),
            PICTURE,
            5,
        )
        for head in (
            {"type": "AsymmetricNonlocalHead"},
            {"type": "BlockHead", "block": "CompactNonlocal", "channels": 16},
        )
    },
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_ours(name, training):
    make, shape, features = NETWORKS[name]
    network, x = make().train(training), torch.zeros(0, *shape)
    y = network(x)
    y.sum().backward()
    assert y.shape[:2] == (0, features)
    assert y.shape[2:] in ((), shape[1:])
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())
    assert all(value.isfinite().all() for value in network.state_dict().values())
    if hasattr(network, "map_and_logits"):
        assert [len(part) for part in network.map_and_logits(x)] == [0, 0]
    if name.startswith("Embedding"):
        assert [len(part) for part in network.identify(x)] == [0, 0]


OPTIONS = {"num_classes": 5, "optimizer": partial(SGD, lr=0.1)}
VIT = partial(
    ImageClassification, partial(TimmBackbone, name="vit_tiny_patch16_224"), input_shape=(3, 224, 224), **OPTIONS
)
PUBLISHED = {
    "timm": VIT,
    "timm, mirrored": partial(VIT, flip_test=True),
    "pytorchvideo": partial(
        ActionRecognition, partial(PyTorchVideoBackbone, name="x3d_xs"), input_shape=(3, 4, 64, 64), **OPTIONS
    ),
    "mmsegmentation": partial(
        SemanticSegmentation,
        backbone=partial(TimmFeatures, name="resnet10t"),
        input_shape=PICTURE,
        decode_head={"type": "DAHead", "pam_channels": 8, "channels": 8},
        **OPTIONS,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_that_reshape_what_they_get(name):
    """timm's global features, pytorchvideo's heads and mmsegmentation's attention have a view with -1 in it."""
    module = PUBLISHED[name]().eval()
    batch = {
        "input": torch.zeros(0, *PUBLISHED[name].keywords["input_shape"]),
        "index": torch.zeros(0).long(),
        "target": torch.zeros(0),
    }
    predicted, index = module.predict_step(batch, 0)
    assert len(predicted) == len(index) == 0
    assert name == "mmsegmentation" or predicted.shape == (0, 5)


def test_several_crops_of_no_picture():
    module = ImageClassification(SMALL, 5, (3, 8, 8), flip_test=True, optimizer=partial(SGD, lr=0.1)).eval()
    assert module.evaluate(torch.zeros(0, 5, 3, 8, 8)).shape == module.evaluate(torch.zeros(0, 3, 8, 8)).shape == (0, 5)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(label_smoothing=0.1),
        lambda logits, _: SmoothedBCE(0.1)(logits, torch.zeros(0, 5)),
        lambda logits, target: BiasLoss()(logits, target, features=torch.zeros(0, 8, 4, 4)),
        lambda logits, target: BiasLoss().eval()(logits, target, features=torch.zeros(0, 8, 4, 4)),
        *(
            MetricLoss(name, {}, None, 5, 5)
            for name in ("TripletMarginLoss", "ContrastiveLoss", "CircleLoss", "ArcFaceLoss", "SupConLoss")
        ),
    ],
)
def test_losses_pull_at_nothing(loss):
    """A mean over nothing is 0, or not a number as torch's own; either way no weight gets a gradient but zeros."""
    layer = nn.Linear(3, 5)
    value = loss(layer(torch.zeros(0, 3)), torch.zeros(0).long())
    value.backward()
    assert value.isnan() or value == 0
    assert not layer.weight.grad.any()


def test_metrics_take_nothing_as_nothing():
    none, logits = torch.zeros(0).long(), torch.zeros(0, 5)
    target, some = torch.tensor([0, 1, 1]), F.one_hot(torch.tensor([0, 1, 2]), 5).float()
    for kind in (MacroAccuracy, MacroF1):
        metric, alone = kind(5), kind(5)
        metric.update(logits, none)
        metric.update(some, target)
        alone.update(some, target)
        assert metric.compute() == alone.compute()
    scores = SampleScores(3, OUTCOME)
    scores.update(none, **dict.fromkeys(OUTCOME, torch.zeros(0)))
    assert len(scores.compute()["index"]) == 0
    views = ViewMean(3, 5)
    views.update(none, none, none.bool(), logits)
    assert [len(part) for part in views.compute()] == [0, 0, 0, 0]
    pool = PoolFeatures(torch.tensor([0, 1]), 5)
    pool.update(none, logits)
    pool.update(torch.tensor([1, 0]), torch.ones(2, 5))
    assert pool.compute()[1].tolist() == [1, 1]
    assert not confusion_of(torch.zeros(0, 4).long(), torch.zeros(0, 4).long(), 5).any()
    assert losses(logits, logits.long()).shape == ranking_precision(logits, logits.long()).shape == (0,)
    assert calibration_error({"probability": torch.zeros(0), "predicted": none, "target": none}).isnan()

"""Training takes the heads' own losses; scores are those of the pixels, whatever batch or process saw them."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.optim import SGD

from blockyard.blocks import SpectralNonlocal
from blockyard.tasks.segmentation.inference import Inference
from blockyard.tasks.segmentation.losses import HardPixels
from blockyard.tasks.segmentation.metrics import confusion_of, mean_scores
from blockyard.tasks.segmentation.task import SemanticSegmentation

SPEC = importlib.util.spec_from_file_location("few_pictures", Path(__file__).parents[1] / "few_pictures.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)
STOCK = "fcn_r50-d8_4xb2-40k_cityscapes-512x1024"


def batch() -> dict[str, torch.Tensor]:
    target = torch.randint(0, few.CLASSES, (2, 16, 16))
    target[0, :3] = 255
    return {"input": torch.randn(2, 3, 16, 16), "target": target, "index": torch.arange(2)}


class TestTraining:
    def test_the_loss_is_the_sum_of_what_the_heads_lose(self):
        module, data = few.task(auxiliary_heads=[few.AUXILIARY, few.AUXILIARY]).train(), batch()
        module.log, module.log_dict = (lambda *_, **__: None), (lambda parts, **_: logged.update(parts))
        logged: dict[str, torch.Tensor] = {}
        for layer in module.modules():
            if isinstance(layer, nn.Dropout2d):
                layer.p = 0.0  # so that two forwards agree
        loss = module.training_step(data, 0)
        parts = module.network.losses(data["input"], data["target"])
        expected = [value for name, value in parts.items() if "loss" in name]
        assert len(expected) == 3
        torch.testing.assert_close(loss, sum(expected))
        assert logged.keys() == {f"train/{name}" for name in parts}

    def test_every_parameter_gets_a_gradient(self):
        """Or DistributedDataParallel waits for it."""
        module = few.task(auxiliary_heads=[few.AUXILIARY], block=SpectralNonlocal, at="stage2").train()
        module.log = module.log_dict = lambda *_, **__: None
        module.training_step(batch(), 0).backward()
        assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []

    def test_stops_before_a_loss_that_is_not_finite(self):
        module = few.task()
        nn.init.constant_(module.network.backbone.first.weight, float("nan"))
        with pytest.raises(FloatingPointError, match="the loss is nan"):
            module.training_step(batch(), 0)

    def test_norms_synchronise(self):
        """As ``trainer.sync_batchnorm`` does; in evaluation the converted network gives the same."""
        module = few.task(auxiliary_heads=[few.AUXILIARY]).eval()
        x = torch.randn(2, 3, 20, 20)
        before = module(x)
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        kinds = [type(layer).__name__ for layer in converted.modules() if "BatchNorm" in type(layer).__name__]
        assert kinds == ["SyncBatchNorm"] * 4  # two convolutions a head
        assert torch.equal(converted(x), before)

    def test_learns(self):
        module, data = few.task(optimizer=partial(SGD, lr=0.1, momentum=0.9), lr_scheduler="poly"), few.FewPictures(8)
        trained = few.trainer(max_epochs=40, num_sanity_val_steps=0, log_every_n_steps=1)
        (before,) = trained.validate(module, data, verbose=False)
        trained.fit(module, data)
        (after,) = few.trainer().validate(module, data, verbose=False)
        assert after["val/mIoU"] > before["val/mIoU"] + 0.4


class TestWeights:
    def test_class_weights_reach_every_head(self):
        module = few.task(auxiliary_heads=[few.AUXILIARY], class_weights=[1.0, 2.0, 0.0, 0.5]).eval()
        data = batch()
        logits = module(data["input"])
        weight = torch.tensor([1.0, 2.0, 0.0, 0.5])
        losses = nn.functional.cross_entropy(logits, data["target"], weight, ignore_index=255, reduction="none")
        loss = module.network.losses(data["input"], data["target"])["decode.loss_ce"]
        torch.testing.assert_close(loss, losses.mean())  # mmsegmentation divides by all pixels
        assert module.network.auxiliary_heads[0].sampler.weights == [1.0, 2.0, 0.0, 0.5]

    def test_of_hard_pixels_too(self):
        module, data = few.task(ohem=HardPixels(None, 20), class_weights=[0.0, 2.0, 2.0, 2.0]).eval(), batch()
        losses = nn.functional.cross_entropy(module(data["input"]), data["target"], ignore_index=255, reduction="none")
        hardest = losses >= losses.flatten().topk(40).values[-1]
        loss = module.network.losses(data["input"], data["target"])["decode.loss_ce"]
        torch.testing.assert_close(loss, 2 * losses[hardest & (data["target"] > 0)].sum() / losses.numel())

    @pytest.mark.parametrize("weights", [[1.0, 1.0], [1.0, 1.0, 1.0, -1.0], [0.0] * 4, [float("nan")] * 4])
    def test_one_for_each_class(self, weights):
        with pytest.raises(ValueError, match="class_weights: 4 numbers of at least 0, one a class"):
            few.task(class_weights=weights)

    def test_a_loss_that_knows_none_is_named(self):
        head = few.HEAD | {"loss_decode": {"type": "DiceLoss"}}
        with pytest.raises(ValueError, match=r"^class_weights: FCNHead has a DiceLoss; only a CrossEntropyLoss"):
            few.task(decode_head=head, class_weights=[1.0] * 4)

    def test_only_the_hardest_pixels_are_learnt_from(self):
        module, data = few.task(ohem=HardPixels(threshold=None, min_kept=20)).eval(), batch()
        losses = nn.functional.cross_entropy(module(data["input"]), data["target"], ignore_index=255, reduction="none")
        hardest = losses.flatten().topk(40).values  # 20 a picture
        loss = module.network.losses(data["input"], data["target"])["decode.loss_ce"]
        torch.testing.assert_close(loss, hardest.sum() / losses.numel())

    @pytest.mark.parametrize("hard", [HardPixels(0.0), HardPixels(1.5), HardPixels(0.7, 1)])
    def test_hard_pixels_out_of_range(self, hard):
        with pytest.raises(ValueError, match="ohem: threshold must be in"):
            few.task(ohem=hard)


class TestScores:
    @pytest.fixture(scope="class")
    def tested(self):
        module, data = few.task().double().eval(), few.FewPictures(9)
        (metrics,) = few.trainer().test(module, data, verbose=False)
        split = data.split("test")
        confusions = []
        with torch.no_grad():
            for index in range(9):
                sample = split.collate([split[index] | {"index": index}])
                logits = module(sample["input"][0][None])[0]
                confusions.append(confusion_of(logits.argmax(0), sample["target"][0], few.CLASSES))
        return module, metrics, confusions

    def test_metrics_are_those_of_all_pixels(self, tested):
        module, metrics, confusions = tested
        assert torch.equal(module.pixel_confusion, sum(confusions))
        expected = {f"test/{name}": value.item() for name, value in mean_scores(sum(confusions)).items()}
        assert metrics == pytest.approx(expected, rel=1e-6)  # logged in single precision
        assert module.primary_metric == "mIoU"

    def test_scores_of_each_picture(self, tested):
        module, _, confusions = tested
        labelled = [index for index in range(9) if index != few.UNLABELLED]
        assert module.pictures["index"].tolist() == labelled
        for name, values in module.sample_scores.items():
            expected = [mean_scores(confusions[index])[name].item() for index in labelled]
            assert values.tolist() == pytest.approx(expected)

    def test_validation_scores_the_same(self, tested):
        module, metrics, _ = tested
        (validated,) = few.trainer().validate(module, few.FewPictures(9, batch_size=1), verbose=False)
        assert validated == {"val/mIoU": metrics["test/mIoU"], "val/aAcc": metrics["test/aAcc"]}

    def test_batches_do_not_matter(self, tested):
        module, metrics, _ = tested
        for batch_size in (1, 3, 9):
            (again,) = few.trainer().test(module, few.FewPictures(9, batch_size), verbose=False)
            assert again == metrics

    def test_masks_without_a_labelled_pixel(self):
        data = few.FewPictures(4)
        data.pair = lambda index: few.FewPictures.pair(data, few.UNLABELLED)
        with pytest.raises(ValueError, match=r"^the test has no labelled pixel: every mask value is 255$"):
            few.trainer().test(few.task(), data, verbose=False)


class TestProcesses:
    @pytest.fixture(scope="class")
    def results(self, one_and_two_processes):
        return one_and_two_processes("few_pictures.py")

    def test_two_give_the_same_as_one(self, results):
        alone, first, second = results
        assert first == second
        for pictures in map(str, few.CASES):
            assert alone[pictures] == first[pictures]

    def test_files(self, results):
        files = results[0]["7"]["files"]
        assert {"classes.csv", "confusion.png", "cases.png"} < files.keys()
        assert {f"{kind}/folder {k % 2}/{k}.png" for kind in ("masks", "overlays") for k in range(7)} < files.keys()


class TestOptions:
    def test_whole_unless_said_otherwise(self):
        module = few.task()
        assert module.inference == module.once == Inference()

    def test_a_window_is_the_crop_and_moves_by_two_thirds(self):
        assert few.task(inference="slide").inference == Inference((16, 16), (10, 10))
        assert few.task(inference="slide", window=(8, 9)).inference == Inference((8, 9), (5, 6))

    def test_validation_sees_a_picture_once(self):
        module = few.task(inference="slide", scales=[0.5, 1.0], flip_test=True)
        assert module.once == Inference((16, 16), (10, 10))
        assert module.inference == Inference((16, 16), (10, 10), (0.5, 1.0), flip=True)

    def test_logits_are_resized_as_the_head_does(self):
        assert few.task(decode_head=few.HEAD | {"align_corners": True}).inference.align_corners

    def test_what_only_evaluation_looks_at_leaves_the_network_alone(self):
        options = {"inference": "slide", "window": (8, 8), "stride": (4, 4), "scales": [0.5], "flip_test": True}
        options |= {"pruned_depth": 1, "boundary_tolerance": 0.1}
        others = {"token_pruning"}  # in test_tokens_leave.py: it needs a plain transformer
        assert set(options) | others == set(SemanticSegmentation.evaluation_options)
        nested = partial(few.task, decode_head={"type": "UNetPlusPlusHead"})
        changed, plain = nested(**options).state_dict(), nested().state_dict()
        assert all(torch.equal(changed[name], value) for name, value in plain.items())

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"backbone": None}, "a network needs backbone and decode_head"),
            ({"decode_head": None}, "a network needs backbone and decode_head"),
            ({"mmseg_config": STOCK}, "mmseg_config is a whole network: leave out"),
            ({"window": (8, 8)}, "add inference: slide"),
            ({"inference": "slide", "stride": (17, 4)}, r"stride \(17, 4\) must be at least 1 and at most the window"),
            ({"inference": "slide", "window": (0, 0)}, "must be at least 1 and at most the window"),
            ({"scales": []}, "scales: positive factors are needed"),
            ({"scales": [1.0, 0.0]}, "scales: positive factors are needed"),
            ({"boundary_tolerance": 1.5}, "boundary_tolerance=1.5: a share of the diagonal is needed"),
            ({"pruned_depth": 1}, "pruned_depth=1: FCNHead has none; UNetPlusPlusHead has"),
        ],
    )
    def test_mistakes(self, options, message):
        with pytest.raises(ValueError, match=message):
            few.task(**options)

    @pytest.mark.parametrize("classes", [1, 256])
    def test_masks_are_bytes(self, classes):
        with pytest.raises(ValueError, match=f"num_classes={classes} must be 2 to 255"):
            SemanticSegmentation(classes, (3, 16, 16), few.TinyMaps, few.HEAD, optimizer=partial(SGD, lr=0.1))


class TestStockConfigs:
    def test_one_trains_and_tests_unchanged(self):
        torch.manual_seed(0)
        module = SemanticSegmentation(4, (3, 16, 16), mmseg_config=STOCK, optimizer=partial(SGD, lr=0.01))
        trained = few.trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1, num_sanity_val_steps=0)
        trained.fit(module, few.FewPictures(8, batch_size=2))
        assert {"train/decode.loss_ce", "train/aux.loss_ce", "train/decode.acc_seg"} < trained.callback_metrics.keys()
        assert trained.callback_metrics["train/loss"].isfinite()

    def test_inference_is_as_it_says(self):
        sliding = "fcn_r50-d8_4xb2-40k_cityscapes-769x769"
        module = SemanticSegmentation(4, (3, 16, 16), mmseg_config=sliding, optimizer=partial(SGD, lr=0.01))
        assert module.inference == Inference((769, 769), (513, 513), align_corners=True)


def test_predictions_of_any_size(tmp_path):
    module, data = few.task(), few.FewPictures(3)
    data.pair = lambda index: tuple(array[: 5 + index, :1] for array in few.FewPictures.pair(data, index))
    few.trainer(callbacks=[few.MaskWriter(tmp_path)]).predict(module, data, return_predictions=False)
    sizes = []
    for index in range(3):
        with Image.open(tmp_path / "masks" / f"folder {index % 2}" / f"{index}.png") as image:
            sizes.append((image.mode, image.size))
    assert sizes == [("P", (1, 5)), ("P", (1, 6)), ("P", (1, 7))]

"""Masked patches are filled in from visible ones; no label is read, and the decoder is nowhere else."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import seed_everything
from torch.optim import SGD, Adam

from blockyard.backbones import PreResNet, RevCol, TimmFeatures
from blockyard.backbones.inputs.log_mel import LogMel
from blockyard.blocks import DepthwiseConvolution, SqueezeExcitation
from blockyard.cli import main
from blockyard.objectives import SparK
from blockyard.objectives.spark import LightDecoder, in_patches
from blockyard.tasks import (
    ActionRecognition,
    AudioClassification,
    ImageClassification,
    PersonReID,
    SemanticSegmentation,
    SignalClassification,
)

SMALL = partial(PreResNet, depth=8, dropout=0.0)
OPTIONS = {"optimizer": partial(SGD, lr=0.1), "num_classes": 3}


def task(objective=None, shape=(1, 8, 8), backbone=SMALL, **options) -> ImageClassification:
    seed_everything(1)
    return ImageClassification(backbone, input_shape=shape, objective=objective or SparK(), **{**OPTIONS, **options})


class TestLoss:
    def test_is_the_definition_and_reads_no_label(self):
        module, x = task().eval(), torch.randn(3, 1, 8, 8)
        own = module.objective
        assert own.patch == (4, 4)
        loss, logged = own.loss(module, {"input": x})
        visible = own.visible(x)
        found = own.decoder(own._encode(module.network, x, visible), visible)
        squares, powers = [], []
        for sample in range(3):
            for row in range(2):
                for column in range(2):
                    if not visible.patches[sample, 0, row, column]:
                        at = (sample, 0, slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
                        told = (x[at] - x[at].mean()) / (x[at].var() + 1e-6).sqrt()
                        squares.append((found[at] - told).square().mean())
                        powers.append(told.square().mean())
        assert len(squares) == 3 * 2  # 60 % of four patches, rounded
        torch.testing.assert_close(loss, torch.stack(squares).mean())
        torch.testing.assert_close(logged["explained_variance"], 1 - loss / torch.stack(powers).mean())

    def test_nothing_is_asked_of_visible_patches_and_nothing_seen_of_masked_ones(self):
        module, x = task().eval(), torch.randn(3, 1, 8, 8)
        own = module.objective
        visible = own.visible(x)
        pixels = visible.at((8, 8))
        found = torch.randn(3, 1, 8, 8, requires_grad=True)
        own.errors(found, x)[~visible.patches.flatten(1)].sum().backward()
        assert torch.equal(found.grad != 0, ~pixels)
        other = torch.where(pixels, x, torch.randn(3, 1, 8, 8))
        maps = [own._encode(module.network, each, visible) for each in (x, other)]
        assert all(torch.equal(one, another) for one, another in zip(*maps, strict=True))

    def test_a_patch_of_one_colour_is_zero(self):
        own = task().objective
        assert own.errors(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 3.0)).eq(0).all()

    def test_samples_of_any_size_count_by_their_masked_patches(self):
        """What is no whole patch at their ends is lost."""
        module = task().eval()
        pictures = [torch.randn(1, 8, 13), torch.randn(1, 18, 8)]
        whole, _ = module.objective.loss(module, {"input": pictures})
        first, second = (module.objective.loss(module, {"input": one[None]})[0] for one in pictures)
        cut, _ = module.objective.loss(module, {"input": pictures[0][None, :, :, :12]})
        torch.testing.assert_close(first, cut)
        torch.testing.assert_close(whole, (4 * first + 5 * second) / 9)  # 60 % of 6 and of 8

    def test_it_learns(self):
        """Slopes up and down, which any visible patch tells."""
        sign = torch.tensor([1.0, -1.0]).repeat(4).view(8, 1, 1, 1)
        module, x = task().train(), sign * torch.linspace(-1, 1, 8).expand(8, 1, 8, 8)
        optimizer, losses = Adam(module.parameters(), 0.01), []
        for _ in range(30):
            optimizer.zero_grad()
            loss, _ = module.objective.loss(module, {"input": x})
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.3 < 0.8 < losses[0]  # 15/16 is what no knowledge of a patch of 16 costs


class TestMasks:
    @pytest.mark.parametrize(("ratio", "seen"), [(0.6, 20), (0.01, 48), (0.99, 1)])
    def test_hide_as_much_of_each_sample(self, ratio, seen):
        own = task(SparK(ratio), (1, 28, 28)).objective
        assert own.visible(torch.zeros(5, 1, 28, 28)).patches.flatten(1).sum(1).tolist() == [seen] * 5

    def test_are_drawn_anew_in_training_and_are_the_same_in_evaluation(self):
        own, x = task(None, (1, 28, 28)).objective, torch.zeros(2, 1, 28, 28)
        first, second = (own.train().visible(x).patches for _ in range(2))
        assert not torch.equal(first, second)
        state = torch.get_rng_state()
        first, second = (own.eval().visible(x).patches for _ in range(2))
        assert torch.equal(first, second)
        assert torch.equal(torch.get_rng_state(), state)


class TestDecoder:
    def test_parameters_are_those_of_the_published_code(self):
        """Of a ResNet-50 at width 512, counted by hand from its layers."""
        with torch.device("meta"):
            strides = [(n, n) for n in (32, 16, 8, 4)]
            decoder = LightDecoder([2048, 1024, 512, 256], strides, 3, 512)
        ups = sum(16 * c * c + c + 9 * c * c + 2 * c + 9 * c * c // 2 + c for c in (512, 256, 128, 64, 32))
        filled = [(2048, 512, 1), (1024, 256, 9), (512, 128, 9), (256, 64, 9)]  # norm, token, convolution
        counted = ups + sum(2 * c + c + taps * c * d + d for c, d, taps in filled) + 16 * 3 + 3
        assert sum(p.numel() for p in decoder.parameters()) == counted

    @pytest.mark.parametrize("strides", [[(8,), (4,)], [(6, 4), (3, 4), (1, 2)], [(2, 4, 4), (2, 2, 2), (1, 1, 1)]])
    def test_goes_up_to_the_pixels(self, strides):
        module, rank = task(), len(strides[0])
        widths = [5, 4, 3][: len(strides)]
        decoder = LightDecoder(widths, strides, 2, 16)
        module.objective.patch, size = strides[0], tuple(2 * n for n in strides[0])
        visible = module.objective.visible(torch.zeros(2, 2, *size))
        maps = [
            torch.randn(2, c, *(2 * p // s for p, s in zip(strides[0], stride, strict=True)))
            for c, stride in zip(widths, strides, strict=True)
        ]
        found = decoder(maps, visible)
        assert found.shape == (2, 2, *size)
        changed = [torch.where(visible.at(m.shape[2:]), m, torch.randn_like(m)) for m in maps]
        assert torch.equal(decoder.eval()(maps, visible), decoder(changed, visible))
        assert rank == found.dim() - 2

    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_patches_hold_their_own_numbers(self, rank: int):
        x = torch.arange(2 * 3 * 6**rank).view(2, 3, *(6,) * rank)
        found = in_patches(x, (2,) * rank)
        assert found.shape == (2, 3**rank, 3 * 2**rank)
        second = x[(slice(None), slice(None), *(slice(2) for _ in range(rank - 1)), slice(2, 4))]
        assert found[:, 1].tolist() == second.flatten(1).tolist()


class TestParameters:
    def test_all_that_train_have_a_gradient_and_the_rest_is_said(self, capsys):
        module = task().train()
        still = {name for name, p in module.network.named_parameters() if not p.requires_grad}
        assert {name.split(".")[0] for name in still} == {"bn1", "conv2", "bn2", "fc"}
        loss, _ = module.objective.loss(module, {"input": torch.randn(2, 1, 8, 8)})
        loss.backward()
        assert [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None] == []
        assert "SparK does not reach" in capsys.readouterr().out

    def test_the_network_begins_as_without_it(self):
        plain = ImageClassification(SMALL, input_shape=(1, 8, 8), **OPTIONS)
        torch.manual_seed(0)
        plain = ImageClassification(SMALL, input_shape=(1, 8, 8), **OPTIONS).network.state_dict()
        torch.manual_seed(0)
        module = ImageClassification(SMALL, input_shape=(1, 8, 8), objective=SparK(), **OPTIONS)
        found = module.network.state_dict()
        assert found.keys() == plain.keys()
        assert all(torch.equal(found[name], plain[name]) for name in plain)
        assert any(name.startswith("objective.decoder.") for name in module.state_dict())


MEL = LogMel(sample_rate=8000, n_fft=256, n_mels=16)
TASKS = {
    "signals": (partial(SignalClassification, partial(SMALL, spatial_dims=1)), (2, 20)),
    "sounds": (partial(AudioClassification, SMALL, front_end=MEL), (1, 4000)),
    "clips": (partial(ActionRecognition, partial(SMALL, spatial_dims=3)), (3, 4, 8, 8)),
    "people": (partial(PersonReID, SMALL), (3, 16, 8)),
    "scenes": (
        partial(
            SemanticSegmentation,
            backbone=partial(TimmFeatures, name="test_resnet"),
            decode_head={"type": "FCNHead", "channels": 8},
        ),
        (3, 64, 64),
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_other_tasks_train_by_it(name):
    make, shape = TASKS[name]
    module = make(input_shape=shape, objective=SparK(), **OPTIONS).train()
    module.log = module.log_dict = lambda *_, **__: None
    module.training_step({"input": torch.randn(2, *shape)}, 0).backward()
    assert [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None] == []
    assert any(p.grad is not None and p.grad.any() for p in module.network.parameters())


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"objective": SparK, "mask_ratio": 1.0}, "mask_ratio=1.0 must be above 0 and below 1"),
            ({"objective": SparK, "width": 0}, "width=0 must be at least 1"),
            ({"shape": (1, 4, 4)}, "samples of 4 × 4 are less than two patches of 4 × 4"),
            ({"block": partial(SqueezeExcitation, reduction=4), "at": "stage2.0"}, "layer2.0.block (SqueezeExcit"),
        ],
    )
    def test_what_can_t_be_masked(self, options, said, one_line):
        given = dict(options)
        with pytest.raises(ValueError) as refusal:  # noqa: PT011 - one_line looks at what it says
            task(
                given.pop("objective", SparK)(**{k: given.pop(k) for k in ("mask_ratio", "width") if k in given}),
                **given,
            )
        one_line(refusal, "objective: SparK", said)

    def test_what_is_computed_again(self, one_line):
        tiny = partial(
            RevCol, columns=2, depths=(1, 1), widths=(4, 6), mixers=partial(DepthwiseConvolution, kernel_size=3)
        )
        with pytest.raises(ValueError, match=r"columns\.\S+ runs again on the way back") as refusal:
            task(SparK(), (1, 16, 16), tiny)
        one_line(refusal)
        task(SparK(), (1, 16, 16), partial(tiny, keep="all"))

    def test_a_compiled_network(self, one_line):
        module = task(compile="eager")
        with pytest.raises(ValueError, match="leave compile at null") as refusal:
            module.objective.loss(module, {"input": torch.zeros(1, 1, 8, 8)})
        one_line(refusal)

    def test_a_network_whose_maps_are_none(self, one_line):
        class Flat(PreResNet):
            def features(self, x):
                maps = super().features(x)
                return [maps[0].mean((2, 3)), *maps]

        with pytest.raises(ValueError, match="the stages of Flat give no maps") as refusal:
            task(backbone=partial(Flat, depth=8))
        one_line(refusal)


def test_from_the_command_line_the_network_is_what_others_begin_with(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--model.backbone.depth", "8"]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"]
    masked = [*digits, *quiet, *short, "--model.objective", "SparK", "--trainer.default_root_dir", "masked"]
    assert main(["fit", *masked]) == 0
    saved = torch.load("masked/checkpoints/best.ckpt", weights_only=True)
    (best,) = (state for name, state in saved["callbacks"].items() if name.startswith("KeepBest"))
    assert best["monitor"] == "val/explained_variance"
    state = {name: value for name, value in saved["state_dict"].items() if name.startswith("network.")}
    network = SMALL(10, 1, weights="masked/checkpoints/best.ckpt")
    assert all(torch.equal(state[f"network.{name}"], value) for name, value in network.state_dict().items())
    assert state.keys() == {f"network.{name}" for name in network.state_dict()} < saved["state_dict"].keys()

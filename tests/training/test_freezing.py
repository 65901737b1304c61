"""What is frozen stays as it is, bit for bit, and the rest is trained."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import nn
from torch.optim import SGD, AdamW

from blockyard.backbones import PreResNet, TimmBackbone
from blockyard.blocks import ECA, MixStyle, SelectiveDepth, SpectralNonlocal
from blockyard.datamodules import Digits
from blockyard.plugging import Plug
from blockyard.tasks import ImageClassification
from blockyard.tasks.base import Task
from blockyard.training.ema import EMA
from blockyard.training.gradient_activation import GradientActivation
from blockyard.training.scheduled_drop_path import ScheduledDropPath

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
NETWORK = partial(PreResNet, depth=8, dropout=0.2)
PLUGGED = {"block": SpectralNonlocal, "at": "layer2.0"}


def task(freeze=None, network=NETWORK, **options) -> ImageClassification:
    torch.manual_seed(1)
    optimizer = options.pop("optimizer", partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.1))
    return ImageClassification(network, 10, (1, 8, 8), optimizer=optimizer, freeze=freeze, **options)


def trainer(**options) -> Trainer:
    return Trainer(accelerator="cpu", **PLAIN | {"enable_checkpointing": False, "max_epochs": 2} | options)


def trained(module: ImageClassification) -> set[str]:
    return {name for name, parameter in module.network.named_parameters() if parameter.requires_grad}


def changed(module: ImageClassification, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of the weights and statistics that differ in any bit."""
    after = module.network.state_dict()
    return {name for name, value in before.items() if value.numpy().tobytes() != after[name].numpy().tobytes()}


def state(module: ImageClassification) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.network.state_dict().items()}


class Modes(Callback):
    """Which modules are in training mode at each training batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, *_):
        self.seen.append({name for name, module in pl_module.network.named_modules() if module.training})


class TestTraining:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"callbacks": [EMA(0.9)]},
            {"callbacks": [GradientActivation(stage="update")], "gradient_clip_val": 0.5},
            {"accumulate_grad_batches": 2, "precision": "bf16-mixed"},
        ],
        ids=["plain", "ema", "activated and clipped", "accumulated in half precision"],
    )
    def test_nothing_of_it_moves_and_everything_else_does(self, options):
        seed_everything(0)
        module, modes = task(["conv1", "layer*"], **PLUGGED), Modes()
        before = state(module)
        loop = trainer(**options, limit_train_batches=8)
        loop.callbacks.append(modes)
        loop.fit(module, Digits("8x8", batch_size=32))
        still = {name for name in before if name.startswith(("conv1", "layer")) and ".block." not in name}
        constant = {name for name in before if name.endswith("num_batches_tracked") and "EMA" in str(options)}
        assert changed(module, before) | constant == before.keys() - still | constant
        assert len(modes.seen) == 16
        for training in modes.seen:  # before the first validation and after it
            assert not {name for name in training if name.startswith(("conv1", "layer")) and ".block" not in name}
            assert {"layer2.0.block", "bn2", "fc", ""} <= training

    def test_only_what_is_trained_has_a_state_in_the_checkpoint(self, tmp_path):
        module = task(["layer*"], optimizer=partial(AdamW, lr=0.01, weight_decay=0.1))
        loop = trainer(max_steps=2, enable_checkpointing=True, default_root_dir=tmp_path)
        loop.fit(module, Digits("8x8", batch_size=32))
        loop.save_checkpoint(tmp_path / "last.ckpt")
        saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
        assert len(saved["optimizer_states"][0]["state"]) == len(trained(module)) == 8
        assert any(name.startswith("network.layer1") for name in saved["state_dict"])

    def test_a_resumed_run_goes_on_frozen(self, tmp_path):
        runs = []
        for stop in (None, 3):
            seed_everything(0)
            module = task(["layer*"])
            if stop:
                first = trainer(max_steps=stop)
                first.fit(module, Digits("8x8", batch_size=32))
                first.save_checkpoint(tmp_path / "mid.ckpt")
                module = task(["layer*"])
            modes = Modes()
            network = module.network.eval()  # as after a validation that nobody put back
            network.train()  # by somebody who knows the network alone
            module.train()
            data = Digits("8x8", batch_size=32)
            loop = trainer(max_steps=6, callbacks=[modes])
            loop.fit(module, data, ckpt_path=tmp_path / "mid.ckpt" if stop else None)
            assert not [name for name in modes.seen[-1] if name.startswith("layer")]
            runs.append(state(module))
        start = state(task(["layer*"]))
        for name, value in start.items():
            if name.startswith("layer"):
                assert torch.equal(runs[0][name], value)
                assert torch.equal(runs[1][name], value)

    def test_the_gradient_passes_through_to_what_lies_before(self):
        module = task(["layer*", "bn*", "conv2", "fc"])
        assert trained(module) == {"conv1.weight"}
        module.training_loss(torch.randn(4, 1, 8, 8), torch.arange(4)).backward()
        assert module.network.conv1.weight.grad.abs().sum() > 0

    def test_compiled_and_with_channels_last(self):
        seed_everything(0)
        module = task(["layer*"], compile="eager", channels_last=True)
        before = state(module)
        trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=1).fit(module, Digits("8x8", batch_size=32))
        assert {name.split(".")[0] for name in changed(module, before)} == {"conv1", "conv2", "bn1", "bn2", "fc"}

    def test_a_factor_of_0_keeps_weights_alone_and_says_so(self):
        with pytest.warns(UserWarning, match=r"lr_multipliers: layer\* at 0 keeps its weights, but its batch-norm"):
            module = task(lr_multipliers={"layer*": 0.0})
        before = state(module)
        trainer(max_epochs=1, limit_train_batches=2).fit(module, Digits("8x8", batch_size=32))
        moved = {name for name in changed(module, before) if name.startswith("layer")}
        assert moved
        assert {name.split(".")[-1] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}


class TestNames:
    def test_a_name_means_the_same_with_and_without_plugs(self):
        plain = task(["layer2"])
        plugged = task(["layer2"], **PLUGGED)
        assert trained(plain) == {name for name in trained(plugged) if ".block." not in name}
        stock = {name.replace(".host", "") for name in plugged.frozen.modules}
        assert set(plain.frozen.modules) == stock

    @pytest.mark.parametrize("freeze", [["layer*"], ["layer2.0"], ["*"], ["layer2.*"], ["layer2.0.host"]])
    def test_a_block_trains_unless_its_own_segment_is_named(self, freeze):
        module = task(freeze, **PLUGGED)
        block = {name for name, _ in module.network.named_parameters() if ".block." in name}
        assert block <= trained(module)
        assert all(m.training for name, m in module.network.named_modules() if ".block" in name)

    @pytest.mark.parametrize("pattern", ["layer2.0.block", "*.block", "layer*.block", "layer2.0.block.*"])
    def test_the_segment_names_the_block_alone(self, pattern):
        module = task([pattern], **PLUGGED)
        names = {name for name, _ in module.network.named_parameters()}
        assert names - trained(module) == {name for name in names if ".block." in name}
        assert not any(m.training for name, m in module.network.named_modules() if name.startswith("layer2.0.block."))

    def test_part_of_a_block(self):
        module = task(["layer2.0.block.*.norm"], **PLUGGED)
        frozen = {name for name, p in module.network.named_parameters() if not p.requires_grad}
        assert frozen == {f"layer2.0.block.filters.0.norm.{name}" for name in ("weight", "bias")}

    def test_a_block_in_place_of_a_module_trains_and_one_without_parameters_stays_in_its_mode(self):
        plugs = [Plug(ECA, "layer1.0.relu1", "replace"), Plug(MixStyle, "layer2.0")]
        module = task(["layer*"], plugs=plugs)
        assert {name for name in trained(module) if name.startswith("layer")} == {"layer1.0.relu1.block.conv.weight"}
        modes = {type(m).__name__: m.training for m in module.network.modules()}
        assert modes["ECA"]
        assert modes["MixStyle"]

    def test_a_wrapper_trains_around_a_frozen_stage(self):
        network = partial(PreResNet, depth=20)
        plugs = [Plug(SelectiveDepth, "layer3", "around"), Plug(ECA, "layer3.1")]
        module = task(["layer3"], network, plugs=plugs)
        kept = {name for name in trained(module) if name.startswith("layer3")}
        assert {name.split("block.")[0] for name in kept} == {"layer3.", "layer3.host.1."}
        modes = {name: m.training for name, m in module.network.named_modules() if name.startswith("layer3.")}
        assert all(modes[name] == ("block" in name) for name in modes if name != "layer3.host")
        assert trained(task(["layer3.block"], network, plugs=plugs)).isdisjoint(
            name for name, _ in module.network.named_parameters() if name.startswith("layer3.block.")
        )

    def test_two_blocks_at_one_place(self):
        module = task(["layer2"], plugs=[Plug(ECA, "layer2.0"), Plug(SpectralNonlocal, "layer2.0")])
        kept = {name for name in trained(module) if name.startswith("layer2")}
        assert kept
        assert all(".block." in name for name in kept)
        assert any(name.startswith("layer2.0.host.block.") for name in kept)

    def test_a_norm_whose_parameters_are_all_named_rests_too(self):
        module = task(["layer1.0.bn1.weight", "layer1.0.bn1.bias", "layer1.0.bn2.weight"])
        assert module.frozen.modules == ("layer1.0.bn1",)

    def test_norms_everywhere(self):
        module = task(["*bn*"])
        norms = {name for name, m in module.network.named_modules() if isinstance(m, nn.BatchNorm2d) and "bn" in name}
        assert set(module.frozen.modules) == norms

    def test_a_shared_weight_is_frozen_by_either_name(self):
        class Tied(nn.Module):
            def __init__(self):
                super().__init__()
                self.one, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
                self.two = self.one

            def forward(self, x):
                return self.head(self.two(self.one(x)))

        module = Task(Tied(), (3, 4, 4), partial(SGD, lr=0.1), freeze=["two.weight"])
        assert trained(module) == {"one.bias", "head.weight", "head.bias"}
        assert "one.weight" in module.frozen.parameters

    def test_a_name_that_fits_nothing_is_refused_with_the_nearest(self):
        with pytest.raises(ValueError, match=r"freeze: layr2 fits no module and no parameter; did you mean layer2"):
            task(["layr2"])
        with pytest.raises(ValueError, match=r"freeze: \*\.theta fits no module"):
            task(["*.theta"], **PLUGGED)

    @pytest.mark.parametrize("freeze", [["*"], ["conv*", "layer*", "bn*", "fc"]])
    def test_freezing_everything_is_refused(self, freeze):
        with pytest.raises(ValueError, match="freeze: nothing is left to train"):
            task(freeze)
        with pytest.raises(ValueError, match="freeze: nothing is left to train"):
            task([*freeze, "*.block"], **PLUGGED)


class TestTogether:
    def test_with_rates_and_weight_decay(self, monkeypatch):
        monkeypatch.setattr("blockyard.tasks.base.schedule", lambda trainer, optimizer, *_: optimizer)
        monkeypatch.setattr(Task, "trainer", None)
        options = {"layer_decay": 0.5, "no_weight_decay": True, "lr_multipliers": {"layer3": 10.0, "layer1": 2.0}}
        found = {}
        for freeze in (None, ["layer1", "layer2"]):
            module = task(freeze, **options, **PLUGGED)
            names = {id(parameter): name for name, parameter in module.network.named_parameters()}
            groups = module.configure_optimizers().param_groups
            rates = {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
            found[freeze is None] = rates
        assert found[False] == {name: rate for name, rate in found[True].items() if name in found[False]}
        assert found[False].keys() == trained(module)

    def test_paths_of_frozen_parts_are_never_dropped(self):
        network = partial(TimmBackbone, name="resnet10t", drop_path_rate=0.5)
        schedule = ScheduledDropPath(0.3)
        module = task(["net.layer1", "net.layer2", "net.layer3"], network, optimizer=partial(SGD, lr=0.01))
        loop = trainer(max_steps=2, limit_val_batches=0, callbacks=[schedule])
        paths = {name: m for name, m in module.network.named_modules() if type(m).__name__ == "DropPath"}
        before = {name: m.drop_prob for name, m in paths.items()}
        loop.fit(module, Digits("8x8", batch_size=32))
        for name, path in paths.items():
            assert path.drop_prob == (0.3 if name.startswith("net.layer4") else before[name])
        everything = task(["net.layer*"], network)
        with pytest.raises(ValueError, match="nothing in the network drops a path"):
            trainer(max_steps=1, callbacks=[ScheduledDropPath(0.3)]).fit(everything, Digits("8x8", batch_size=32))

    def test_an_average_leaves_it_alone_to_the_last_bit(self):
        """The mean of two negative zeros is a positive one, and that of two infinities is no number."""
        module = task(["layer1"])
        bias = module.network.layer1[0].bn1.bias
        with torch.no_grad():
            bias[:2] = torch.tensor([-0.0, torch.inf])
            bias[2:] = torch.rand(len(bias) - 2) * 1e-3
        module.network.layer1[0].register_buffer("mask", torch.tensor([-torch.inf, -0.0, 1.1]))
        module.network.layer2[0].register_buffer("mask", torch.tensor([0.0, -torch.inf]))  # of a part that is trained
        before = state(module)
        average = EMA(0.7)
        average.setup(None, module, "fit")
        average.on_fit_start(None, module)
        for step in range(200):
            average.should_update(step)
            average._average_model.update_parameters(module)
        average._copy_average_to_current(module)
        assert not {name for name in changed(module, before) if name.startswith("layer1") or "mask" in name}

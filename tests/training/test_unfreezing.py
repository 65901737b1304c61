"""Parts of a network thaw by the epoch: gradients, modes, optimiser, and a resumed run that goes on exactly."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.blocks import ECA
from blockyard.datamodules import Digits
from blockyard.runs.exact_resume import ExactResume
from blockyard.tasks import ImageClassification
from blockyard.training.unfreezing import ProgressiveUnfreezing, default_parts

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
STEM = ("conv1.weight",)


class Watch(Callback):
    """Notes, in every epoch, what has a gradient after a step, and which modules rest."""

    def __init__(self) -> None:
        self.learning: list[set[str]] = []
        self.resting: list[set[str]] = []
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_epoch_end(self, trainer, pl_module):
        network = pl_module.network
        self.learning.append({name for name, one in network.named_parameters() if one.requires_grad})
        self.resting.append({name for name, one in network.named_modules() if name and not one.training})
        self.states.append({name: one.clone() for name, one in network.state_dict().items()})


def train(*callbacks, epochs: int = 5, resume=None, every: int = 1, parts=None, **options) -> Trainer:
    seed_everything(1)
    optimizer = partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.01)
    backbone = partial(PreResNet, depth=8)
    module = ImageClassification(backbone, 10, (1, 8, 8), optimizer=optimizer, no_weight_decay=True, **options)
    unfreezing = ProgressiveUnfreezing(every, parts)
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[unfreezing, *callbacks, ExactResume()],
        max_epochs=epochs,
        limit_train_batches=2,
        limit_val_batches=1,
        enable_checkpointing=any(isinstance(one, ModelCheckpoint) for one in callbacks),
        **PLAIN,
    )
    trainer.fit(module, Digits("8x8", batch_size=16, num_workers=0), ckpt_path=resume, weights_only=True)
    return trainer


def test_stages_thaw_from_the_last_to_the_first_and_rest_until_then_bit_for_bit():
    watch = Watch()
    network = train(watch, every=1).lightning_module.network
    start, parameters = network.state_dict().keys(), {name for name, _ in network.named_parameters()}
    frozen = [("layer1", "layer2", "layer3", "conv1"), ("layer1", "layer2", "conv1"), ("layer1", "conv1"), (), ()]
    for epoch, parts in enumerate(frozen):
        rests = {name for name in start if name.split(".")[0] in parts}
        assert watch.learning[epoch] == parameters - rests, epoch
        assert {name.split(".")[0] for name in watch.resting[epoch]} == set(parts)
        if epoch:  # of batch norms the statistics too
            before, after = watch.states[epoch - 1 : epoch + 1]
            assert all(torch.equal(before[name], after[name]) for name in rests)
            assert not all(torch.equal(before[name], after[name]) for name in start - rests)
            moved = {name for name in start - rests if name.endswith("running_mean")}
            assert not any(torch.equal(before[name], after[name]) for name in moved)


def test_a_resumed_run_goes_on_exactly_in_an_epoch_and_between_two(tmp_path):
    """Weights, statistics, and the optimiser's groups and state; epochs have two steps, parts thaw after each."""
    keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    whole = train(keep, epochs=4)
    for step in (3, 4):
        resumed = train(epochs=4, resume=str(tmp_path / f"step={step}.ckpt"))
        expected, found = (one.lightning_module.state_dict() for one in (whole, resumed))
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        states = [one.optimizers[0].state_dict() for one in (whole, resumed)]
        assert states[0]["param_groups"] == states[1]["param_groups"]
        assert states[0]["state"].keys() == states[1]["state"].keys()
        for number, slots in states[0]["state"].items():
            assert torch.equal(slots["momentum_buffer"], states[1]["state"][number]["momentum_buffer"])


def test_afterwards_all_trains_but_what_freeze_names():
    watch = Watch()
    module = train(watch, epochs=3, parts=["layer3", ["layer2", "layer1.0.conv1"]], freeze=["conv1"]).lightning_module
    assert all("conv1.weight" not in learning for learning in watch.learning)
    assert ["layer1.0.conv1.weight" in learning for learning in watch.learning] == [False, False, True]
    assert {name for name, one in module.network.named_parameters() if not one.requires_grad} == set(STEM)
    assert module.frozen.parameters == frozenset(STEM)


def test_a_plugged_block_trains_from_the_start():
    watch = Watch()
    train(watch, epochs=4, block=ECA, at="layer2.0")
    blocks = [{name for name in learning if ".block." in name} for learning in watch.learning]
    assert blocks[0]
    assert all(one == blocks[0] for one in blocks)


def test_parts_are_the_stages_with_the_stem_in_the_first():
    assert default_parts(PreResNet(10, depth=8)) == ["layer3", "layer2", ["layer1", "conv1.weight"]]
    with pytest.raises(ValueError, match="Linear has no known stages; give parts"):
        default_parts(nn.Linear(1, 1))


def test_what_makes_no_sense_is_refused():
    for wrong in ({"every": 0}, {"parts": []}, {"parts": ["layer1", []]}):
        with pytest.raises(ValueError, match=r"ProgressiveUnfreezing: every=.* must be positive, and parts="):
            ProgressiveUnfreezing(**wrong)
    with pytest.raises(ValueError, match="the last of 3 parts would thaw after 6 epochs, and the training has 6"):
        train(epochs=6, every=2)
    with pytest.raises(ValueError, match="layr3 fits no module"):
        train(parts=["layr3"])
    waits = SimpleNamespace(world_size=2, model=SimpleNamespace(find_unused_parameters=False))
    with pytest.raises(ValueError, match=r"--trainer\.strategy ddp_find_unused_parameters_true does not"):
        ProgressiveUnfreezing().on_train_start(waits, None)

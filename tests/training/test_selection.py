"""Three phases: what moves in each, what is kept, and a resumed run that goes on exactly."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import AdamW

from blockyard.backbones import PreResNet
from blockyard.blocks import SelectableKAN
from blockyard.datamodules import Digits
from blockyard.plugging import Plug
from blockyard.runs.exact_resume import ExactResume
from blockyard.runs.keep_best import KeepBest
from blockyard.tasks import ImageClassification
from blockyard.training import ActivationSelection

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)


class Watch(Callback):
    """Keeps the network's parameters at the beginning and after every epoch."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_start(self, trainer, pl_module):
        self.note(pl_module)

    def on_train_epoch_end(self, trainer, pl_module):
        self.note(pl_module)

    def note(self, module):
        self.states.append({name: one.detach().clone() for name, one in module.network.named_parameters()})


def train(*callbacks, epochs: int = 4, resume=None, selection=None, **options) -> Trainer:
    seed_everything(1)
    plug = Plug(partial(SelectableKAN, count=4), "layer2.0.conv2", mode="replace")
    module = ImageClassification(
        partial(PreResNet, depth=8), 10, (1, 8, 8), plugs=[plug], optimizer=partial(AdamW, lr=0.01, weight_decay=0.1)
    )
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[selection or ActivationSelection(1, 2), *callbacks, ExactResume()],
        max_epochs=epochs,
        limit_train_batches=2,
        limit_val_batches=1,
        enable_checkpointing=any(isinstance(one, ModelCheckpoint) for one in callbacks),
        **PLAIN | options,
    )
    trainer.fit(module, Digits("8x8", batch_size=16, num_workers=0), ckpt_path=resume, weights_only=True)
    return trainer


def block_of(trainer: Trainer) -> SelectableKAN:
    return next(one for one in trainer.lightning_module.modules() if isinstance(one, SelectableKAN))


def test_weights_learn_then_gates_then_what_is_kept_and_the_rest_stays_to_the_bit(capsys):
    watch = Watch()
    block = block_of(train(watch))
    gates = next(name for name in watch.states[0] if name.endswith("gates"))
    kept = block.pool.index(block.selected)
    idle = {name for name in watch.states[0] if ".weights." in name and not name.endswith(f".{kept}")} | {gates}
    assert len(idle) == len(block.pool)
    every = set(watch.states[0])
    expected = [every - {gates}, {gates}, every - idle, every - idle]
    for epoch, moved in enumerate(expected):
        before, after = watch.states[epoch : epoch + 2]
        assert {name for name in every if not torch.equal(before[name], after[name])} == moved, epoch
    assert kept == int(watch.states[-1][gates].argmax())
    assert f"keeps {block.selected}" in capsys.readouterr().out


def test_a_resumed_run_goes_on_exactly_in_every_phase(tmp_path):
    keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    whole = train(keep)
    for step in (1, 3, 4, 5, 7):
        resumed = train(resume=tmp_path / f"step={step}.ckpt")
        assert block_of(resumed).selected == block_of(whole).selected
        states = [one.lightning_module.state_dict() for one in (whole, resumed)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0]), step
        moments = [one.optimizers[0].state_dict()["state"] for one in (whole, resumed)]
        assert moments[0].keys() == moments[1].keys()
        assert all(torch.equal(moments[0][k]["exp_avg"], moments[1][k]["exp_avg"]) for k in moments[0])


def test_what_can_not_end_with_a_selection_is_refused():
    for numbers in ((0, 2), (2, 2), (3, 2)):
        with pytest.raises(ValueError, match=rf"0 < gates_at < keep_at is needed, got {numbers[0]} and {numbers[1]}"):
            ActivationSelection(*numbers)
    with pytest.raises(ValueError, match="kept at epoch 4, and the training has 4"):
        train(selection=ActivationSelection(1, 4))
    plain = SimpleNamespace(fast_dev_run=False, max_epochs=5)
    with pytest.raises(ValueError, match="no block of the network is a SelectableKAN"):
        ActivationSelection(1, 4).on_train_start(plain, torch.nn.Linear(2, 2))


class Worse(Callback):
    """Logs a score that falls with every epoch."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/falls", -float(trainer.current_epoch))


@pytest.mark.parametrize("stopped", [None, 2])
def test_the_best_checkpoint_is_one_of_the_last_phase(tmp_path, stopped):
    """However good all kinds together were; resumed from the end of the second phase, too."""
    if stopped:
        train(
            Worse(),
            KeepBest(tmp_path, "val/falls"),
            ModelCheckpoint(tmp_path, "last", every_n_epochs=1),
            epochs=4,
            max_steps=2 * stopped,
        )
    train(Worse(), KeepBest(tmp_path, "val/falls"), resume=tmp_path / "last.ckpt" if stopped else None)
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert best["epoch"] == 2
    (kept,) = (value for name, value in best["state_dict"].items() if name.endswith(".kept"))
    assert kept >= 0


def test_a_training_that_is_stopped_before_says_so():
    with pytest.warns(UserWarning, match="ended before epoch 2, in which one kind is kept"):
        train(max_steps=2)

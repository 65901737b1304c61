#!/usr/bin/env bash
# A training with max_steps that goes on from a checkpoint of an epoch's end drops all but a batch of the next epoch.
#
# Version: lightning 2.6.6, torch 2.13.0, CPU.
# Input: six epochs of four batches, from a sampler that is told the epoch, ended by max_steps=24 or by max_epochs=6, each
#   trained at once, and each from the checkpoint that ModelCheckpoint wrote at the end of the second epoch. Every sample
#   says in which epoch it was drawn.
# Seen: with max_steps the run that goes on counts an epoch in which it trains nothing. One batch of epoch 2 has been
#   fetched by then, the other three never are, and it trains on epoch 6 instead, which the uninterrupted run does not
#   reach: other samples, other weights, no warning. With max_epochs both runs are the same.
# Expected: the same samples either way.
# Output seen:
#   max_epochs, from the checkpoint on: 2222 3333 4444 5555, uninterrupted: 2222 3333 4444 5555
#   max_steps, from the checkpoint on: 2333 3444 4555 5666, uninterrupted: 2222 3333 4444 5555
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 lightning==2.6.6 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - > "$place/seen" 2> "$place/log" <<'PYTHON'
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, Sampler, TensorDataset


class EpochSampler(Sampler):
    """The numbers of an epoch, from 4 e to 4 e + 3: a sample says which epoch it was drawn in."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(range(4 * self.epoch, 4 * self.epoch + 4))

    def __len__(self):
        return 4


class Module(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.epochs = []

    def training_step(self, batch, batch_idx):
        self.epochs.append(int(batch[0].item()) // 4)
        return self.layer(batch[0][:, None]).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def train(folder, checkpoint=None, **end):
    keep = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    module = Module()
    trainer = Trainer(
        **end, accelerator="cpu", callbacks=[keep], logger=False, enable_progress_bar=False, use_distributed_sampler=False
    )
    data = TensorDataset(torch.arange(100.0))
    trainer.fit(module, DataLoader(data, batch_size=1, sampler=EpochSampler()), ckpt_path=checkpoint)
    return module.epochs


def fours(epochs):
    return " ".join("".join(map(str, epochs[i : i + 4])) for i in range(0, len(epochs), 4))


for name, end in (("max_epochs", {"max_epochs": 6}), ("max_steps", {"max_steps": 24})):
    whole = train(name, **end)
    resumed = train(f"{name}-resumed", f"{name}/epoch=1.ckpt", **end)
    print(f"{name}, from the checkpoint on: {fours(resumed)}, uninterrupted: {fours(whole[8:])}")
PYTHON
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
max_epochs, from the checkpoint on: 2222 3333 4444 5555, uninterrupted: 2222 3333 4444 5555
max_steps, from the checkpoint on: 2333 3444 4555 5666, uninterrupted: 2222 3333 4444 5555
SEEN

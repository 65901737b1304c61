"""The recipes for ImageNet train as they stand: a stock ResNet-50, 224 pixels, everything switched on."""

import pytest
import torch

from blockyard.cli import main
from blockyard.samples.tiny_images import write_tiny_images

SMALL = ["--data.verify", "false", "--data.val_size", "0", "--data.batch_size", "4", "--data.num_workers", "0"]
SHORT = ["--trainer.limit_train_batches", "2", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
MORE = [
    "--model.warmup_epochs",
    "0",
    "--trainer.callbacks+=EMA",
    "--trainer.gradient_clip_val",
    "1",
    "--model.block",
    "SpectralNonlocal",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_steps_of_the_full_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny_images(tmp_path / "data", "folders")
    recipe = ["--config", "image_classification/imagenet_mixing.yaml", "--data.root", "data", "--model.at", "stage3.-2"]
    assert main(["fit", *recipe, *SMALL, *SHORT, *MORE, "--trainer.max_steps", "2"]) == 0
    (path,) = tmp_path.glob("runs/*/checkpoints/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["global_step"] == 2
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())
    assert len({group["weight_decay"] for group in checkpoint["optimizer_states"][0]["param_groups"]}) == 2

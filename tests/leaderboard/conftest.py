"""Records as real runs leave them, with the few numbers that a test is about."""

from copy import deepcopy

import pytest

from blockyard.leaderboard.record import Record, described

CONFIG = {
    "seed_everything": 0,
    "trainer": {
        "accelerator": "auto",
        "devices": "auto",
        "max_epochs": 3,
        "precision": None,
        "logger": True,
        "callbacks": [{"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"save_top_k": 1}}],
    },
    "model": {
        "class_path": "blockyard.tasks.ImageClassification",
        "init_args": {
            "backbone": {"class_path": "blockyard.backbones.PreResNet", "init_args": {"depth": 20}},
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9}},
            "block": None,
            "at": None,
            "plugs": None,
        },
    },
    "data": {
        "class_path": "blockyard.datamodules.Digits",
        "init_args": {"root": "data", "batch_size": 64, "num_workers": 2, "seed": None},
    },
}


@pytest.fixture
def config():
    """A resolved configuration of a baseline."""
    return deepcopy(CONFIG)


@pytest.fixture
def make_record(config):
    """``make_record(top1, seed=0, block=None, at="stage2.1", settings={}, **fields)``; settings go to the trainer."""

    def make(top1, seed=0, block=None, at="stage2.1", settings=None, **fields):
        own = deepcopy(config)
        own["seed_everything"] = seed
        own["trainer"] |= settings or {}
        if block:
            own["model"]["init_args"] |= {"block": {"class_path": f"blockyard.blocks.{block}"}, "at": at}
        return Record(
            **described(own),
            **{
                "metrics": {"top1": top1, "loss": 1.2},
                "primary": "top1",
                "higher_is_better": True,
                "test_samples": 1000,
                "complete": True,
                "checkpoint": "best",
                "batch_norm": True,
                "parameters": 272_474,
                "macs": 31_234_567,
                "throughput": 500.0,
                "throughput_batch": 16,
                "hardware": "Test CPU, 2 threads",
                "training_seconds": 12.5,
                "training_hardware": "Test CPU, 2 threads",
                "world_size": 1,
                "epochs": 3,
                "steps": 187,
                "peak_memory": 2**29,
                "memory_kind": "process RSS",
                "config": own,
                "versions": {"python": "3.11"},
                "commit": "0123456789ab",
                "finished": "2025-01-01T00:00:00+00:00",
                **fields,
            },
        )

    return make

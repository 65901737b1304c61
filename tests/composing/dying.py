"""A callback that ends its process at a chosen moment of the start-up, for tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from blockyard.datamodules import DataError


class Dying(Callback):
    """Does what the environment says in DIE, such as ``1 setup SIGKILL``: rank, moment, and signal or exit code."""

    def __init__(self) -> None:
        self._reached("init")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The process group is there."""
        self._reached("setup")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start-up is over."""
        self._reached("train")

    def _reached(self, moment: str) -> None:
        who, when, how = os.environ["DIE"].split()
        if moment == "train":
            Path(f"process-{os.environ.get('LOCAL_RANK', 0)}").write_text(str(os.getpid()))
        if when == moment and os.environ.get("LOCAL_RANK", "0") == who:
            Path("died").write_text(str(time.time()))
            if how == "DataError":
                raise DataError("out of sorts")
            if how.isdigit():
                os._exit(int(how))
            os.kill(os.getpid(), getattr(signal, how))
            time.sleep(60)

"""The files of pictures that a prediction writes, one an input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from blockyard.metrics import counted
from blockyard.tasks.new_samples import of_all_processes, tell_unread


class PictureFiles(Callback):
    """Writes what is predicted of each input as a picture, as soon as it is there; every process writes its own.

    The files have the names and folders of the inputs. ``predict_step`` gives a list of ``(C, H, W)`` or
    ``(H, W)``, and their indices ``(B,)``: of the inputs, or of the items that each is made of.

    Args:
        directory: The folder named ``folder`` goes here.
    """

    only_watches: ClassVar[bool] = True
    what: ClassVar[str]
    """What is made of an input, for people."""
    folder: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: list[Path] = []
        self.done: set[int] = set()
        self.unread: set[int] = set()

    @property
    def results(self) -> list[Path]:
        """The folders that it writes to."""
        return [self.directory / self.folder]

    @abstractmethod
    def write(self, task: Any, data: Any, predicted: Tensor, index: int) -> None:
        """Write what was predicted of the item at ``index``, ``(C, H, W)`` or ``(H, W)``."""

    def suffix(self, data: Any) -> str:
        """How the names of files end."""
        return ".png"

    def place(self, folder: str, position: int) -> Path:
        """The file in a folder of what is made of an input."""
        return self.directory / folder / self.files[position]

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Settle the names, before anything is written.

        Raises:
            ValueError: If two inputs would have one file, or an input's name leads out of the folder.
        """
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self.files = picture_files(data.names("predict"), self.what, self.suffix(data))
        self.done, self.unread = set(), set()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: tuple[list[Tensor], Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write what was predicted of a batch."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if "valid" in batch:
            self.unread |= set(map(data.split("predict").sample_of, batch["index"][~batch["valid"]].tolist()))
        for predicted, index in zip(outputs[0], outputs[1].tolist(), strict=True):
            self.write(pl_module, data, predicted, index)
            self.done.add(data.split("predict").sample_of(index))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where they are, and which inputs could not be read.

        Raises:
            ValueError: If none could.
        """
        parts = of_all_processes(trainer, (len(self.done - self.unread), [*self.unread]))
        unread = sorted(index for _, others in parts for index in others)
        done = sum(count for count, _ in parts)
        if unread:
            tell_unread(trainer.datamodule.split("predict"), unread, done + len(unread))  # type: ignore[attr-defined]
        if trainer.is_global_zero:
            print(f"{counted(done, self.what)} in {self.directory / self.folder}")


def picture_files(names: Sequence[str], what: str, suffix: str = ".png") -> list[Path]:
    """The file of what is made of each input, below the folder of all.

    Args:
        names: Of the inputs.
        what: What is made of an input, for messages.
        suffix: How the names of the files end.

    Raises:
        ValueError: If two inputs would have one file, or a name leads out of the folder.
    """
    found: dict[PurePosixPath, str] = {}
    for name in names:
        file = PurePosixPath(name).with_suffix(suffix)
        if file.is_absolute() or ".." in file.parts:
            raise ValueError(f"{name}: its {what} would lie outside the folder of {what}s")
        if file in found:
            raise ValueError(f"{found[file]} and {name} would both have the {what} {file}: rename one of them")
        found[file] = name
    return [Path(file) for file in found]

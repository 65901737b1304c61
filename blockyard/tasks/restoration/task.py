"""Image restoration: from a damaged picture to the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from lightning.pytorch import Callback
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.aggregation import MeanMetric

from blockyard.backbones import Backbone
from blockyard.metrics import Metric
from blockyard.objectives import Default
from blockyard.tasks.base import Task, refuse_beside
from blockyard.tasks.new_samples import only_valid
from blockyard.tasks.restoration.objective import PictureError
from blockyard.tasks.restoration.quality import BEST_PSNR, psnr, ssim
from blockyard.tasks.restoration.report import BeforeAfter
from blockyard.tasks.restoration.restorer import Restorer
from blockyard.tasks.restoration.writer import PictureWriter
from blockyard.tasks.sample_scores import SampleScores

Batch = dict[str, Any]
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "mse": F.mse_loss}
SHOWN = 4
"""Test pictures that a report shows."""


class ImageRestoration(Task):
    """Restores damaged pictures.

    ``self.network`` is a plugged :class:`~blockyard.tasks.restoration.restorer.Restorer`. A batch has ``input`` and
    ``target``, float ``(B, C, H, W)``, values from 0 to 1 but for noise, and ``index`` ``(B,)``, the position of each
    picture in its split. In ``predict``, ``input`` is a list of pictures ``(C, H, W)``, of any sizes.

    A test gives PSNR and SSIM, means over pictures of what is clipped to 0 … 1, and of the pictures as they came
    ``psnr_input``; ``sample_scores`` holds ``psnr`` and ``ssim`` of each picture.

    Args:
        backbone: Called with 0 classes and the channels C; gives the maps of its stages.
        input_shape: Shape ``(C, H, W)`` of one picture; the command line takes it from the data.
        width: Channels in which the maps are brought together.
        loss: What trains: the mean absolute error, or the mean squared one.
        options: Those of :class:`~blockyard.tasks.base.Task`.

    Raises:
        ValueError: If the backbone has no stages, ``width`` is not positive, there is no such loss, or as
            :class:`~blockyard.tasks.base.Task`.
    """

    learns_from: ClassVar[tuple[str, ...]] = ("noisy and clean pictures",)
    ranks: ClassVar[tuple[int, ...]] = (2,)
    network: Restorer
    primary_metric: ClassVar[str] = "psnr"
    pipeline: ClassVar[str] = "image-to-image"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("psnr", unit="dB", low=0, high=BEST_PSNR),
        Metric("psnr_input", unit="dB", low=0, high=BEST_PSNR),
        Metric("ssim", low=-1, high=1),
    )
    output: ClassVar[str] = "the restored picture (B, C, H, W), values from 0 to 1 once they are clipped"
    reports: ClassVar[tuple[Callable[[Path], Callback], ...]] = (BeforeAfter, PictureWriter)
    default_objective: ClassVar[type[Default]] = PictureError

    def __init__(
        self,
        backbone: Callable[[int, int], Backbone],
        input_shape: tuple[int, ...],
        width: int = 32,
        loss: Literal["l1", "mse"] = "l1",
        **options: Any,
    ) -> None:
        refuse_beside(options.get("objective"), ImageRestoration, {"loss": loss})
        if loss not in LOSSES:
            raise ValueError(f"ImageRestoration: loss must be one of {', '.join(LOSSES)}, got {loss!r}")
        network = Restorer(backbone(0, input_shape[0]), input_shape[0], width)
        super().__init__(network, input_shape, **options)
        self.loss = LOSSES[loss]
        self.val_psnr, self.val_ssim = MeanMetric(), MeanMetric()
        self.shown: list[tuple[Tensor, Tensor, Tensor]] = []

    def vectors(self, x: Tensor) -> Tensor:
        """The last map that pictures ``(B, C, H, W)`` are restored by, averaged over positions: ``(B, D)``."""
        return self.network.maps(x)[-1].flatten(2).mean(2)

    def restore(self, x: Tensor) -> Tensor:
        """Pictures ``(B, C, H, W)`` restored, clipped to 0 … 1."""
        restored: Tensor = self(x)
        return restored.float().clamp(0, 1)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score a batch; a rank without a picture gets an empty one."""
        if len(batch["target"]):
            restored = self.restore(batch["input"])
            self.val_psnr.update(psnr(restored, batch["target"]))
            self.val_ssim.update(ssim(restored, batch["target"]))

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics; every rank takes part, also one that had no picture."""
        self.log("val/psnr", self.val_psnr.compute(), prog_bar=True)
        self.log("val/ssim", self.val_ssim.compute())
        self.val_psnr.reset()
        self.val_ssim.reset()

    def on_test_epoch_start(self) -> None:
        """Make room for the scores of each picture."""
        names = [metric.name for metric in self.metrics]
        samples = len(self.trainer.test_dataloaders.dataset)  # type: ignore[union-attr]
        self._scores = SampleScores(samples, names).to(self.device)
        self.shown = []

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Score a batch, which may be empty."""
        came, true = batch["input"], batch["target"]
        if not len(true):
            return
        restored = self.restore(came)
        came = came.float().clamp(0, 1)
        scores = {"psnr": psnr(restored, true), "ssim": ssim(restored, true), "psnr_input": psnr(came, true)}
        self._scores.update(batch["index"], **scores)
        few = list(zip(came, restored, true, strict=True))[: SHOWN - len(self.shown)]
        self.shown += [(one.cpu(), two.cpu(), three.cpu()) for one, two, three in few]

    def on_test_epoch_end(self) -> None:
        """Log the means over pictures; keep ``sample_scores``."""
        # torchmetrics makes a scalar of a single value.
        found = {name: values.reshape(-1) for name, values in self._scores.compute().items()}
        self.sample_scores = {name: found[name] for name in ("psnr", "ssim")}
        # in double precision: the same sum however many processes share the work
        self.log_dict({f"test/{metric.name}": found[metric.name].double().mean().float() for metric in self.metrics})

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[list[Tensor], Tensor]:
        """Restored pictures ``(C, H, W)`` and the indices ``(B,)`` of them: those that could be read."""
        batch = only_valid(batch)
        return [self.restore(picture[None])[0] for picture in batch["input"]], batch["index"]

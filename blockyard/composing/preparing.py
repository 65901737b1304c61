"""What comes before the first configuration is parsed: what it may import, and what nobody has to read."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

from jsonargparse import set_parsing_settings

from blockyard.composing.processes import end_with_launcher
from blockyard.mistakes import printable_lines

ALLOWED = (
    "blockyard",
    "torch.optim",
    "timm.loss",
    "timm.optim",
    "lightning.pytorch.accelerators",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.cli.ReduceLROnPlateau",
    "lightning.pytorch.loggers",
    "lightning.pytorch.plugins",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
)
"""What a configuration may import, besides the packages in the environment variable BLOCKYARD_ALLOW."""
_GRANTED: set[str] = set()
"""What this process has ever allowed."""


def allowed() -> list[str]:
    """What may be imported: :data:`ALLOWED` and the packages named in BLOCKYARD_ALLOW, which are found from here.

    Raises:
        ValueError: If BLOCKYARD_ALLOW holds something that is not a comma-separated list of package names.
    """
    own = [name.strip() for name in os.environ.get("BLOCKYARD_ALLOW", "").split(",") if name.strip()]
    if bad := [name for name in own if not all(part.isidentifier() for part in name.split("."))]:
        raise ValueError(f"BLOCKYARD_ALLOW: {bad[0]!r} is not a package name; separate several by commas")
    if own and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return [*ALLOWED, *own]


def allow_imports() -> None:
    """Let configurations import from what is allowed, nothing else.

    Raises:
        ValueError: If BLOCKYARD_ALLOW holds something that is not a comma-separated list of package names.
    """
    now = allowed()
    withdrawn = _GRANTED.difference(now)  # the parser adds to what it was told before
    set_parsing_settings(import_path_denylist=["*", *sorted(withdrawn)], import_path_allowlist=now)
    _GRANTED.update(now)


def quiet() -> None:
    """Silence what Lightning says on every run and nobody can act on; say warnings in one line, without source."""
    warnings.formatwarning = lambda message, *_, **__: f"blockyard: {printable_lines(str(message))}\n"
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for name in ("lightning.pytorch.loggers.mlflow", "mlflow.store.db.utils", "alembic"):  # that a database is new
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        r".*does not have many workers",
        r"You requested to overfit but enabled",  # trainer_options says it of training, where it is true
        r".*The `srun` command is available on your system but is not used",  # studies and short runs need none
        r".*isinstance\(treespec, LeafSpec\)",
        r".*Checkpoint directory .* exists and is not empty",
        r".*The dirpath has changed from",
        r".*callbacks used to create the checkpoint need to be provided",  # of a training; a test has its own
        r".*The number of training batches .* is smaller than the logging interval",
        r".*was called before the ``update`` method",
        r".*Total length of .* across ranks is zero|.*[Ll]ocal rank has zero length",
        r".*predict returned None if it was on purpose",
        r".*When align_corners=True, the output would more aligned",
        r".*It is recommended to use `self.log\(.*, sync_dist=True\)`",  # torchmetrics has synchronised already
    ):
        warnings.filterwarnings("ignore", message=message)


def prepare() -> None:
    """What comes before the first configuration is parsed."""
    end_with_launcher()
    allow_imports()
    quiet()

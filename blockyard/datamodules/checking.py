"""Reading every sample once, to see whether it can be."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass

from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import Dataset

from blockyard.datamodules.loading import Split


@dataclass(frozen=True)
class Finding:
    """What reading a sample once brought to light.

    Attributes:
        name: The sample.
        problem: What is wrong with it, in one line; None if nothing is.
        size: Bytes of its files; None if it has no files of its own.
        sha256: Of its files, one after the other; None as before, or if one is missing.
        shape: Of what is stored, where that can be told.
        note: What is worth knowing of it though nothing is wrong, without its name.
    """

    name: str
    problem: str | None
    size: int | None = None
    sha256: str | None = None
    shape: tuple[int, ...] | None = None
    note: str | None = None


class Findings(Dataset[Finding]):
    """What reading a split once brings to light, sample by sample, by the workers of a ``DataLoader``.

    Args:
        split: What to look at.
        digest: Whether to look at sizes, digests and shapes too.
    """

    def __init__(self, split: Split, digest: bool) -> None:
        self.split = split
        self.digest = digest

    def __len__(self) -> int:
        return len(self.split.names)

    def __getitem__(self, position: int) -> Finding:
        """What one sample brought to light; whatever its reader raises is a problem of that sample alone."""
        try:
            with isolate_rng(include_cuda=False):
                return self._look_at(position)
        except Exception as error:
            what = " ".join(str(error).split())
            return Finding(self.split.names[position], f"can't be read: {type(error).__name__}: {what}".rstrip(": "))

    def _look_at(self, position: int) -> Finding:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            problem = self.split.problem(position)
        # What decoders warn of.
        warned = [
            str(warning.message) for warning in told if issubclass(warning.category, UserWarning | RuntimeWarning)
        ]
        note = "; ".join(dict.fromkeys([*filter(None, [self.split.note(position)]), *warned])) or None
        name, files = self.split.names[position], self.split.files(position) if self.digest else ()
        shape = self.split.stored_shape(position) if self.digest and problem is None else None
        if not files or not all(path.is_file() for path in files):
            return Finding(name, problem, shape=shape, note=note)
        digest, size = hashlib.sha256(), 0
        for path in files:
            content = path.read_bytes()
            digest.update(content)
            size += len(content)
        return Finding(name, problem, size, digest.hexdigest(), shape, note)

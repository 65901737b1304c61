"""``blockyard check-data``: read everything once, before a training of days does."""

from __future__ import annotations

import csv
import io
import warnings
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blockyard import files
from blockyard.composing.composition import Composed, compose, pairs, read_vocabulary
from blockyard.composing.data import build_data
from blockyard.composing.preparing import prepare
from blockyard.composing.spoken import as_options, spoken
from blockyard.datamodules import DataError, DataModule
from blockyard.datamodules.checking import Finding
from blockyard.datamodules.fingerprints import COLUMNS, Manifest, read_manifest
from blockyard.datamodules.folders import PassedOver
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.mistakes import printable
from blockyard.progress import at_work

NEEDED = {"train": ("fit",), "val": ("fit", "validate"), "test": ("test",)}
"""The splits, and the verbs that need them."""


def main(options: Namespace, arguments: list[str]) -> int:
    """Check the data of a configuration.

    Args:
        options: What :func:`~blockyard.commands.options.check_data` reads.
        arguments: The other command line tokens, as for ``fit`` or ``test``.

    Returns:
        0 if everything could be read and is as it was, 1 otherwise. A test that lies alone is everything.

    Raises:
        ValueError: If the configuration or the manifest is wrong, or no split can be listed.
    """
    file: Path | None = options.manifest
    before = read_manifest(file) if file and file.exists() else None
    data = build(arguments)
    with spoken(lambda: {"data": dict(data.hparams)}):
        found, unlisted = _read_all(data, digest=file is not None)
    bad = sum(bool(row[-1]) for row in found.values())
    changes = [] if before is None else compare(before, found)
    print("".join(f"{line}\n" for line in changes), end="")
    counts = [f"{len(found)} samples of {type(data).__name__} read", f"{bad} bad"]
    useless = _useless(data, [split for split in NEEDED if split not in unlisted])
    if data.is_test_alone and "test" not in unlisted:
        print("note: this is a test alone: enough for blockyard test --ckpt_path FILE, not for blockyard fit")
        unlisted = []
    counts += [f"{split} not listed" for split in unlisted] + [f"{split} of no use" for split in useless]
    if file and before is None:
        files.write(file, _manifest_text(found).encode())
        counts.append(f"written down in {file}")
    elif file:
        counts.append(f"{len(changes)} changed since {file} was written")
    print(", ".join(counts))
    return 1 if bad or unlisted or useless or changes else 0


def build(arguments: list[str]) -> DataModule:
    """The data module of a configuration, without the model, whose options are looked at nevertheless.

    Classes are those of the checkpoint, if there is one; of a test alone without it, those that it shows.

    Raises:
        ValueError: If there is none, or an option is wrong.
    """
    prepare()
    composed = compose(arguments, keep_trainer=True)
    if "data" not in composed.config and not any(option.startswith("--data") for option in composed.options):
        raise ValueError("nothing says which data to check: --config FILE, or --data CLASS")
    of_data = all(option.partition(".")[0].partition("=")[0] == "data" for option, _ in pairs(composed.options))
    data = build_data(composed.config, composed.options) if of_data else build_data(_resolved(composed))
    if composed.checkpoint and composed.saved:
        data.known = read_vocabulary(Path(composed.checkpoint))
    if not data.tells_classes:
        data.trained = data.known or _shown(data)
    return data


def _resolved(composed: Composed) -> dict[str, Any]:
    """A whole configuration, for the line is that of a training."""
    from blockyard.composing.resolving import resolve  # what the data alone don't take

    return resolve(composed, trains=False)


def _shown(data: DataModule) -> Vocabulary | None:
    shown = data.shown_classes
    return Vocabulary(len(shown), tuple(shown)) if shown else None


def compare(before: Manifest, now: Manifest) -> list[str]:
    """What has changed from one manifest to the next, a line each."""
    lines = [f"{split}  {name}: gone since the manifest" for split, name in before if (split, name) not in now]
    for key, row in now.items():
        if key not in before:
            lines.append(f"{key[0]}  {key[1]}: not in the manifest")
        elif row != before[key]:
            columns = zip(COLUMNS[2:], before[key], row, strict=True)
            differing = [f"{name} {was or 'none'} -> {new or 'none'}" for name, was, new in columns if was != new]
            lines.append(f"{key[0]}  {key[1]}: {'; '.join(differing)}")
    return lines


def _read_all(data: DataModule, digest: bool) -> tuple[Manifest, list[str]]:
    """What was found, with what is bad printed at once, and which splits can't be listed."""
    found: Manifest = {}
    unlisted: dict[str, DataError] = {}
    notes: dict[tuple[str, str], list[str]] = {}
    told: set[str] = set()
    for split in NEEDED:
        try:
            told |= _tell_passed_over(data, split, told)
            with at_work(f"reading {split}", len(data.split(split).names)) as step:
                for finding in data.findings(split, digest):
                    found[split, finding.name] = _row(finding)
                    if finding.note is not None:
                        notes.setdefault((split, finding.note), []).append(finding.name)
                    if finding.problem is not None:
                        print(printable(f"{split}  {finding.name}: {finding.problem}"), flush=True)
                    step()
        except DataError as refusal:
            unlisted[split] = refusal
    if not found:
        if data.is_test_alone and data.known is None:
            raise DataError(f"{unlisted['test']}; for a test alone, --ckpt_path FILE says what it takes")
        raise unlisted["test" if data.is_test_alone else "train"]
    for (split, note), names in notes.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(printable(f"{split}  {names[0]}{more}: note: {note}"), flush=True)
    for why in dict.fromkeys(map(str, unlisted.values())):
        splits = [split for split, refusal in unlisted.items() if str(refusal) == why]
        verbs = dict.fromkeys(verb for split in splits for verb in NEEDED[split])
        said = as_options(why, {"data": dict(data.hparams)})
        print(printable(f"{', '.join(splits)}: {said}; needed by blockyard {' and '.join(verbs)}"), flush=True)
    return found, list(unlisted)


def _tell_passed_over(data: DataModule, split: str, before: set[str]) -> set[str]:
    """List a split; print what its folders hold that is not read, unless that was said ``before``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PassedOver)
        data.split(split)
    for other in (warning for warning in caught if not issubclass(warning.category, PassedOver)):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    said = {str(warning.message) for warning in caught if issubclass(warning.category, PassedOver)} - before
    print("".join(printable(f"{split}: {line}") + "\n" for line in sorted(said)), end="", flush=True)
    return said


def _useless(data: DataModule, splits: Iterable[str]) -> list[str]:
    """Which splits are of no use as a whole; what is to be said of any is printed."""
    useless = []
    for split in splits:
        try:
            for remark in data.remarks(split):
                print(printable(f"note: {remark}"), flush=True)
        except DataError as refusal:
            print(printable(str(refusal)), flush=True)
            useless.append(split)
    return useless


def _row(finding: Finding) -> tuple[str, ...]:
    shape = "×".join(map(str, finding.shape or ()))
    return ("" if finding.size is None else str(finding.size), finding.sha256 or "", shape, finding.problem or "")


def _manifest_text(found: Manifest) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*key, *row] for key, row in found.items())
    return text.getvalue()

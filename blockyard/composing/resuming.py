"""What may change when a run goes on, and what it is then: the same run, or a new experiment that says so."""

from __future__ import annotations

from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any, Literal

from blockyard.composing.composition import contradiction, flatten, of_one_set, read_checkpoint
from blockyard.leaderboard.identity import FINGERPRINTS, IGNORED, PARENT, canonical, identity
from blockyard.mistakes import printable
from blockyard.progress import is_first_process
from blockyard.runs.machine import precision
from blockyard.runs.position import Position, read_state

Verdict = Literal["the same run", "refused", "a new experiment"]
OF_AN_EPOCH = (
    "data.batch_size",
    "trainer.accumulate_grad_batches",
    "trainer.limit_train_batches",
    "trainer.overfit_batches",
)
"""What the batches of an epoch are, and how they are counted off: it can't change within one."""

OF_A_TEST = {f"trainer.limit_{verb}_batches" for verb in ("val", "test", "predict")} | {"trainer.precision"}
"""What of the trainer a test may say for itself: either leaves no record where it matters."""


def on_resume(option: str) -> Verdict:
    """What becomes of a run that goes on with another value of an option.

    Where the run is carried out, and what is shown of it, makes no other run. What changes the course of training makes
    a new experiment, whose configuration says from which step of which other it went on. What makes another network,
    other data or another draw of both would be no continuation at all.

    Args:
        option: As on the command line: ``trainer.max_epochs``.
    """
    if option in ("seed_everything", "trainer.fast_dev_run"):  # a trial begins
        return "refused"
    option = of_one_set(option)
    if any(f"{option}.".startswith(f"{free.replace('.init_args', '')}.") for free in IGNORED):
        return "the same run"
    return "a new experiment" if option.startswith("trainer.") or option == "data.batch_size" else "refused"


def go_on(saved: dict[str, Any], now: dict[str, Any], checkpoint: Path, place_given: bool) -> None:
    """Settle what a training is that goes on, and say so where it is not the run that it was.

    Args:
        saved: The configuration in the checkpoint.
        now: The configuration asked for; it is told what it comes from, and a new experiment gets a folder of its own.
        checkpoint: The file.
        place_given: Whether ``trainer.default_root_dir`` was asked for, and does not come from the checkpoint.

    Raises:
        ValueError: If it can't go on so, in one line.
        SystemExit: If it is the same run, which is over: code 0.
    """
    state = read_state(checkpoint)
    parent = parent_of_resumed(saved, now, state.position)
    again = parent == saved.get(PARENT)
    over = state.is_over(now["trainer"])
    if over and not again:
        raise ValueError(f"{checkpoint}: {over}: nothing is left to train")
    if not again:
        _keep_apart(now["trainer"], checkpoint, place_given, parent or {})
    if is_first_process():
        line = f"goes on in epoch {state.position.epoch + 1}, after step {state.position.step}: {checkpoint}"
        if over:
            line = f"already trained: {over}; {checkpoint}"
        elif not again:
            line = statement(parent or {}, now)
        print(f"blockyard: {printable(line)}")  # what the options were is the checkpoint's to say
    if over:
        raise SystemExit(0)
    if parent:
        now[PARENT] = parent


def _keep_apart(trainer: dict[str, Any], checkpoint: Path, place_given: bool, parent: Mapping[str, Any]) -> None:
    """Give a new experiment another folder than that of the run that it comes from, which stays whole."""
    place = trainer.get("default_root_dir") if place_given else None
    if place and Path(place).resolve() == checkpoint.resolve().parent.parent:
        was = ", ".join(f"{option} was {_text(then)}" for option, then in parent.get("changed", {}).items())
        raise ValueError(
            f"{place} holds another run ({was}): --ckpt_path {checkpoint} with another --trainer.default_root_dir "
            "goes on from it, as a new experiment"
        )
    trainer["default_root_dir"] = place


def of_this_run(verb: str, now: dict[str, Any], checkpoint: Path, task: Any, data: Any) -> None:
    """Take the checkpoint that a folder holds: go on with its training, or see that a record would tell the truth.

    Args:
        verb: What is to be done.
        now: The configuration asked for.
        checkpoint: The file.
        task: Names the options that only evaluation looks at.
        data: Names them too.

    Raises:
        ValueError: If it is of another run than the options say.
        SystemExit: If a training is over: code 0.
    """
    if verb == "fit":
        go_on_here(now, checkpoint)
    elif verb == "test":
        saved = read_checkpoint(checkpoint)
        known = {"model": getattr(task, "evaluation_options", ()), "data": getattr(data, "evaluation_options", ())}
        free = tuple(f"{section}.{option}." for section, options in known.items() for option in options)
        before, after = (flatten(_comparable(config)) for config in (saved, now))
        for option in sorted({*before, *after} - OF_A_TEST):
            if before.get(option) != after.get(option) and not f"{option}.".startswith(free):
                raise ValueError(
                    f"--{option} {_text(after.get(option))} contradicts {checkpoint}, trained with "
                    f"{_text(before.get(option))}: --ckpt_path {checkpoint} alone takes its options"
                )


def go_on_here(now: dict[str, Any], checkpoint: Path) -> None:
    """Go on with the run that a folder holds.

    Raises:
        ValueError: If it is another one.
        SystemExit: If it is over: code 0.
    """
    saved = read_checkpoint(checkpoint)
    go_on(
        saved,
        {**now, "trainer": {**now["trainer"], "default_root_dir": str(checkpoint.parent.parent)}},
        checkpoint,
        True,
    )
    if PARENT in saved:
        now[PARENT] = saved[PARENT]
    same_data(saved, now[FINGERPRINTS], checkpoint)


def from_the_beginning(now: dict[str, Any], directory: Path) -> str:
    """One line on a training that was to go on where nothing is: that it begins, and which run may have been meant.

    Args:
        now: The configuration asked for.
        directory: Where its run has its place, beside others that differ from it in the hash at the end of their name.
    """
    beside = directory.parent.glob(f"{escape(directory.name.rpartition('-')[0])}-*/checkpoints/last.ckpt")
    known = {file: _differing(now, file) for file in sorted(beside)}
    possible = {file: differing for file, differing in known.items() if differing}
    begins = f"nothing to go on with in {directory}: the training begins"
    if not possible:
        return begins
    near = min(possible, key=lambda file: len(possible[file]))
    listed = ", ".join(
        f"{option} {_text(then)} there, {_text(here)} here" for option, (then, here) in possible[near].items()
    )
    return f"{begins}; --ckpt_path {near.parent.parent} would train that one on, as a new experiment ({listed})"


def _differing(now: dict[str, Any], checkpoint: Path) -> dict[str, tuple[Any, Any]]:
    """The options in which a configuration differs from that of a checkpoint that it could go on from; else none."""
    try:
        saved = read_checkpoint(checkpoint)
        parent_of_resumed(saved, now, read_state(checkpoint).position)
        same_data(saved, now.get(FINGERPRINTS, {}), checkpoint)
    except ValueError:
        return {}
    return changes(saved, now)


def same_data(saved: dict[str, Any], now: dict[str, str], checkpoint: str | Path | None) -> None:
    """See that a training goes on with the data that it began with.

    Raises:
        ValueError: If not.
    """
    before = saved.get(FINGERPRINTS, now)
    if other := [name for name in ("classes", "train", "val") if before.get(name) != now.get(name)]:
        raise ValueError(
            f"{checkpoint} was trained on other data: {other[0]} {before.get(other[0])} then, {now.get(other[0])} now"
        )


def parent_of_resumed(saved: dict[str, Any], now: dict[str, Any], position: Position) -> dict[str, Any] | None:
    """What a resumed run comes from, for its configuration: nothing where it is the run that wrote the checkpoint.

    Args:
        saved: The configuration in the checkpoint.
        now: The configuration asked for.
        position: How far the checkpoint is.

    Raises:
        ValueError: If it can't go on so, in one line.
    """
    if problem := contradiction(saved, now):
        raise ValueError(problem)
    if now.get("seed_everything") != saved.get("seed_everything"):
        raise ValueError(
            f"--seed_everything {now.get('seed_everything')} contradicts the checkpoint, trained with "
            f"{saved.get('seed_everything')}"
        )
    changed = changes(saved, now)
    for option, (then, value) in changed.items():
        if on_resume(option) == "refused":
            raise ValueError(f"--{option} {_text(value)} contradicts the checkpoint, trained with {_text(then)}")
    if position.batch and (within := [option for option in OF_AN_EPOCH if option in changed]):
        raise ValueError(
            f"the checkpoint is from the middle of an epoch, where {within[0]} can't change: it was "
            f"{_text(changed[within[0]][0])}"
        )
    if not changed:
        return saved.get(PARENT)
    of = identity(saved)
    before = {option: then for option, (then, _) in changed.items()}
    return {
        "experiment": of.experiment,
        "baseline": of.baseline,
        "run": of.run,
        "step": position.step,
        "changed": before,
    }


def changes(saved: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The options in which two configurations are different experiments: then and now.

    An option that came after the checkpoint counts if it is set, and not if it leaves all as it was; which data the
    configurations are about is compared elsewhere.
    """
    before, after = (flatten(_comparable(config)) for config in (saved, now))
    differing = [option for option in sorted({*before, *after}) if before.get(option) != after.get(option)]
    return {option: (before.get(option), after.get(option)) for option in differing}


def _comparable(config: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in config.items() if key not in (FINGERPRINTS, PARENT)}
    trainer = plain.get("trainer", {})
    if trainer.get("precision") is not None:  # which older configurations call by other names
        plain["trainer"] = {**trainer, "precision": precision(trainer["precision"])}
    return canonical(plain)


def statement(parent: Mapping[str, Any], now: dict[str, Any]) -> str:
    """One line that says what a new experiment is."""
    after = flatten(_comparable(now))
    changed = (f"{option} {_text(then)} → {_text(after.get(option))}" for option, then in parent["changed"].items())
    return f"a new experiment, from step {parent['step']} of run {parent['run']}: {', '.join(changed)}"


def _text(value: Any) -> str:
    return "null" if value is None else str(value)

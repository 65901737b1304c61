"""Where a run writes, and which of its checkpoints is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from blockyard.leaderboard.identity import canonical, identity
from blockyard.leaderboard.labels import class_name
from blockyard.progress import is_first_process

RUNS = Path("runs")


def run_directory(config: dict[str, Any]) -> Path:
    """Where a run writes: ``trainer.default_root_dir``, or a place under ``runs/`` that its identity decides.

    Raises:
        ValueError: If that is no path that can be shown, or be part of a job's script, in one line.
    """
    if chosen := config["trainer"].get("default_root_dir"):
        if not str(chosen).isprintable():
            raise ValueError(f"trainer.default_root_dir: {str(chosen)!r} has control characters; name another folder")
        return Path(chosen)
    experiment = canonical(config)
    blocks = [class_name(plug["block"]) for plug in experiment["model"]["init_args"].get("plugs", [])]
    name = "-".join([class_name(experiment["data"]), *dict.fromkeys(blocks or ["baseline"])])
    return RUNS / f"{name}-seed{config['seed_everything']}-{identity(config).run[:8]}".lower()


def checkpoint_at(path: Path, kind: Literal["best", "last"] = "best") -> Path:
    """A checkpoint by its own path, or by that of the folder of its run.

    Args:
        path: The file, the run's folder, or ``checkpoints`` in it.
        kind: Which one of a folder's is meant, ``best`` or ``last``.
    """
    if not path.is_dir():
        return path
    folder = path / "checkpoints"
    return (folder if folder.is_dir() else path) / f"{kind}.ckpt"


def no_checkpoint(path: Path, advice: str = "") -> ValueError:
    """The mistake of naming a checkpoint that is not there: one line, which names those that are."""
    beside = sorted(file.name for file in path.parent.glob("*.ckpt"))
    there = f"; {path.parent} has {', '.join(beside)}" if beside else advice
    return ValueError(f"no checkpoint {path}{there}")


def find_checkpoint(verb: str, name: str | None, directory: Path) -> str | None:
    """Path of the checkpoint that ``--ckpt_path`` means; to continue from ``last`` is to start if there is none.

    Raises:
        ValueError: If there is no such checkpoint, or ``fit`` would overwrite a run.
    """
    places = {kind: directory / "checkpoints" / f"{kind}.ckpt" for kind in ("best", "last")}
    elsewhere = name is None or (name not in places and Path(name).resolve().parent != places["last"].parent.resolve())
    if verb == "fit" and elsewhere and places["last"].is_file() and is_first_process():
        raise ValueError(
            f"{directory} already holds this run: --ckpt_path {'last' if name is None else places['last']} continues "
            "it, another --trainer.default_root_dir repeats it elsewhere"
        )
    if name not in places:
        return name
    if places[name].is_file():
        return str(places[name])
    if verb == "fit" and name == "last":
        return None
    raise no_checkpoint(places[name], ": train this run first with blockyard fit")

"""The runs of a study as SLURM jobs, by submitit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from blockyard.commands.study.job import carry_out_in_job
from blockyard.commands.study.plan import Run, write_configuration
from blockyard.composing.claim import claimed, holder, pass_on
from blockyard.composing.config_files import read_config
from blockyard.mistakes import nearest

if TYPE_CHECKING:
    from submitit import SlurmExecutor

DERIVED = ("nodes", "ntasks_per_node")
NOTICE = "USR1@120"
"""Two minutes before its time limit, a job is told."""


def resources(file: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """What a job asks for: a file of options, and options over it.

    Raises:
        ValueError: If an option is none of SLURM's, or follows from the trainer.
    """
    asked = {**(read_config(file) if file else {}), **options}
    allowed = sorted(_submitit()._valid_parameters())
    for key in asked:
        if key in DERIVED:
            raise ValueError(f"--slurm.{key}: follows from trainer.num_nodes and trainer.devices")
        if key not in allowed:
            raise ValueError(f"--slurm.{key}: no option; {nearest(key, allowed)}")
    return asked


def submit(runs: Sequence[tuple[int, Run]], asked: dict[str, Any], total: int) -> None:
    """Submit runs, except those that have a record or are carried out; a job each, behind that which it begins with."""
    jobs: dict[str, str] = {}
    known = {run.name: run for _, run in runs}
    for number, run in runs:
        place = f"[{number}/{total}] {run.label}"
        with claimed(run.directory) as mine:
            if not mine:
                print(f"{place}: is carried out by {holder(run.directory)}", flush=True)
            elif run.record:
                print(f"{place}: has a record, skipped", flush=True)
            elif run.after and run.after not in jobs and not known[run.after].record:
                print(
                    f"{place}: begins with {run.after}, which is carried out: submit it when that has ended", flush=True
                )
            else:
                write_configuration(run)
                first = jobs.get(run.after or "")
                job = _executor(run, asked, first=first).submit(carry_out_in_job, str(run.file))
                jobs[run.name] = job.job_id
                pass_on(run.directory, job.job_id)
                print(f"{place}: SLURM job {job.job_id}", flush=True)


def script(run: Run, asked: dict[str, Any]) -> str:
    """The sbatch script that :func:`submit` would submit."""
    executor = _executor(run, asked, look_only=True)
    return str(executor._make_submission_file_text(executor._submitit_command_str, "dry-run"))


def _executor(run: Run, asked: dict[str, Any], look_only: bool = False, first: str | None = None) -> SlurmExecutor:
    trainer = run.config["trainer"]
    devices = trainer.get("devices", 1)
    if not str(devices).isdigit():
        devices = 1 if devices == "auto" else json.dumps(devices)
    if not str(devices).isdigit():
        raise ValueError(f"trainer.devices={devices}: a job needs the number of processes on each machine")
    fixed = {
        "job_name": run.name,
        "nodes": trainer.get("num_nodes") or 1,
        "ntasks_per_node": int(devices),
        "srun_args": ["--kill-on-bad-exit=1"],
        "stderr_to_stdout": True,
    }
    kind = _submitit()
    if look_only:
        kind = type("Anywhere", (kind,), {"affinity": classmethod(lambda cls: 1)})
    elif kind.affinity() < 1:
        raise ValueError("no SLURM here: srun was not found")
    executor = kind(folder=run.directory / "slurm")
    more = {"signal": NOTICE, "requeue": True, **asked.get("additional_parameters", {})}
    if first:
        before = [asked["dependency"]] if "dependency" in asked else []
        asked = {**asked, "dependency": ",".join([*before, f"afterok:{first}"])}
        more["kill_on_invalid_dep"] = "yes"
    executor.update_parameters(**{**fixed, **asked, "additional_parameters": more})
    return executor


def _submitit() -> type[SlurmExecutor]:
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise ValueError("--launcher slurm needs submitit: pip install 'blockyard[cluster]'") from error
    return SlurmExecutor

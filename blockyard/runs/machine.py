"""What a run ran on."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

from blockyard import version

PACKAGES = ("torch", "torchvision", "lightning", "timm", "numpy", "albumentations")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def hardware(device: torch.device) -> str:
    """Model of a GPU, or of the CPU with the number of threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{platform.machine()} {device.type}"
    threads = torch.get_num_threads()
    return f"{_cpu()}, {threads} thread{'s' if threads > 1 else ''}"


def versions() -> dict[str, str]:
    """Versions of Python, this package and those whose numerics matter."""
    return {
        "python": platform.python_version(),
        "blockyard": version.__version__,
        **{name: metadata.version(name) for name in PACKAGES},
    }


def commit() -> str | None:
    """Commit of this package's source, ``-dirty`` appended if changed; None outside its own repository."""
    source = Path(version.__file__).parent
    try:
        # without this, an installed copy would be given the commit of whatever repository its environment lies in
        _git(source, "ls-files", "--error-unmatch", "version.py")
        return _git(source, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement, where the system allows it (GPUs, Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _RESET.exists():
        _RESET.write_text("5")


def peak_memory(device: torch.device) -> tuple[int, str]:
    """The most memory in use since the last reset, in bytes, and what was counted: ``cuda`` or ``process RSS``."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "cuda"
    if _RESET.exists():
        # ru_maxrss can't be reset, and a child process inherits its parent's
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024, "process RSS"
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "process RSS"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def precision(name: str | int | None) -> str:
    """Today's name of a precision: Lightning still takes those that it once had."""
    return PRECISIONS.get(str(name), str(name))


PRECISIONS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true", "None": "32-true"}

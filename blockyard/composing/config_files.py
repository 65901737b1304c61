"""The configurations that ship with the package, and those of others; no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from blockyard.mistakes import nearest

CONFIGS = Path(__file__).parents[1] / "configs"


def config_names() -> list[str]:
    """Short paths of the configurations that ship with the package."""
    return sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))


def find_config(name: str) -> Path:
    """A file by path, or a packaged configuration by short path.

    Raises:
        ValueError: If there is neither.
    """
    for path in (Path(name), CONFIGS / name):
        if path.is_file():
            return path
    raise ValueError(f"no configuration file {name}; {nearest(name, config_names())}")


def read_config(name: str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ValueError: If the file is missing, is not YAML, or holds no mapping.
    """
    path = find_config(name)
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{path}{place}: not YAML: {getattr(error, 'problem', None) or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected a mapping such as 'model: ...', got {type(config).__name__}")
    return config

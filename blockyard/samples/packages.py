"""Where the material for sample data is: inside ordinary packages, which need not be installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from blockyard.mistakes import DataError

DISTRIBUTIONS = {"espeakng_loader": "espeakng-loader", "pybullet_data": "pybullet", "sklearn": "scikit-learn"}
"""What a package is called in an index, where that is another name."""


def package_folder(name: str) -> Path:
    """Folder of an installed package, without importing it.

    Raises:
        DataError: If it is not installed.
    """
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"sample data needs {DISTRIBUTIONS.get(name, name)}, which is not installed: "
            "pip install 'blockyard[samples]'"
        )
    return Path(spec.submodule_search_locations[0])

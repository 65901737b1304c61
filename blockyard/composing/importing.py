"""Importing what takes seconds to come."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType


def imported(name: str) -> ModuleType:
    """A module, imported without the collector of garbage.

    What an import makes stays, a million objects with torch and Lightning: looking through them again and again for
    what could go, while they come and once more at the end of the process, takes as long as half the imports.

    Args:
        name: Dotted.
    """
    if name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()  # none of it is looked at again
        gc.enable()

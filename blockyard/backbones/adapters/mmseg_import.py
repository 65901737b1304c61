"""Import this before ``mmseg``: it lets mmsegmentation run on mmcv-lite.

``mmseg.models`` imports ``mmcv.ops``, which imports the compiled ``mmcv._ext``, which mmcv-lite lacks and building
mmcv takes a quarter of an hour. The stand-in satisfies the import; an operator that is really called says so. A
real ``mmcv._ext`` is left alone.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _NoOperators(ModuleType):
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> Any:
            raise NotImplementedError(f"mmcv's compiled operator {name} needs the full mmcv, not mmcv-lite")

        return missing


if "mmcv._ext" not in sys.modules and importlib.util.find_spec("mmcv._ext") is None:
    sys.modules["mmcv._ext"] = _NoOperators("mmcv._ext")

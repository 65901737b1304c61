"""The speech synthesiser eSpeak NG, as it ships in the package espeakng-loader."""

from __future__ import annotations

import ctypes
from importlib import import_module
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import DataError
from blockyard.samples.packages import package_folder

RATE = 22_050
ACCENTS = ("en", "en-029", "en-GB-scotland", "en-GB-x-gbclan", "en-GB-x-gbcwmd", "en-GB-x-rp", "en-US", "en-US-nyc")
"""Of English, as the library calls them."""

_SYNCHRONOUS, _UTF8 = 2, 1
_SPEED, _PITCH, _RANGE = 1, 3, 4
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def variants() -> list[str]:
    """Names of the voices, sorted.

    Raises:
        DataError: If the package is not installed.
    """
    return sorted(path.name for path in (package_folder("espeakng_loader") / "espeak-ng-data/voices/!v").iterdir())


class Synthesiser:
    """Speaks, the same from one object to the next: what one says is a function of all that it has said before.

    The library keeps state (flutter of the voice, random numbers) that nothing resets; so each object loads it anew.

    Raises:
        DataError: If the package is not installed.
    """

    def __init__(self) -> None:
        folder = package_folder("espeakng_loader")
        self._library = ctypes.CDLL(import_module("espeakng_loader").get_library_path())
        self._voices = frozenset(variants())
        self._parts: list[NDArray[np.int16]] = []
        self._callback = _Callback(self._receive)  # the library keeps the pointer, not the object
        if self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(folder / "espeak-ng-data").encode(), 0) != RATE:
            raise DataError(f"{folder}: eSpeak NG does not start, or not at {RATE} Hz")
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self._library.espeak_ng_SetRandSeed(1)  # it starts with the time of day
        ctypes.CDLL(None).srand(1)

    def __enter__(self) -> Synthesiser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.espeak_Terminate()
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(self._library._handle))

    def say(self, text: str, voice: str, accent: str, speed: int, pitch: int, liveliness: int) -> NDArray[np.float32]:
        """Speak.

        Args:
            text: What to say.
            voice: One of :func:`variants`.
            accent: One of :data:`ACCENTS`.
            speed: Words a minute.
            pitch: 0 to 99.
            liveliness: Range of the pitch, 0 to 99.

        Returns:
            ``(n,)`` at 22,050 Hz, full scale ±1.

        Raises:
            DataError: If there is no such voice.
        """
        # The library itself takes an unknown voice for its default one.
        if voice not in self._voices or self._library.espeak_SetVoiceByName(f"{accent}+{voice}".encode()):
            raise DataError(f"eSpeak NG has no voice {voice} for the accent {accent}")
        for parameter, value in ((_SPEED, speed), (_PITCH, pitch), (_RANGE, liveliness)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._parts.clear()
        content = text.encode()
        self._library.espeak_Synth(content, ctypes.c_size_t(len(content) + 1), 0, _UTF8, 0, _UTF8, None, None)
        return np.concatenate(self._parts).astype(np.float32) / np.float32(32768)

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
        if samples and count:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

"""Which of several processes tells people of a mistake; no torch until there are several."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from blockyard.progress import is_first_process

if TYPE_CHECKING:
    from torch.distributed import TCPStore

SAID, HEARD = "blockyard/said", "blockyard/heard"
"""Under what the first process leaves word for the others, and they for it."""
LAUNCHER = "BLOCKYARD_LAUNCHER"
"""Under what a process that starts others by Lightning leaves them its number."""
PATIENCE = timedelta(seconds=10)
"""How far apart processes may come upon one mistake."""


def end_with_launcher() -> None:
    """From now on this process ends when what launched it, Lightning in the first process or torchrun, is gone."""
    launcher = int(os.environ.get(LAUNCHER, os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else 0))
    if launcher not in (0, os.getpid()) and "LOCAL_RANK" in os.environ:
        threading.Thread(target=_end_with, args=(launcher,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)  # the main thread may be in a collective for good


def say_once(line: str) -> None:
    """Print a line to standard error, of several processes that are about to end in the first one alone.

    Another process prints too if the first one does not say anything within :data:`PATIENCE`: then the mistake is its
    own. They find each other where a process group meets: at MASTER_ADDR and MASTER_PORT.
    """
    if is_first_process():
        print(line, file=sys.stderr, flush=True)
        _leave_word()
    elif not _first_has_spoken():
        print(line, file=sys.stderr, flush=True)


def _leave_word() -> None:
    """Tell the other processes, and stay until they know: what they ask may be gone with this process."""
    if (store := _store()) is None:
        return
    now = attempt()
    try:
        store.set(f"{SAID}/{now}", "1")
        store.wait([f"{HEARD}/{now}/{count}" for count in range(1, _world())], PATIENCE)
    except RuntimeError:  # others had no mistake, or are gone
        return


def _first_has_spoken() -> bool:
    if (store := _store()) is None:
        return False
    now = attempt()
    try:
        store.wait([f"{SAID}/{now}"], PATIENCE)
        store.set(f"{HEARD}/{now}/{store.add(f'{HEARD}/{now}', 1)}", "1")
    except RuntimeError:  # it said nothing in time, or is gone
        return False
    return True


def _world() -> int:
    from torch import distributed

    if distributed.is_initialized():
        return distributed.get_world_size()
    return int(os.environ.get("WORLD_SIZE", "2"))  # Lightning takes it away when a run ends by an error


def attempt() -> str:
    """What tells a job from the one before it, which torchrun started again where the same store stands."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def meeting_place(given_up: Callable[[], bool] | None = None) -> TCPStore | None:
    """Where the processes of a job meet, once that is there; None if it isn't.

    Args:
        given_up: Whether to wait no longer; by default this looks once.
    """
    while not _is_there():
        if given_up is None or given_up():
            return None
        time.sleep(0.1)
    return _store()


def _is_there() -> bool:
    """Whether somebody listens, asked without what torch says if not."""
    try:
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        socket.create_connection(place, 1).close()
    except (KeyError, ValueError, OSError):
        return False
    return True


def _store() -> TCPStore | None:
    """Where the processes of a job meet; None if that is nowhere."""
    if not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return None
    from torch.distributed import TCPStore

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        return TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=PATIENCE)
    except (RuntimeError, ValueError):
        return None

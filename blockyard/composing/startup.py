"""The processes of a job begin together, or end together.

Left to themselves, those that wait for a process that died before their first collective wait for half an hour. Here
every process holds a connection to the first one until the first batch. The kernel closes it whatever has ended a
process, and for nothing else: one that is merely slow is waited for as long as it takes.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.distributed import DistNetworkError

from blockyard.composing.processes import LAUNCHER, PATIENCE, attempt, meeting_place
from blockyard.mistakes import mistake_in
from blockyard.progress import is_first_process

PLACE = "blockyard/startup"
"""Under what the first process leaves the others word of where it listens."""
POLL = 0.1
GRACE = 3.0
"""Seconds in which an error may turn out to be the consequence of another process' end."""
SAID = PATIENCE.total_seconds() + 5
"""Seconds that a process which has something to say may take to say it."""
KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6}
"""A machine that lost its power closes nothing: it is missed after these 50 seconds."""


class Startup(Callback):
    """Ends this process if another one of its job ends before the first batch.

    A process that leaves because of a mistake, or with a traceback, sends its exit code first: the others then leave in
    silence, once it is gone. If it was killed the first process tells people; if it was the first, another one.
    """

    def __init__(self) -> None:
        self._watching = self._over = False
        self._links: list[socket.socket] = []

    def watch(self, launcher: Any = None) -> None:
        """Look after the other processes from now on.

        Args:
            launcher: That of the trainer's strategy, in the first process.
        """
        self._watching = True
        if is_first_process():
            os.environ[LAUNCHER] = str(os.getpid())
            thread = threading.Thread(target=self._lead, args=(launcher,), daemon=True)
        else:
            thread = threading.Thread(target=self._follow, daemon=True)
        thread.start()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All have arrived."""
        self._over = True

    on_validation_start = on_test_start = on_predict_start = on_train_start

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Tell the others."""
        self.leave(type(exception), exception)

    def leave(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        """Tell the others that this process leaves, and why; the exit of a context manager."""
        if self._over:
            return
        code = 0 if error is None or isinstance(error, SystemExit) else 2 if mistake_in(error) else 1
        if code == 1 and self._watching:
            time.sleep(GRACE)  # a collective fails at once in those that are left, which is not worth a traceback
        self._over = True
        self._tell(code)

    def _tell(self, code: int) -> None:
        for link in self._links:
            with suppress(OSError):
                link.send(bytes([code]))

    def _end(self, code: int, line: str | None = None) -> NoReturn:
        self._tell(code)
        if line:
            print(f"blockyard: {line} before the first batch, and so do all processes of this job", file=sys.stderr)
            sys.stderr.flush()
        os._exit(code)  # the main thread may be in a collective for good

    def _follow(self) -> None:
        """What a process does that is not the first."""
        number = said = b""
        try:
            if (store := meeting_place(lambda: self._over)) is None:
                return
            # Not store.wait: torchrun's agents may count restarts differently, and such a thread would outlive the run.
            while not store.check([f"{PLACE}/{attempt()}"]):
                if self._over:
                    return
                time.sleep(POLL)
            port, token = store.get(f"{PLACE}/{attempt()}").decode().split()
            link = socket.create_connection((os.environ["MASTER_ADDR"], int(port)), PATIENCE.total_seconds())
        except DistNetworkError:
            if not self._over:
                self._end(1)  # it was gone before there was a connection; its launcher tells people
            return
        except (RuntimeError, OSError):  # machines that may not talk but at the one port: nobody is looked after
            return
        with suppress(OSError):
            _keep_alive(link)
            link.sendall(f"{token} {socket.gethostname()} {os.getpid()}\n".encode())
            number = link.recv(16)
            self._links.append(link)
            said = link.recv(1)
        if self._over or said == b"\0":
            return
        if said:
            _wait_for_end(link)
            self._end(said[0])
        self._end(1, "the first process ended" if number == b"1" else None)

    def _lead(self, launcher: Any) -> None:
        """What the first process does."""
        both = socket.has_dualstack_ipv6()
        server = socket.create_server(
            ("", 0), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both, backlog=1024
        )
        word, told = f"{server.getsockname()[1]} {secrets.token_hex(16)}", False
        with selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_READ)
            while not self._over:
                told = told or _leave_word(word)
                for key, _ in selector.select(POLL):
                    if key.fileobj is server:
                        if welcome := self._welcome(server, word.split()[1]):
                            selector.register(welcome[0], selectors.EVENT_READ, welcome[1])
                    elif self._listen(key.fileobj, key.data, launcher):
                        selector.unregister(key.fileobj)
                for process in getattr(launcher, "procs", ()):
                    if isinstance(process, subprocess.Popen) and process.poll() is not None:
                        self._lost((socket.gethostname(), str(process.pid)), launcher)
        self._links.append(server)  # whoever comes late may still connect

    def _welcome(self, server: socket.socket, token: str) -> tuple[socket.socket, tuple[str, str]] | None:
        """A new connection and whose it is; None if it is nobody's of this job."""
        link, _ = server.accept()
        try:
            link.settimeout(PATIENCE.total_seconds())
            theirs, host, process = link.recv(1024).decode().split()
            if not secrets.compare_digest(theirs, token):
                raise ValueError("a stranger")
            _keep_alive(link)
            self._links.append(link)
            link.sendall(str(len(self._links)).encode())
        except (OSError, ValueError):
            link.close()
            return None
        return link, (host, process)

    def _listen(self, link: Any, who: tuple[str, str], launcher: Any) -> bool:
        """Whether a process left in peace."""
        said = b""
        with suppress(OSError):
            said = link.recv(1)
        if said == b"\0" or self._over:
            return True
        self._links.remove(link)
        if said:
            _wait_for_end(link)
            self._end(said[0])
        self._lost(who, launcher)
        return True

    def _lost(self, who: tuple[str, str], launcher: Any) -> None:
        """A process is gone that has not said why to this one."""
        host, number = who
        how = "ended"
        for process in getattr(launcher, "procs", ()):
            if str(process.pid) == number and host == socket.gethostname():
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(GRACE)
                    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                    if code == 2 and not self._over:
                        self._end(2)  # it has said why
        if not self._over:
            self._end(1, f"process {number} on {host} {how}")


def _leave_word(word: str) -> bool:
    """Whether the others can now find out where to connect."""
    if (store := meeting_place()) is None:
        return False
    with suppress(RuntimeError):
        store.set(f"{PLACE}/{attempt()}", word)
        return True
    return False


def _wait_for_end(link: socket.socket) -> None:
    with suppress(OSError):
        link.settimeout(SAID)
        link.recv(1)


def _keep_alive(link: socket.socket) -> None:
    link.settimeout(None)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

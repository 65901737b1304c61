"""One file over HTTPS, gone on with where it was broken off."""

from __future__ import annotations

import http.client
import ipaddress
import re
import ssl
import time
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from blockyard.mistakes import DataError
from blockyard.version import __version__

BLOCK = 2**20
"""Bytes that are asked for at a time; fewer are taken as they come."""
TIMEOUT = 60.0
"""Seconds in which a server must send something."""
TRIES, PAUSE, LONGEST = 5, 1.0, 60.0
"""Tries in a row that bring nothing; seconds before the second, doubled for each further one, and at most."""
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be others next time."""


class BrokenOffError(Exception):
    """A try ended early, and the next may do better."""

    def __init__(self, why: object, pause: float = 0.0) -> None:
        super().__init__(" ".join(str(why).split()) or type(why).__name__)
        self.pause = pause


def download(address: str, part: Path, size: int, seen: Callable[[int], None]) -> None:
    """Fill a file from an address; what is in it already is not asked for again, if the server can do that.

    Beside the file, ``<name>.version`` keeps what the server calls the version that the file is a part of.

    Args:
        address: HTTPS, or HTTP on this machine.
        part: The file, or where it is to be.
        size: Bytes that it must have in the end.
        seen: Is told how many there are, each time that there are more.

    Raises:
        DataError: If the address is refused, the server has nothing or something of another size there, or no try out
            of :data:`TRIES` brings anything; what has arrived is kept.
    """
    check_address(address, address)
    if _length(part) > size:
        _forget(part)
    failures, most = 0, _length(part)
    while _length(part) < size:
        try:
            _receive(address, part, size, seen)
        except BrokenOffError as broken:
            failures = 1 if _length(part) > most else failures + 1
            most = max(most, _length(part))
            if failures == TRIES:
                raise DataError(f"{address}: {broken}, {TRIES} times; the same line goes on from here") from broken
            time.sleep(min(LONGEST, max(broken.pause, PAUSE * 2 ** (failures - 1))))


def check_address(address: str, first: str) -> None:
    """Refuse what is not HTTPS; on this machine, HTTP will do.

    Args:
        address: Where to go.
        first: What was asked for, of which ``address`` may be a redirection.

    Raises:
        DataError: If it is refused.
    """
    if _scheme(address) == "https" or (_scheme(address) == "http" and _is_here(address) and _is_here(first)):
        return
    where = f"{first} leads to {address}" if address != first else address
    raise DataError(f"{where}: only https:// is fetched from, or http:// on this machine")


def _scheme(address: str) -> str | None:
    """What an address begins with; None if it is none that can be asked."""
    try:
        parts = urlsplit(address)
        whole = parts.hostname is not None and parts.port != 0
    except ValueError:  # a port that is no number, half of an IPv6 address
        return None
    return parts.scheme if whole and address.isascii() and not re.search(r"[\s\x00-\x1f\x7f]", address) else None


def _is_here(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Redirections(HTTPRedirectHandler):
    """Follows them, to allowed addresses only."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        check_address(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(address: str, part: Path, size: int, seen: Callable[[int], None]) -> None:
    """One try: append to the file what it lacks, or begin anew where that can't be told to fit."""
    have, version = _length(part), _version(part)
    headers = {"User-Agent": f"blockyard/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})
    with _open(Request(address, headers=headers), part) as answer:
        try:
            at = _start(answer, address, part, size)
            with part.open("ab" if at else "wb") as file:
                while block := _read(answer):
                    at += len(block)
                    if at > size:
                        raise DataError(f"{address}: more than the {size:,} bytes of the published file: another one")
                    file.write(block)
                    seen(at)
        except OSError as error:  # of the disk, for the network's are others by now
            raise OSError(error.errno, error.strerror, str(part)) from error
    if _length(part) < size:
        raise BrokenOffError("the connection ended early")


def _open(request: Request, part: Path) -> Any:
    try:
        return build_opener(_Redirections).open(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # it has less than is here
            _forget(part)
        if error.code in (*PASSING, 416):
            raise BrokenOffError(f"{error.code} {error.reason}", _pause(error.headers)) from error
        raise DataError(f"{request.full_url}: {error.code} {error.reason}") from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DataError(f"{request.full_url}: {error.reason.verify_message}") from error
        raise BrokenOffError(error.reason) from error
    except (UnicodeError, http.client.InvalidURL) as error:  # no name that a machine can have
        raise DataError(f"{request.full_url}: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise BrokenOffError(error) from error


def _start(answer: Any, address: str, part: Path, size: int) -> int:
    """Where in the file the answer begins."""
    version = _strong(answer.headers)
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        fits = found and int(found[1]) == _length(part) and found[2] in ("*", str(size))
        if not fits or version != _version(part):
            _forget(part)
            raise BrokenOffError("what is there has changed")
        return _length(part)
    length = answer.headers.get("Content-Length", str(size))
    if length != str(size):
        raise DataError(f"{address}: {length} bytes, not the {size} of the published file: another one")
    _forget(part)  # first: a version must never stand beside bytes of another one
    _beside(part).write_text(version)
    return 0


def _read(answer: Any) -> bytes:
    try:
        block: bytes = answer.read1(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise BrokenOffError(error) from error
    return block


def _strong(headers: Message) -> str:
    """What a version is called, so that a server knows it again: not by weak ETags, which don't promise equal bytes."""
    tag = headers.get("ETag", "")
    called = str(tag if tag.startswith('"') else headers.get("Last-Modified", ""))
    return called if called.isascii() and called.isprintable() else ""  # it is to be sent back in one line


def _pause(headers: Message) -> float:
    """Seconds that a server asks to wait."""
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def _beside(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _version(part: Path) -> str:
    return _beside(part).read_text() if _beside(part).is_file() else ""


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part).unlink(missing_ok=True)

"""``fetch`` from a server on this machine: what lies in the folder afterwards, and what is said."""

import hashlib
import importlib.util
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from blockyard.cli import main
from blockyard.commands import fetch
from blockyard.composing.claim import claimed
from blockyard.publishers import downloading
from blockyard.publishers.sets import SETS, Archive, Published

SPEC = importlib.util.spec_from_file_location(
    "test_unpacking", Path(__file__).parents[1] / "publishers" / "test_unpacking.py"
)
unpacking = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(unpacking)

NOISE = os.urandom(2_000_000)
HELD = {"set/labels.txt": b"1 2 3", "set/deep/pixels.npy": NOISE, "readme.txt": b"not of the set"}


@pytest.fixture
def publish(publisher, tmp_path, monkeypatch):
    """Publish a set of one archive; the set is called ``birds``."""
    monkeypatch.setattr(downloading, "PAUSE", 0.0)

    def call(make=unpacking.make_tar, name="birds.tar.gz", files=HELD, *more, **changed):
        content = make(tmp_path / name, files, *more).read_bytes()
        (tmp_path / name).unlink()
        publisher.files[f"/pub/{name}"] = content
        archive = Archive(
            f"{publisher.address}/pub/{name}",
            len(content),
            ("sha256", hashlib.sha256(content).hexdigest()),
            *("birds/1", "set"),
        )._replace(**changed)
        published = Published("Birds", "https://birds.example.org", "CC BY 4.0", (archive,))
        monkeypatch.setitem(SETS, "birds", published)
        return archive

    return call


@pytest.fixture
def run(tmp_path, capsys):
    """The command line on a folder ``data``: exit code, standard output, lines of standard error."""

    def call(*options, name="birds"):
        code = main(["fetch", name, "--root", str(tmp_path / "data"), *options])
        said = capsys.readouterr()
        return code, said.out, said.err.splitlines()

    return call


WHOLE = {name.removeprefix("set/"): content for name, content in HELD.items() if name.startswith("set/")}


@pytest.mark.parametrize(("make", "name"), [(unpacking.make_tar, "birds.tgz"), (unpacking.make_zip, "birds.zip")])
def test_a_set_is_fetched_checked_and_unpacked(publish, run, tmp_path, make, name):
    archive = publish(make, name)
    code, out, err = run()
    assert (code, out) == (0, f"{tmp_path / 'data/birds/1'}\n")
    assert unpacking.files_in(tmp_path / "data") == {f"birds/1/{file}": content for file, content in WHOLE.items()}
    assert err[0] == "Birds: CC BY 4.0 (https://birds.example.org)"  # before anything is asked for
    assert err[1] == f"{archive.address}: 2.0 MB"
    assert err[2] == f"{name}: sha256 as published"
    assert len(err) == 3  # no bar in what is no terminal


def test_what_is_there_is_not_fetched_again(publish, run, publisher):
    publish()
    assert run()[0] == 0
    code, _, err = run()
    assert code == 0
    assert err[-1].endswith("is there already")
    assert len(publisher.asked) == 1


def test_an_empty_folder_is_not_a_set(publish, run, tmp_path):
    publish()
    (tmp_path / "data/birds/1").mkdir(parents=True)
    assert run()[0] == 0
    assert unpacking.files_in(tmp_path / "data/birds/1") == WHOLE


def test_files_that_are_no_archive_stay_as_they_are(publish, run, tmp_path, publisher, monkeypatch):
    publisher.files["/labels.npy"] = NOISE
    archive = Archive(
        f"{publisher.address}/labels.npy", len(NOISE), ("md5", hashlib.md5(NOISE).hexdigest()), "birds/labels.npy"
    )
    monkeypatch.setitem(SETS, "birds", Published("Birds", "https://birds.example.org", "CC0", (archive,)))
    assert run()[:2] == (0, f"{tmp_path / 'data/birds/labels.npy'}\n")
    assert unpacking.files_in(tmp_path / "data") == {"birds/labels.npy": NOISE}


def test_all_of_an_archive_may_be_the_set(publish, run, tmp_path):
    publish(holds="")
    assert run()[0] == 0
    assert unpacking.files_in(tmp_path / "data/birds/1") == HELD


def test_the_archive_can_be_kept_and_one_that_lies_there_is_used(publish, run, tmp_path, publisher):
    archive = publish()
    assert run("--keep")[0] == 0
    kept = tmp_path / "data" / archive.name
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == archive.digest[1]
    shutil.rmtree(tmp_path / "data/birds")
    assert run()[0] == 0
    assert unpacking.files_in(tmp_path / "data/birds/1") == WHOLE
    assert len(publisher.asked) == 1
    assert kept.is_file()


def test_an_archive_that_lies_there_is_never_removed(publish, run, tmp_path):
    archive = publish()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / archive.name).write_bytes(b"mine")
    code, _, err = run()
    assert code == 2
    assert "is not the published archive (sha256" in err[-1]
    assert unpacking.files_in(tmp_path / "data") == {archive.name: b"mine"}


def test_another_file_under_the_name_is_not_unpacked(publish, run, tmp_path):
    archive = publish(digest=("md5", "0" * 32))
    code, out, err = run()
    assert (code, out) == (2, "")
    assert re.search(rf"what came as {archive.name} .* \(md5 [0-9a-f]{{32}}, not {'0' * 32}\) and is removed", err[-1])
    assert unpacking.files_in(tmp_path / "data") == {}


@pytest.mark.parametrize(
    ("files", "more", "said"),
    [
        ({"../out.txt": b"harmless"}, (), "leads out of its folder"),
        ({"set/a": b""}, (unpacking.special("set/b", b"2", "/etc"),), "neither a file nor a folder"),
        ({"set/a": bytes(10**7)}, (), "holds more than"),
        ({"sets/a": b""}, (), "holds no folder set"),
    ],
    ids=["way out", "link", "bomb", "other folder"],
)
def test_a_bad_member_leaves_nothing_behind(publish, run, tmp_path, files, more, said):
    publish(unpacking.make_tar, "birds.tar.gz", files, *more)
    code, _, err = run()
    assert code == 2
    assert said in err[-1]
    assert not [path for path in unpacking.files_in(tmp_path) if not path.startswith("data/birds.tar.gz.part/")]


def test_a_file_that_is_gone_is_one_line(publish, run, publisher, tmp_path):
    archive = publish()
    publisher.files.clear()
    code, _, err = run()
    assert code == 2
    assert err[-1] == f"blockyard: {archive.address}: 404 Not Found"
    assert not list((tmp_path / "data").iterdir())


def test_a_mirror_is_asked_instead(publish, run, publisher, tmp_path):
    archive = publish()
    publisher.files = {f"/mirror/{archive.name}": publisher.files[f"/pub/{archive.name}"]}
    assert run("--mirror", f"{publisher.address}/mirror/")[0] == 0
    assert unpacking.files_in(tmp_path / "data/birds/1") == WHOLE
    code, _, err = run("--mirror", "http://example.org")
    assert code == 2
    assert "only https://" in err[-1]


def test_a_redirection_to_another_machine_without_https_is_refused(publish, run, publisher):
    publish()
    publisher.answers = [(302, {"Location": "http://example.org/birds.tar.gz"})]
    code, _, err = run()
    assert code == 2
    assert "leads to http://example.org/birds.tar.gz: only https://" in err[-1]


def test_a_full_disk_is_told_before_and_while(publish, run, publisher, monkeypatch, tmp_path):
    publish()
    with monkeypatch.context() as few:
        few.setattr(fetch.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 0))
        code, _, err = run()
    assert code == 2
    assert re.search(r"No space left on device, 2\.0 MB are to come and 0 bytes are free; make room there", err[-1])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, limits[1]))  # no file can grow beyond
    try:
        code, _, err = run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    content = tmp_path / "data/birds.tar.gz.part/content"
    assert (code, err[-1]) == (2, f"blockyard: {content}: File too large; make room there, or choose another folder")
    assert content.stat().st_size == 10**6
    assert run()[0] == 0
    assert publisher.asked[-1][1] == "bytes=1000000-"


def test_one_process_at_a_time_and_the_other_is_named(publish, run, tmp_path):
    archive = publish()
    part = tmp_path / "data" / f"{archive.name}.part"
    with claimed(part):
        code, _, err = run()
    assert code == 2
    assert re.search(rf"process {os.getpid()} on .* is at {part}: wait for it to end", err[-1])
    assert run()[0] == 0


def test_two_at_once_make_one_set(publish, tmp_path, publisher):
    publish()
    codes = []
    arguments = ["fetch", "birds", "--root", str(tmp_path / "data")]
    threads = [threading.Thread(target=lambda: codes.append(main(arguments))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 in codes
    assert set(codes) <= {0, 2}
    assert len(publisher.asked) == 1
    assert unpacking.files_in(tmp_path / "data") == {f"birds/1/{file}": content for file, content in WHOLE.items()}


CHILD = """
import sys
from blockyard.publishers.sets import SETS, Archive, Published
address, size, digest, *arguments = sys.argv[1:]
archive = Archive(address, int(size), ("sha256", digest), "birds/1", "set")
SETS["birds"] = Published("Birds", "https://birds.example.org", "CC BY 4.0", (archive,))
from blockyard.cli import main
sys.exit(main(["fetch", "birds", *arguments]))
"""


def start(archive, root, **options):
    arguments = [archive.address, str(archive.size), archive.digest[1], "--root", str(root)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # which a shell has what it runs behind ignore
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], preexec_fn=heard, **options)


def test_ctrl_c_keeps_what_has_arrived(publish, run, publisher, tmp_path):
    archive = publish()
    publisher.stalls = 1_000_000
    process = start(archive, tmp_path / "data", stderr=subprocess.PIPE, text=True)
    content = tmp_path / "data" / f"{archive.name}.part" / "content"
    deadline = time.monotonic() + 30
    while not content.is_file() or content.stat().st_size < 900_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.fullmatch(
        rf"blockyard: stopped in {archive.name}, of which .* are kept; go on: the same line again", err.splitlines()[-1]
    )
    kept = content.stat().st_size
    publisher.stalls = None
    assert run()[0] == 0
    assert publisher.asked[-1][1] == f"bytes={kept}-"
    assert unpacking.files_in(tmp_path / "data") == {f"birds/1/{file}": content for file, content in WHOLE.items()}


def test_ctrl_c_before_anything_has_arrived(publish, run, tmp_path, monkeypatch):
    archive = publish()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloading, "_open", stopped)
    code, _, err = run()
    assert code == 130
    assert err[-1].startswith(f"blockyard: stopped in {archive.name}, of which 0 bytes are kept; go on")
    assert not list((tmp_path / "data").iterdir())


def test_the_bar_of_a_terminal_fits_80_columns(publish, publisher, tmp_path):
    archive = publish(name="a_name_of_an_archive_that_is_rather_long_v0.02.tar.gz")
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    process = start(archive, tmp_path / "data", stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    try:
        while block := os.read(ours, 4096):
            said += block
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=30) == 0
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", said.decode())]
    (bar, *_) = [line for line in lines if "2.0/2.0 MB" in line]
    assert bar.startswith("a_name_of_an_archive")
    assert "B/s" in bar
    assert max(len(line) for line in lines if "MB" in line and "http" not in line) <= 80


def test_a_list_of_what_there_is(capsys):
    assert main(["fetch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == SETS.keys()
    assert "170.5 MB  CIFAR-10: " in lines[0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cifer10", "no published set cifer10; did you mean cifar10"),
        ("hmdb51", "HMDB-51 can't be fetched, it comes as RAR"),
        ("esc50", "see https://github.com/karolpiczak/ESC-50"),
    ],
)
def test_what_can_not_be_fetched(run, name, said, tmp_path):
    code, out, err = run(name=name)
    assert (code, out, len(err)) == (2, "", 1)
    assert said in err[0]
    assert not (tmp_path / "data").exists()

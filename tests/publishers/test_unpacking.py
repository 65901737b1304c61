"""What an archive may hold, and what makes it be refused; all archives are made here and harmless."""

import io
import stat
import tarfile
import zipfile

import pytest

from blockyard.mistakes import DataError
from blockyard.publishers.unpacking import unpack

GOOD = {"set/a.txt": b"a" * 100, "set/deep/b.txt": b"b"}


def make_tar(path, files, *members):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
        for member in members:
            packed.addfile(member)
    return path


def make_zip(path, files, mode=0):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            packed.writestr(member, content)
    return path


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


MAKERS = pytest.mark.parametrize(
    ("make", "name"), [(make_tar, "set.tar"), (make_tar, "set.tar.gz"), (make_tar, "set.tgz"), (make_zip, "set.zip")]
)


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@MAKERS
def test_files_and_folders_come_out_as_they_went_in(tmp_path, make, name):
    unpack(make(tmp_path / name, GOOD), name, tmp_path / "out", 101)
    assert files_in(tmp_path / "out") == GOOD


def test_an_archive_is_known_by_its_published_name(tmp_path):
    unpack(make_zip(tmp_path / "content", GOOD), "set.zip", tmp_path / "out", 101)
    assert files_in(tmp_path / "out") == GOOD


@MAKERS
@pytest.mark.parametrize(
    "member", ["../out.txt", "set/../../out.txt", "{root}/out.txt", "set\\..\\..\\out.txt", "C:\\out.txt"]
)
def test_what_leads_out_of_the_folder_is_refused(tmp_path, make, name, member, one_line):
    member = member.format(root=tmp_path)
    path = make(tmp_path / name, {member: b"harmless"})
    with pytest.raises(DataError) as error:
        unpack(path, name, tmp_path / "out", 1000)
    one_line(error, name, "leads out of its folder")
    assert files_in(tmp_path) == {name: path.read_bytes()}


@MAKERS
def test_what_is_larger_than_it_may_be_is_refused(tmp_path, make, name, one_line):
    with pytest.raises(DataError) as error:
        unpack(make(tmp_path / name, {"zeros": bytes(10**6)}), name, tmp_path / "out", 10**6 - 1)
    one_line(error, name, "holds more than 999,999 bytes")
    assert not (tmp_path / "out" / "zeros").exists()


@pytest.mark.parametrize(
    "member",
    [
        special("set/link", tarfile.SYMTYPE, "../../out.txt"),
        special("set/link", tarfile.SYMTYPE, "a.txt"),
        special("set/link", tarfile.LNKTYPE, "set/a.txt"),
        special("set/pipe", tarfile.FIFOTYPE),
        special("set/device", tarfile.CHRTYPE),
    ],
    ids=["link out", "link", "hard link", "pipe", "device"],
)
def test_links_and_devices_are_refused(tmp_path, member, one_line):
    path = make_tar(tmp_path / "set.tar", GOOD, member)
    with pytest.raises(DataError) as error:
        unpack(path, "set.tar", tmp_path / "out", 1000)
    one_line(error, member.name, "neither a file nor a folder")
    assert not (tmp_path / "out" / member.name).exists()


def test_a_link_in_a_zip_is_refused(tmp_path, one_line):
    path = make_zip(tmp_path / "set.zip", {"link": b"/etc/hostname"}, stat.S_IFLNK | 0o777)
    with pytest.raises(DataError) as error:
        unpack(path, "set.zip", tmp_path / "out", 1000)
    one_line(error, "link", "neither a file nor a folder")


@MAKERS
@pytest.mark.parametrize("left", [0, 10, 60])
def test_a_damaged_archive_is_one_line(tmp_path, make, name, left, one_line):
    path = make(tmp_path / name, GOOD)
    content = path.read_bytes()
    path.write_bytes(content[:left] if left < 60 else content[:left] + bytes(range(64)) + content[left + 64 :])
    with pytest.raises(DataError) as error:
        unpack(path, name, tmp_path / "out", 1000)
    one_line(error, name, "can't be unpacked")


def test_rights_are_those_of_ordinary_files(tmp_path):
    member = tarfile.TarInfo("run.sh")
    member.mode, member.uid = 0o6777, 4242
    unpack(make_tar(tmp_path / "set.tar", {}, member), "set.tar", tmp_path / "out", 0)
    assert stat.S_IMODE((tmp_path / "out" / "run.sh").stat().st_mode) & 0o7022 == 0

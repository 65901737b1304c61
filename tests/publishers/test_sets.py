"""The table of published sets: what every row must have, and that nothing else says it again."""

import hashlib
import re
from pathlib import Path

import pytest

import blockyard
from blockyard.composing.config_files import config_names
from blockyard.publishers.downloading import check_address
from blockyard.publishers.sets import SETS, how_to_get

ARCHIVES = [archive for published in SETS.values() for archive in published.archives]
BESIDES = {"cifar10_1", "cifar10_c", "cifar100_c", "speech_commands_test", "sbd", "ucf101_lists"}
"""Sets that have no configuration: what another set can be tested or trained on besides."""


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_every_address_has_a_size_and_a_digest(archive):
    check_address(archive.address, archive.address)
    assert archive.address.startswith("https://")
    assert archive.size > 0
    name, digest = archive.digest
    assert len(digest) == 2 * hashlib.new(name).digest_size
    assert re.fullmatch("[0-9a-f]+", digest)
    for place in (archive.makes, archive.holds):
        assert not Path(place).is_absolute()
        assert ".." not in Path(place).parts
    assert archive.is_packed or Path(archive.makes).name == archive.name


def test_no_two_archives_get_into_each_others_way():
    for values in ([a.name for a in ARCHIVES], [a.makes for a in ARCHIVES], [a.digest for a in ARCHIVES]):
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_terms_or_a_reason(name):
    published = SETS[name]
    assert bool(published.archives) == bool(published.terms) != bool(published.why_not)
    assert published.page.startswith("http")


def test_names_are_those_of_the_configurations():
    assert SETS.keys() - BESIDES <= {Path(name).stem for name in config_names()}


def test_digests_and_pages_stand_here_alone():
    package = Path(blockyard.__file__).parent
    rest = {path: path.read_text() for path in package.rglob("*.py") if path.name != "sets.py"}
    for said in {archive.digest[1] for archive in ARCHIVES} | {published.page for published in SETS.values()}:
        assert not [path for path, text in rest.items() if f'"{said}"' in text]


def test_what_to_do_about_a_missing_set(tmp_path):
    root = tmp_path / "my data"
    archive = root / "CUB_200_2011.tgz"
    line = how_to_get("cub200", root)
    assert f"blockyard fetch cub200 --root '{root}'" in line
    assert SETS["cub200"].page in line
    assert f"CUB_200_2011.tgz from {SETS['cub200'].page}, unpacked in {root}" in line
    assert how_to_get("speech_commands", root).endswith(f"unpacked in {root / 'speech_commands_v0.02'}")
    assert how_to_get("cifar10_1", root).endswith(f"in {root / 'CIFAR-10.1'}")
    root.mkdir()
    archive.write_bytes(b"half of it")
    assert "is not the published archive (md5" in how_to_get("cub200", root)


def test_an_archive_beside_it_only_has_to_be_unpacked(tmp_path, monkeypatch):
    (archive,) = SETS["sbd"].archives
    (tmp_path / archive.name).write_bytes(b"whole")
    known = archive._replace(digest=("md5", hashlib.md5(b"whole").hexdigest()))
    monkeypatch.setitem(SETS, "sbd", SETS["sbd"]._replace(archives=(known,)))
    assert how_to_get("sbd", tmp_path) == f"unpack the archive beside it with: blockyard fetch sbd --root {tmp_path}"

"""What UCF-101 and HMDB-51 share; the rest is in their own tests."""

import hashlib
from dataclasses import replace

import pytest
import yaml

from blockyard.commands.check_data import build
from blockyard.datamodules import HMDB51, UCF101, DataError

SETS = pytest.mark.parametrize(("kind", "part"), [(UCF101, "ucfTrainTestlist"), (HMDB51, "testTrainMulti_7030_splits")])


@SETS
def test_an_archive_beside_its_folder_is_verified_by_a_check(tmp_path, kind, part, monkeypatch):
    data = kind(tmp_path, num_workers=0)
    (tmp_path / part).mkdir()
    archive = tmp_path / kind.archives[part].name
    archive.write_bytes(b"half of it")
    name, problem = next(data.check("train"))
    assert name == archive.name
    assert "is not the published archive" in problem
    assert "\n" not in problem
    with pytest.raises(DataError, match=r"missing|files named"):  # told once; then comes what the archive held
        next(data.check("train"))
    with pytest.raises(DataError, match=r"missing|files named"):
        next(kind(tmp_path, verify=False).check("train"))

    whole = replace(kind.archives[part], digest=("sha256", hashlib.sha256(b"half of it").hexdigest()))
    monkeypatch.setattr(kind, "archives", kind.archives | {part: whole})
    with pytest.raises(DataError, match=r"missing|files named"):
        next(kind(tmp_path).check("train"))


@SETS
def test_an_archive_not_yet_unpacked_is_verified_first(tmp_path, kind, part, one_line, monkeypatch):
    archive = tmp_path / kind.archives[part].name
    archive.write_bytes(b"half of it")
    with pytest.raises(DataError) as error:
        kind(tmp_path).setup("fit")
    one_line(error, tmp_path / part, archive, "is not the published archive")
    whole = replace(kind.archives[part], digest=("sha256", hashlib.sha256(b"half of it").hexdigest()))
    monkeypatch.setattr(kind, "archives", kind.archives | {part: whole})
    with pytest.raises(DataError) as error:
        kind(tmp_path).setup("fit")
    one_line(error, "unpack the archive beside it with: un", archive)


@SETS
def test_the_command_line_knows_the_shared_options(tmp_path, kind, part):
    options = {"root": str(tmp_path), "split": 3, "val_fraction": 0.2, "verify": False, "frames": 4, "seed": 1}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"data": {"class_path": kind.__name__, "init_args": options}}))
    data = build(["--config", str(config), "--data.clips", "2"])
    assert type(data) is kind
    assert (data.official_split, data.val_fraction, data.verify, data.shape.frames, data.clips) == (3, 0.2, False, 4, 2)
    assert options.items() <= dict(data.hparams).items()
    with pytest.raises(ValueError, match=f"{kind.__name__}: split=4 must be 1, 2 or 3"):
        kind(tmp_path, split=4)

"""The verb that reads everything once: what it lists, and its exit code."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blockyard.cli import main
from blockyard.datamodules.samples.tiny_videos import write_tiny_videos


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """``ImageFolder``'s layout: 3 training, 1 validation and 1 test picture of each of two classes."""
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 3), ("val", 1), ("test", 1)):
        for name in ("cat", "dog"):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "pictures"


def check(*options: str) -> int:
    return main(["check-data", *options])


def of_pictures(root, *options: str) -> int:
    return check("--config", "image_classification/image_folder.yaml", "--data.root", str(root), *options)


def test_good_data(pictures, capsys):
    assert of_pictures(pictures) == 0
    assert capsys.readouterr().out == "10 samples of ImageFolder read, 0 bad\n"


@pytest.mark.parametrize("workers", [0, 2])
def test_lists_what_is_bad_in_every_split(pictures, capsys, workers):
    whole = (pictures / "train" / "dog" / "1.png").read_bytes()
    (pictures / "train" / "dog" / "1.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "test" / "cat" / "0.png").write_bytes(b"no picture")
    assert of_pictures(pictures, "--data.num_workers", str(workers)) == 1
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.startswith("train  dog/1.png: ")
    assert second.startswith("test  cat/0.png: ")
    assert total == "10 samples of ImageFolder read, 2 bad"


def test_a_truncated_video(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tiny_videos(tmp_path / "data")
    options = ["--config", "action_recognition/ucf101.yaml", "--data.verify", "false", "--data.num_workers", "0"]
    with pytest.warns(UserWarning, match="not the published"):
        assert check(*options) == 0
    assert capsys.readouterr().out == "40 samples of UCF101 read, 0 bad\n"
    path = sorted((tmp_path / "data" / "UCF-101" / "Grow").iterdir())[0]
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.warns(UserWarning, match="not the published"):
        assert check(*options) == 1
    line, total = capsys.readouterr().out.splitlines()
    assert f"Grow/{path.name}: " in line
    assert total == "40 samples of UCF101 read, 1 bad"


def test_of_a_model_it_knows_nothing(pictures, capsys):
    assert of_pictures(pictures, "--data.num_workers", "0", "--data.flip", "false") == 0
    assert of_pictures(pictures, "--model.block", "SpectralNonlocal") == 2
    assert "no option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "nothing says which data to check"),
        (["--data", "ImageFoldr", "--data.root", "."], "no data ImageFoldr; did you mean ImageFolder"),
        (
            ["--config", "image_classification/image_folder.yaml", "--data.sizes", "3"],
            "no option sizes; did you mean size",
        ),
        (["--config", "image_classification/image_folder.yaml", "--data.root", "nowhere"], "nowhere/train is missing"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, options, expected):
    monkeypatch.chdir(tmp_path)
    assert check(*options) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1


def test_help(capsys):
    assert check("--help") == 0
    assert "--data.num_workers" in capsys.readouterr().out

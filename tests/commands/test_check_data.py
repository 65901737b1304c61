"""The verb that reads everything once: what it lists, and its exit code."""

from __future__ import annotations

import csv
import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from blockyard.cli import main
from blockyard.datamodules import PascalVOC
from blockyard.samples.tiny_images import write_tiny_images
from blockyard.samples.tiny_scenes import write_tiny_voc
from blockyard.samples.tiny_videos import write_tiny_videos


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


def test_damage_that_decoders_pass_over(pictures, capsys):
    path = pictures / "train" / "dog" / "1.png"
    content = bytearray(path.read_bytes())
    content[-14] ^= 1  # of the check sum of the pixels
    path.write_bytes(content)
    assert np.asarray(Image.open(path)).shape == (40, 40, 3)
    assert of_pictures(pictures) == 1
    assert capsys.readouterr().out.startswith(f"train  dog/1.png: {path}: chunk IDAT does not have its check sum")


def test_what_may_surprise_is_noted_and_not_bad(pictures, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in (0, 2):
        path = pictures / "train" / "cat" / f"{number}.png"
        Image.open(path).save(path, exif=exif)
    assert of_pictures(pictures) == 0
    note, total = capsys.readouterr().out.splitlines()
    assert note == "train  cat/0.png and 1 more: note: turned upright by its orientation tag 6"
    assert total == "10 samples of ImageFolder read, 0 bad"


@pytest.mark.parametrize(("white", "code"), [(1, 0), (255, 1)])
def test_masks_of_no_use(tmp_path, monkeypatch, capsys, white, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classes.txt").write_text("ground\nleaf\nwater\n")
    mask = np.zeros((8, 8), np.uint8)
    mask[4:] = white
    for split in ("train", "val", "test"):
        for kind, pixels in (("images", np.dstack([mask] * 3)), ("masks", mask)):
            (tmp_path / kind / split).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / kind / split / "a.png")
    options = ["--config", "semantic_segmentation/image_mask_folder.yaml", "--data.root", "."]
    assert check(*options, "--data.num_workers", "0") == code
    said, *_, total = capsys.readouterr().out.splitlines()
    if code:
        assert said.startswith("train: its 1 masks hold ground and value 255, which is ignored, alone; ")
        assert total == "3 samples of ImageMaskFolder read, 0 bad, train of no use, val of no use, test of no use"
    else:
        assert said == "note: train: not one pixel of its 1 masks is water, which can't be learnt"


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


def test_it_takes_the_line_of_a_training(pictures, capsys):
    data = ("--data.num_workers", "0", "--data.flip", "false")
    model = ("--model.block", "SpectralNonlocal", "--model.at", "stage2.1")
    assert of_pictures(pictures, *data) == 0
    assert of_pictures(pictures, *data, *model, "--trainer.max_epochs", "3", "--seed_everything", "1") == 0
    assert capsys.readouterr().out == 2 * "10 samples of ImageFolder read, 0 bad\n"
    for wrong in ("--model.blok", "--trainer.max_epoch", "--data.sice"):
        assert of_pictures(pictures, *data, wrong, "3", "--model.flip_test", "true") == 2
        assert "no option" in capsys.readouterr().err


def test_a_test_alone_is_checked_as_such(pictures, capsys):
    shutil.rmtree(pictures / "train")
    shutil.rmtree(pictures / "val")
    assert of_pictures(pictures, "--data.num_workers", "0") == 0
    missing, note, total = capsys.readouterr().out.splitlines()
    assert missing.startswith(f"train, val: {pictures}/train is missing: ")
    assert missing.endswith("; needed by blockyard fit and validate")
    assert note == "note: this is a test alone: enough for blockyard test --ckpt_path FILE, not for blockyard fit"
    assert total == "2 samples of ImageFolder read, 0 bad"
    (pictures / "test" / "cat" / "0.png").write_bytes(b"no picture")
    assert of_pictures(pictures, "--data.num_workers", "0") == 1
    assert "test  cat/0.png: " in capsys.readouterr().out


def test_what_is_there_is_checked_where_no_test_is(pictures, capsys):
    shutil.rmtree(pictures / "test")
    assert of_pictures(pictures, "--data.num_workers", "0") == 1
    missing, total = capsys.readouterr().out.splitlines()
    assert missing.startswith(f"test: {pictures}/test is missing: ")
    assert missing.endswith("; needed by blockyard test")
    assert total == "8 samples of ImageFolder read, 0 bad, test not listed"


def test_a_list_to_test_on_is_checked_alone(pictures, capsys):
    (pictures / "test.txt").write_text("test/cat/0.png cat\ntest/dog/0.png dog\n")
    options = ["--config", "image_classification/image_list.yaml", "--data.root", str(pictures)]
    assert check(*options, "--data.num_workers", "0") == 0
    assert capsys.readouterr().out.endswith("2 samples of ImageList read, 0 bad\n")


def test_what_a_test_alone_does_not_say_is_asked_for(tmp_path, capsys):
    for kind, shape in (("images", (8, 8, 3)), ("masks", (8, 8))):
        (tmp_path / kind / "test").mkdir(parents=True)
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / kind / "test" / "a.png")
    options = ["--config", "semantic_segmentation/image_mask_folder.yaml", "--data.root", str(tmp_path)]
    assert check(*options, "--data.num_workers", "0") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/classes.txt is missing" in line
    assert line.endswith("; for a test alone, --ckpt_path FILE says what it takes")


def test_a_checkpoint_says_which_classes_there_are(pictures, capsys):
    """A class that it has none of is no class of the test."""
    line = ["--config", "image_classification/image_folder.yaml", "--data.root", str(pictures), "--data.size", "32"]
    small = ["--model.backbone", "PreResNet", "--model.backbone.depth", "8", "--data.num_workers", "0"]
    short = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--data.batch_size", "4"]
    assert main(["fit", *line, *small, *short, "--model.warmup_epochs", "0"]) == 0
    (checkpoint,) = pictures.parent.glob("runs/*/checkpoints/last.ckpt")
    other = pictures.parent / "other"
    shutil.copytree(pictures / "test", other / "test")
    asked = ["--ckpt_path", str(checkpoint), "--data.root", str(other)]
    capsys.readouterr()
    assert check(*asked) == 0
    assert capsys.readouterr().out.endswith("2 samples of ImageFolder read, 0 bad\n")
    (other / "test" / "dog").rename(other / "test" / "dgo")
    assert check(*asked) == 2
    assert "dgo is no class of the checkpoint; did you mean dog?" in capsys.readouterr().err


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


def test_a_manifest_says_what_was_read(pictures, tmp_path, capsys):
    file = tmp_path / "manifest.csv"
    (pictures / "test" / "cat" / "0.png").write_bytes(b"no picture")
    assert of_pictures(pictures, "--manifest", str(file)) == 1
    assert capsys.readouterr().out.endswith(f"10 samples of ImageFolder read, 1 bad, written down in {file}\n")
    header, *lines = csv.reader(file.read_text().splitlines())
    rows = {(line[0], line[1]): dict(zip(header, line, strict=True)) for line in lines}
    assert len(rows) == 10
    good, bad = rows["train", "dog/2.png"], rows["test", "cat/0.png"]
    content = (pictures / "train" / "dog" / "2.png").read_bytes()
    assert good["bytes"] == str(len(content))
    assert good["sha256"] == hashlib.sha256(content).hexdigest()
    assert good["shape"] == "40×40×3"
    assert good["problem"] == ""
    assert bad["bytes"] == "10"
    assert bad["shape"] == ""
    assert "damaged" in bad["problem"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_later_run_reports_what_changed(pictures, tmp_path, capsys, workers):
    options = [f"--manifest={tmp_path / 'manifest.csv'}", "--data.num_workers", str(workers)]
    assert of_pictures(pictures, *options) == 0
    written = (tmp_path / "manifest.csv").read_bytes()
    assert of_pictures(pictures, *options) == 0, "nothing changed"
    assert "0 changed since" in capsys.readouterr().out
    train = pictures / "train"
    (train / "dog" / "1.png").rename(train / "dog" / "7.png")
    (train / "cat" / "0.png").write_bytes((train / "cat" / "1.png").read_bytes())
    assert of_pictures(pictures, *options) == 1
    *changes, total = capsys.readouterr().out.splitlines()
    assert changes[0] == "train  dog/1.png: gone since the manifest"
    assert changes[1].startswith("train  cat/0.png: ")
    assert "sha256" in changes[1]
    assert changes[2:] == ["train  dog/7.png: not in the manifest"]
    assert total.endswith(f"0 bad, 3 changed since {tmp_path / 'manifest.csv'} was written")
    assert (tmp_path / "manifest.csv").read_bytes() == written


def test_what_is_no_manifest_is_left_alone(pictures, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine\n")
    assert of_pictures(pictures, "--manifest", str(tmp_path / "notes.txt")) == 2
    assert "is no manifest of check-data" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine\n"
    assert of_pictures(pictures, "--manifest") == 2
    assert "check-data: argument --manifest: expected one argument" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*as published")
def test_a_split_that_can_t_be_listed_does_not_hide_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(write_tiny_images("data/imagenet", "devkit") / "ILSVRC2012_devkit_t12")
    options = ["--data.verify", "false", "--data.val_size", "3", "--data.num_workers", "0"]
    assert check("--config", "image_classification/imagenet.yaml", *options) == 1
    flat, total = capsys.readouterr().out.splitlines()
    assert flat.startswith("test: data/imagenet/val is flat")
    assert total == "18 samples of ImageNet read, 0 bad, test not listed"


@pytest.mark.filterwarnings("ignore:.*the published")
def test_a_manifest_has_the_digest_of_everything_that_a_sample_is_read_from(tmp_path):
    write_tiny_voc(tmp_path / "voc")
    segmentation = PascalVOC(tmp_path / "voc", verify=False, num_workers=0)
    found = next(segmentation.findings("test", digest=True))
    voc = tmp_path / "voc" / "VOCdevkit" / "VOC2012"
    stem = found.name.removesuffix(".jpg")
    parts = [
        (voc / "JPEGImages" / f"{stem}.jpg").read_bytes(),
        (voc / "SegmentationClass" / f"{stem}.png").read_bytes(),
    ]
    assert found.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
    assert found.size == sum(map(len, parts))
    assert found.shape == (40, 56, 3)
    plain = next(segmentation.findings("test"))
    assert (plain.size, plain.sha256, plain.shape) == (None, None, None)

"""The verb that reads a folder and writes the configuration to start from: ``fit`` runs each as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import timm
import torch
import yaml
from PIL import Image

from blockyard.cli import main
from blockyard.samples.tiny_videos import write_tiny_videos

RATE = 22_050


def picture(path: Path, size: tuple[int, int] = (40, 48), grey: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)) + sum(map(ord, path.stem)))
    Image.fromarray(rng.integers(0, 255, size if grey else (*size, 3), dtype=np.uint8)).save(path)


def class_pictures(root: Path) -> None:
    for split, counts in (("train", {"cat": 12, "dog": 4}), ("test", {"cat": 2, "dog": 2})):
        for name, count in counts.items():
            for number in range(count):
                picture(root / split / name / f"{number}.png")


def listed_pictures(root: Path) -> None:
    for split, count in (("train", 12), ("test", 2)):
        names = [f"{split}{number}.png" for number in range(count)]
        for name in names:
            picture(root / name, grey=True)
        (root / f"{split}.txt").write_text("".join(f"{name} {row % 2}\n" for row, name in enumerate(names)))


def sound(path: Path, seconds: float = 0.4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=round(seconds * RATE)), RATE)


def class_sounds(root: Path) -> None:
    for split, count in (("train", 8), ("test", 1)):
        for name in ("drum", "flute"):
            for number in range(count):
                sound(root / split / name / f"{number}.wav")


def tagged_sounds(root: Path) -> None:
    lines = ["path,label"]
    for number in range(20):
        sound(root / f"{number}.wav")
        lines.append(f"{number}.wav,{'drum;flute' if number % 3 == 0 else 'drum'}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")


def class_series(root: Path, samples: int = 80) -> None:
    for split, count in (("train", 8), ("test", 1)):
        for name in ("walk", "run"):
            for number in range(count):
                file = root / split / name / f"{number}.npz"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.savez(file, values=np.random.default_rng(number).normal(size=(samples, 3)), rate=50)


def listed_series(root: Path) -> None:
    lines = ["file,label,subject"]
    for number in range(20):
        np.save(root / f"{number}.npy", np.random.default_rng(number).normal(size=(40, 2)))
        lines.append(f"{number}.npy,{'walk' if number % 2 else 'run'},{number // 2}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")


def masked_pictures(root: Path) -> None:
    (root / "classes.txt").write_text("ground\nthing\n")
    for split, count in (("train", 9), ("test", 1)):
        for number in range(count):
            picture(root / "images" / split / f"{number}.png")
            mask = root / "masks" / split / f"{number}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((np.arange(40 * 48).reshape(40, 48) % 10 == 0).astype(np.uint8)).save(mask)


def people(root: Path) -> None:
    for split, names in (("train", range(8)), ("query", (20, 21)), ("gallery", (20, 21))):
        for name in names:
            for number in range(4):
                picture(root / split / f"p{name}" / f"{number}.png", (64, 32))


def listed_people(root: Path) -> None:
    lines = ["file,person,split"]
    for name in range(8):
        for number in range(4):
            picture(root / f"{name}-{number}.png", (64, 32))
            lines.append(f"{name}-{number}.png,{name},{'train' if name < 6 else 'test'}")
    (root / "people.csv").write_text("\n".join(lines) + "\n")


def class_videos(root: Path) -> None:
    files = sorted(write_tiny_videos(root.with_name("ucf")).rglob("*.avi"))
    for number, file in enumerate(files[:20]):
        place = root / "train" / ("jump" if number % 2 else "run") / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())


def boxed_pictures(root: Path, splits: tuple[str, ...] = ("train2017", "val2017")) -> None:
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    for split in splits:
        images, boxes = [], []
        for number in range(9 if split.startswith("train") else 2):
            picture(root / split / f"{number}.png", (64, 96))
            images.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 96})
            box = {"id": number, "image_id": number, "category_id": 3 if number % 2 else 7, "bbox": [8, 8, 20, 30]}
            boxes.append(box)
        file = root / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))


def boxed_in_xml(root: Path) -> None:
    lists = root / "ImageSets" / "Main"
    for folder in (root / "Annotations", lists):
        folder.mkdir(parents=True)
    for split, count in (("train", 9), ("val", 2)):
        names = [f"{split}{number}" for number in range(count)]
        (lists / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            picture(root / "JPEGImages" / f"{name}.jpg", (64, 96))
            corners = "<xmin>5</xmin><ymin>5</ymin><xmax>14</xmax><ymax>40</ymax>"
            (root / "Annotations" / f"{name}.xml").write_text(
                f"<annotation><object><name>kite</name><bndbox>{corners}</bndbox></object></annotation>"
            )


LAYOUTS = {
    "COCODetection ObjectDetection": boxed_pictures,
    "VOCDetection ObjectDetection": boxed_in_xml,
    "ImageFolder ImageClassification": class_pictures,
    "ImageList ImageClassification": listed_pictures,
    "AudioFolder AudioClassification": class_sounds,
    "AudioCSV AudioTagging": tagged_sounds,
    "SignalFolder SignalClassification": class_series,
    "SignalCSV SignalClassification": listed_series,
    "ImageMaskFolder SemanticSegmentation": masked_pictures,
    "PersonFolder PersonReID": people,
    "PersonCSV PersonReID": listed_people,
    "VideoFolder ActionRecognition": class_videos,
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def suggest(*options: str) -> int:
    return main(["suggest", "--data.root", "mine", *options])


def suggested(file: str = "suggested.yaml") -> dict:
    return yaml.safe_load(Path(file).read_text())


@pytest.mark.parametrize("expected", LAYOUTS)
def test_fit_runs_what_is_suggested(expected, folder, capsys):
    LAYOUTS[expected](folder)
    assert suggest() == 0
    said = capsys.readouterr().out
    config = suggested()
    assert f"{config['data']['class_path']} {config['model']['class_path']}" == expected
    assert expected.split()[0] in said
    assert "blockyard fit --config suggested.yaml" in said
    quick = ["--trainer.fast_dev_run", "true", "--data.num_workers", "0", "--trainer.enable_progress_bar", "false"]
    assert main(["fit", "--config", "suggested.yaml", "--print_config"]) == 0
    assert main(["fit", "--config", "suggested.yaml", *quick]) == 0


def test_every_choice_has_its_reason_above_it(folder):
    class_pictures(folder)
    suggest()
    lines = [line.strip() for line in Path("suggested.yaml").read_text().splitlines()]
    for name in ("backbone", "optimizer", "size", "mean", "flip", "batch_size", "max_epochs", "class_weights"):
        (row,) = (row for row, line in enumerate(lines) if line.startswith(f"{name}:"))
        assert lines[row - 1].startswith("# "), name


def test_epochs_are_a_budget_of_steps(folder):
    class_pictures(folder)  # of 12 and 4, a tenth of each class, at least one, is held out
    suggest("--steps", "70")
    config = suggested()
    assert config["data"]["init_args"]["batch_size"] == 8
    assert config["trainer"]["max_epochs"] == 70
    assert config["trainer"]["check_val_every_n_epoch"] == 70
    suggest("--steps", "7", "--output", "less.yaml")
    assert suggested("less.yaml")["trainer"]["max_epochs"] == 7


def test_sounds_keep_their_rate_and_length(folder):
    class_sounds(folder)
    suggest()
    config = suggested()
    assert config["data"]["init_args"]["sample_rate"] == RATE
    assert config["data"]["init_args"]["duration"] == 0.4
    assert config["model"]["init_args"]["front_end"]["init_args"]["sample_rate"] == RATE


def test_what_fills_a_part_of_its_input_is_not_averaged_with_the_rest(folder):
    """Silence around a sound, and the background of a person, lower the mean over positions."""
    class_sounds(folder)
    suggest()
    assert suggested()["model"]["init_args"]["backbone"]["init_args"]["pooling"] == "GeM"
    people(folder.with_name("others"))
    assert main(["suggest", "--data.root", "others", "--output", "people.yaml"]) == 0
    assert suggested("people.yaml")["model"]["init_args"]["pooling"] == "GeM"


@pytest.mark.parametrize(
    ("grey", "others", "scale"), [(True, 0, [1, 1]), (True, 1, [0.75, 1.5]), (False, 0, [0.75, 1.5])]
)
def test_an_instrument_shows_things_at_one_size(grey, others, scale, folder):
    """Grey pictures of one size; a photograph's things are near or far."""
    masked_pictures(folder)
    for number, file in enumerate(sorted((folder / "images" / "train").iterdir())):
        shown = Image.open(file).convert("L" if grey else "RGB")
        shown.crop((0, 0, 48, 40 - (number < others))).save(file)
        mask = Image.open(folder / "masks" / "train" / file.name)
        mask.crop((0, 0, 48, 40 - (number < others))).save(folder / "masks" / "train" / file.name)
    suggest()
    assert suggested()["data"]["init_args"]["scale"] == scale


def test_sets_of_boxes_are_told_by_their_names(folder):
    boxed_pictures(folder, ("train", "validation", "test"))
    assert suggest() == 0
    told = suggested()["data"]["init_args"]
    assert [told[f"{use}_set"] for use in ("train", "val", "test")] == ["train", "validation", "test"]


def test_what_a_set_is_called_does_not_steer_the_terminal(folder, capsys):
    boxed_pictures(folder, ("train\x1b[31m", "test"))
    assert suggest() == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(("layout", "finest", "classes"), [(boxed_pictures, None, None), (boxed_in_xml, 4, ["kite"])])
def test_small_boxes_ask_for_fine_maps_and_own_classes_are_read(layout, finest, classes, folder):
    layout(folder)
    assert suggest() == 0
    told = suggested()
    assert told["model"]["init_args"].get("finest") == finest  # sides of 20 and of 10 pixels
    assert told["data"]["init_args"].get("class_names") == classes
    assert told["data"]["init_args"]["size"] == [96, 96]


def test_series_keep_their_rate(folder):
    class_series(folder)
    suggest()
    options = suggested()["data"]["init_args"]
    assert options["sample_rate"] == 50
    assert options["window"] == pytest.approx(80 / 50)
    assert "hop" not in options


def test_long_series_are_seen_in_windows(folder):
    class_series(folder, 1_100)
    suggest()
    options = suggested()["data"]["init_args"]
    assert options["window"] == pytest.approx(256 / 50)
    assert options["hop"] == pytest.approx(128 / 50)
    assert options["batch_size"] == 16  # more than the 14 recordings, which have four whole windows each


def test_rare_classes_are_told_of_and_equal_ones_are_not(folder):
    """Weights raise the mean over classes, and lower the share of all samples, which the leaderboard ranks by."""
    class_pictures(folder)
    suggest()
    assert suggested()["model"]["init_args"]["class_weights"] is None
    assert "balanced for the best mean over classes" in Path("suggested.yaml").read_text()
    for number in range(4, 12):
        picture(folder / "train" / "dog" / f"{number}.png")
    suggest("--output", "equal.yaml")
    assert "class_weights" not in suggested("equal.yaml")["model"]["init_args"]


def test_weights_of_a_file_are_started_from(folder):
    class_pictures(folder)
    torch.save(timm.create_model("resnet18", num_classes=5).state_dict(), "resnet18-mine.pth")
    suggest("--weights", "resnet18-mine.pth")
    config = suggested()
    backbone = config["model"]["init_args"]["backbone"]
    assert backbone == {"class_path": "TimmBackbone", "init_args": {"name": "resnet18", "weights": "resnet18-mine.pth"}}
    assert config["data"]["init_args"]["mean"] == [0.485, 0.456, 0.406]
    quick = ["--trainer.fast_dev_run", "true", "--data.num_workers", "0", "--trainer.enable_progress_bar", "false"]
    assert main(["fit", "--config", "suggested.yaml", "--data.size", "32", "--data.resize", "32", *quick]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["no layout that is known", "DIR/train/<class>/*.jpg", "DIR/people.csv"]),
        (["--task", "ImageClasification"], ["did you mean ImageClassification"]),
        (["--task", "ImageRestoration"], ["no task ImageRestoration"]),
        (["--steps", "0"], ["--steps 0"]),
        (["--weights", "absent.pth"], ["absent.pth", "no such file"]),
        (["--network", "resnet18"], ["--weights FILE"]),
    ],
)
def test_a_mistake_is_one_line(options, words, folder, capsys):
    assert suggest(*options) == 2
    error = capsys.readouterr().err
    assert error.startswith("blockyard: ")
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert not Path("suggested.yaml").exists()


def test_classes_that_lie_in_no_split_are_told_where_they_belong(folder, capsys):
    for name in ("cat", "dog"):
        picture(folder / name / "1.png")
    assert suggest() == 2
    assert (
        "mine: no layout that is known (if cat, dog … are classes, they belong into mine/train); "
        in capsys.readouterr().err
    )


def test_weights_of_pictures_are_refused_for_series(folder, capsys):
    class_series(folder)
    Path("resnet18-mine.pth").write_bytes(b"never opened")
    assert suggest("--weights", "resnet18-mine.pth") == 2
    assert "leave these weights away" in capsys.readouterr().err


def test_people_are_told_from_classes_by_a_test_of_others(folder):
    for split, names in (("train", range(8)), ("test", (20, 21))):
        for name in names:
            for number in range(4):
                picture(folder / split / f"p{name}" / f"{number}.png", (64, 32))
    suggest()
    assert suggested()["data"]["class_path"] == "PersonFolder"


def test_a_missing_folder_is_named(folder, capsys):
    assert main(["suggest", "--data.root", "elsewhere"]) == 2
    assert "elsewhere is missing" in capsys.readouterr().err


def test_no_file_is_written_over(folder, capsys):
    class_pictures(folder)
    Path("suggested.yaml").write_text("mine\n")
    assert suggest() == 2
    assert "suggested.yaml is there already" in capsys.readouterr().err
    assert Path("suggested.yaml").read_text() == "mine\n"


def test_a_folder_of_two_kinds_asks_for_the_task(folder, capsys):
    class_sounds(folder)
    for name in ("drum", "flute"):
        for number in range(8):
            picture(folder / "train" / name / f"{number}.png")
    assert suggest() == 2
    assert "--task says which" in capsys.readouterr().err
    assert suggest("--task", "AudioClassification") == 0
    assert suggested()["data"]["class_path"] == "AudioFolder"


def test_damaged_data_are_told_of(folder, capsys):
    class_pictures(folder)
    (folder / "train" / "cat" / "0.png").write_bytes(b"no picture")
    assert suggest() == 2
    assert "0.png" in capsys.readouterr().err

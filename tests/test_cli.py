"""The command line as people use it: in process, on real digits."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from blockyard.cli import main
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.runs.keep_last import PREEMPTED

QUIET = "--trainer.enable_progress_bar=false"
DIGITS = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", QUIET]
SHORT = [*DIGITS, "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--seed_everything", "3"]
SNL = ["--model.block", "SpectralNonlocal", "--model.at", "stage2.1"]
DEV = [*DIGITS, "--trainer.fast_dev_run", "true"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Directory of a run that ``fit`` made, two levels below the directory it ran in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        assert main(["fit", *SHORT, *SNL]) == 0
        (directory,) = (path for path in Path("runs").resolve().iterdir() if path.name.startswith("digits"))
    return directory


def built(*options: str) -> SuiteCLI:
    prepare()
    return SuiteCLI(None, compose([*DIGITS, *options], keep_trainer=True))


def said(capsys, *arguments: str) -> str:
    """The one line with which a mistake is answered."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


class TestRun:
    def test_leaves_its_configuration_logs_and_checkpoints(self, trained):
        names = {path.relative_to(trained).as_posix() for path in trained.rglob("*")}
        checkpoints = {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}
        assert checkpoints | {"config.yaml", "metrics/version_0/metrics.csv"} <= names
        assert any("tfevents" in name for name in names)
        assert trained.name.startswith("digits-spectralnonlocal-seed3-")

    def test_saved_configuration_repeats_the_run(self, trained, here):
        written = yaml.safe_load((trained / "config.yaml").read_text())
        again = SuiteCLI(None, compose(["--config", str(trained / "config.yaml")], keep_trainer=True))
        assert again.run_config == written
        assert again.run_directory.name == trained.name

    def test_classes_are_saved_by_short_name(self, trained):
        text = (trained / "config.yaml").read_text()
        assert "class_path: SpectralNonlocal" in text
        assert "class_path: blockyard" not in text

    def test_checkpoint_loads_without_trust_and_holds_the_configuration(self, trained):
        checkpoint = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
        assert checkpoint["blockyard_config"] == yaml.safe_load((trained / "config.yaml").read_text())

    def test_is_not_overwritten(self, trained, monkeypatch, capsys):
        monkeypatch.chdir(trained.parents[1])
        assert "already holds this run: --ckpt_path last continues it" in said(capsys, "fit", *SHORT, *SNL)

    def test_goes_on_from_last_as_if_never_stopped(self, here):
        def fit(directory: str, *options: str) -> int:
            run = ["--trainer.max_epochs", "2", "--trainer.default_root_dir", directory, "--ckpt_path", "last"]
            return main(["fit", *SHORT, *SNL, *run, *options])

        def weights(directory: str) -> dict[str, torch.Tensor]:
            checkpoint = torch.load(f"{directory}/checkpoints/last.ckpt", weights_only=True)
            assert checkpoint["global_step"] == 4
            return checkpoint["state_dict"]

        assert fit("whole") == 0
        assert fit("stopped", "--trainer.max_time", "00:00:00:00") == PREEMPTED  # after one step
        assert fit("stopped") == 0
        assert all(torch.equal(weights("stopped")[name], value) for name, value in weights("whole").items())

    def test_a_diverging_loss_stops_and_names_the_step(self, here, capsys):
        assert main(["fit", *SHORT, "--trainer.limit_train_batches", "5", "--model.optimizer.lr", "1e30"]) == 1
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("blockyard: the loss is")
        assert "epoch 0, step" in line


class TestCheckpointAlone:
    def test_tests_and_leaves_record_table_and_picture(self, trained, monkeypatch):
        monkeypatch.chdir(trained.parents[1])
        assert main(["test", "--ckpt_path", f"{trained}/checkpoints/best.ckpt", QUIET]) == 0
        (path,) = (trained.parent / "records").glob("*.json")
        record = json.loads(path.read_text())
        assert record["block"] == "SpectralNonlocal @ stage2.1"
        assert record["test_samples"] == 360
        assert {"top1", "top5", "macro_accuracy", "loss"} <= record["metrics"].keys()
        rows = list(csv.DictReader((trained / "classes.csv").open()))
        recall = sum(float(row["recall"]) * int(row["samples"]) for row in rows) / 360
        assert recall == pytest.approx(record["metrics"]["top1"], abs=1e-4)  # recalls are rounded to four digits
        assert (trained / "confusion.png").read_bytes().startswith(b"\x89PNG")

    def test_predicts_a_table_of_all_samples(self, trained, monkeypatch):
        monkeypatch.chdir(trained.parents[1])
        assert main(["predict", "--ckpt_path", f"{trained}/checkpoints/best.ckpt", QUIET]) == 0
        rows = list(csv.DictReader((trained / "predictions.csv").open()))
        data = built().datamodule
        assert [row["file"] for row in rows] == data.names("predict")
        for row in rows[:5]:
            probabilities = [float(row[f"probability_{k}"]) for k in range(1, 6)]
            assert probabilities == sorted(probabilities, reverse=True)
            assert 0 < sum(probabilities) <= 1 + 1e-5  # six printed digits each
            assert row["class_1"] in data.classes

    def test_validates(self, trained, monkeypatch):
        monkeypatch.chdir(trained.parents[1])
        assert main(["validate", "--ckpt_path", f"{trained}/checkpoints/last.ckpt", QUIET]) == 0

    @pytest.mark.parametrize(
        ("options", "key"),
        [
            (["--model.block.order", "3"], "model.block.order 3"),
            (["--model.block", "Nonlocal"], "model.block Nonlocal"),
            (["--model.at", "stage1.1"], "model.at stage1.1"),
            (["--data.variant", "28x28"], "data.variant 28x28"),
            (["--config", "image_classification/cifar10.yaml"], "data CIFAR10"),
        ],
    )
    def test_contradictions_are_refused(self, trained, here, capsys, options, key):
        line = said(capsys, "test", "--ckpt_path", str(trained / "checkpoints" / "best.ckpt"), *options)
        assert f"--{key} contradicts the checkpoint" in line

    def test_one_of_an_earlier_version_keeps_working(self, here):
        # Written once by `fit` and kept small: every weight is a view of one number, and the bias lets class 7 win.
        path = Path(__file__).parent / "checkpoints" / "digits-snl.ckpt"
        assert main(["test", "--ckpt_path", str(path), "--trainer.enable_progress_bar=false"]) == 0
        (record,) = (here / "runs" / "records").glob("*.json")
        assert json.loads(record.read_text())["metrics"]["top1"] == pytest.approx(0.1)  # 36 sevens among 360


def test_a_folder_of_pictures_from_training_to_prediction(here):
    images = load_digits().images
    for number, image in enumerate(images[:60]):
        split = "train" if number < 40 else "test"
        path = here / "pictures" / split / f"kind{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype("uint8")).convert("RGB").save(path)
    (here / "new").mkdir()
    (here / "pictures" / "test" / "kind0" / "50.png").rename(here / "new" / "unknown.png")
    small = ["--data.root", "pictures", "--data.size", "8", "--data.batch_size", "10", "--data.num_workers", "0"]
    network = ["--model.backbone", "PreResNet", "--trainer.default_root_dir", "run", "--trainer.max_epochs", "1"]
    recipe = ["--config", "image_classification/image_folder.yaml", "--model.warmup_epochs", "0"]
    assert main(["fit", *recipe, *small, *network, QUIET]) == 0
    (here / "pictures").rename(here / "moved")
    moved = ["--ckpt_path", "run/checkpoints/last.ckpt", "--data.root", "moved", QUIET]
    assert main(["test", *moved]) == 0
    assert main(["predict", *moved, "--data.predict_folder", "new"]) == 0
    (row,) = csv.DictReader((here / "run" / "predictions.csv").open())
    assert row["file"] == "unknown.png"
    assert {row["class_1"], row["class_2"]} == {"kind0", "kind1"}


class TestOptions:
    def test_print_config(self, capsys, here):
        assert main(["fit", *DIGITS, *SNL, "--print_config"]) == 0
        printed = yaml.safe_load(capsys.readouterr().out)
        assert printed["model"]["init_args"]["block"]["class_path"].endswith("SpectralNonlocal")

    def test_another_class_starts_clean(self, here):
        base = here / "base.yaml"
        block = {"class_path": "GlobalContext", "init_args": {"reduction": 8}}
        base.write_text(yaml.safe_dump({"model": {"init_args": {"block": block, "at": "stage2.1"}}}))
        config = built("--config", str(base), "--model.block", "SpectralNonlocal").run_config
        assert config["model"]["init_args"]["block"]["class_path"] == "SpectralNonlocal"
        assert config["model"]["init_args"]["block"]["init_args"]["reduction"] == 2

    def test_block_and_backbone_options(self, here):
        cli = built(*SNL, "--model.block.order", "2", "--model.backbone", "PreResNet", "--model.backbone.depth", "56")
        assert cli.run_config["model"]["init_args"]["block"]["init_args"]["order"] == 2
        assert {"SpectralNonlocal", "Bottleneck"} <= {type(module).__name__ for module in cli.model.modules()}

    @pytest.mark.parametrize("at", ["[stage2.0, stage2.1]", "stage2.[01]"])
    def test_several_places(self, here, at):
        model = built("--model.block", "Nonlocal", "--model.at", at).model
        assert sum(type(module).__name__ == "Nonlocal" for module in model.modules()) == 2

    def test_several_plugs(self, here):
        criss_cross = "{block: {class_path: CrissCross, init_args: {passes: 1}}, at: stage3.0, gate: true}"
        model = built("--model.plugs", f"[{{block: Nonlocal, at: stage2.1}}, {criss_cross}]").model
        assert {"Nonlocal", "CrissCross", "Gated"} <= {type(module).__name__ for module in model.modules()}

    def test_own_blocks_by_permission_only(self, here, monkeypatch, capsys):
        (here / "mypkg.py").write_text(
            "from blockyard.blocks import Block\n"
            "class Plain(Block):\n"
            "    def transform(self, x):\n"
            "        return x.clone()\n"
            "class ForAudio(Plain):\n"
            "    ranks = (1,)\n"
        )
        mine = ["fit", *DEV, "--model.block", "mypkg.Plain", "--model.at", "stage2.1"]
        assert "set BLOCKYARD_ALLOW=mypkg" in said(capsys, *mine)
        assert "mypkg" not in sys.modules
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setenv("BLOCKYARD_ALLOW", "mypkg")
        assert main(mine) == 0
        line = said(capsys, "fit", *DEV, "--model.block", "mypkg.ForAudio", "--model.at", "stage2.1")
        assert "ForAudio: spatial_dims must be one of (1,), got 2" in line
        monkeypatch.delenv("BLOCKYARD_ALLOW")
        assert "set BLOCKYARD_ALLOW=mypkg" in said(capsys, *mine), "a permission ends with what gave it"

    def test_an_error_in_ones_own_block_says_where_it_is(self, here, monkeypatch, capsys):
        (here / "faulty").mkdir()
        (here / "faulty" / "blocks.py").write_text(
            "from blockyard.blocks import Block\n"
            "class Faulty(Block):\n"
            "    def transform(self, x):\n"
            "        return x.view(-1, 7) if self.training else x.clone()\n"
        )
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setenv("BLOCKYARD_ALLOW", "faulty.blocks")
        line = ["fit", *DEV, "--model.block", "faulty.blocks.Faulty", "--model.at", "stage2.1"]
        assert main(line) == 1
        head, where, code, *_, error, advice = capsys.readouterr().err.splitlines()
        assert head == "blockyard: in code of your own:"
        assert where == f'  File "{here}/faulty/blocks.py", line 4, in transform'
        assert code.strip().startswith("return x.view(-1, 7)")
        assert error.startswith("RuntimeError: shape '[-1, 7]' is invalid")
        assert advice.endswith("the same line with BLOCKYARD_TRACEBACK=1 in the environment")
        monkeypatch.setenv("BLOCKYARD_TRACEBACK", "1")
        with pytest.raises(RuntimeError, match="is invalid for input"):
            main(line)


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["fot"], "no verb fot; did you mean fit"),
            (["fit"], "missing: data, model"),
            (["fit", "--config", "nowhere.yaml"], "no configuration file nowhere.yaml"),
            (["fit", "--config", "image_classification/digit.yaml"], "did you mean image_classification/digits.yaml"),
            (
                ["fit", *DEV, "--model.block", "SpectralNonlocl", "--model.at", "stage2.1"],
                "did you mean SpectralNonlocal",
            ),
            (["fit", *DEV, *SNL, "--model.block.oder", "2"], "SpectralNonlocal has no option oder; did you mean order"),
            (["fit", *DEV, *SNL, "--model.block.order", "-1"], "SpectralNonlocal: order must be at least 1, got -1"),
            (["fit", *DEV, *SNL, "--model.block.order", "two"], "model.block.order: expected int, got two"),
            (
                ["fit", *DEV, *SNL, "--model.block.kernel", "dott"],
                "relu, sigmoid, got dott",
            ),
            (
                ["fit", *DEV, *SNL, "--model.block.reduction", "5"],
                "32 channels are not divisible by --model.block.reduction 5",
            ),
            (["fit", *DEV, "--model.block", "Nonlocal"], "block is given without at"),
            (["fit", *DEV, "--model.at", "stage2.1"], "at is given without block"),
            (["fit", *DEV, "--model.block", "Nonlocal", "--model.at", "stage2.9"], "matches nothing in PreResNet"),
            (["fit", *DEV, "--model.block", "Nonlocal", "--model.at", "fc"], "not a map (B, C, *S)"),
            (
                ["fit", *DEV, *SNL, "--model.plugs", "[{blok: Nonlocal, at: x}]"],
                "Plug has no option blok; did you mean block",
            ),
            (["fit", *DEV, "--model.blok", "Nonlocal"], "ImageClassification has no option blok; did you mean block"),
            (["fit", *DEV, "--modl.block", "Nonlocal"], "no option --modl; did you mean --model"),
            (["fit", *DEV, "--trainer.max_epoch", "1"], "no option --trainer.max_epoch; did you mean max_epochs"),
            (["fit", *DEV, "--trainer.accelerator", "gpuu"], "trainer.accelerator: no gpuu; did you mean gpu"),
            (["fit", *DEV, "--trainer.accelerator", "tpu"], "torch finds no tpu on this machine, where there is"),
            (["fit", *DEV, "--trainer.strategy", "dpp"], "trainer.strategy: no dpp; did you mean ddp"),
            (["fit", *DEV, "--trainer.precision", "17"], "expected one of 64, 32, 16, transformer-engine"),
            (["fit", *DEV, "--model.optimizer", "Adamm"], "no optimizer Adamm; did you mean Adam"),
            (["fit", *DEV, "--model.lr_scheduler", "cosin"], "did you mean cosine"),
            (["fit", *DEV, "--model.loss", "BiasLos"], "no loss BiasLos; did you mean BiasLoss"),
            (
                ["fit", *DEV, "--model.backbone", "MetaFormer", "--model.backbone.mixers", "[PoolMixr]"],
                "no mixer PoolMixr; did you mean PoolMixer",
            ),
            (["fit", *DEV, "--model.block", "ISqrtCov", "--model.at", "stage2.1"], "it goes where a pooling does"),
            (["fit", *DEV, "--model.label_smoothing", "2"], "--model.label_smoothing 2.0 must be from 0 to 1"),
            (
                ["fit", *DEV, "--model.mixing.mixup_alfa", "1"],
                "Mixing has no option mixup_alfa; did you mean mixup_alpha",
            ),
            (["fit", *DEV, "--trainer.callbacks+=EMAA"], "no callback EMAA; did you mean EMA"),
            (
                ["fit", *DEV, "--trainer.callbacks+=EMA", "--trainer.callbacks.dcay", "1"],
                "EMA has no option dcay; did you",
            ),
            (["fit", *DEV, "--model.lr_scheduler", "MultiStepLR"], "MultiStepLR needs milestones"),
            (["fit", *DEV, "--model.block", "os.system"], "os.system may not be imported"),
            (["fit", *DEV, "--data", "Digit"], "no data Digit; did you mean Digits"),
            (["fit", *DEV, "--data.varant", "8x8"], "Digits has no option varant; did you mean variant"),
            (["fit", *DIGITS[:2], "--data", "CIFAR10", "--data.root", "nowhere"], "is missing: get"),
            (["fit", *DEV, "--data.batch_size", "0"], "batch_size"),
            (
                ["fit", *SHORT, "--model.warmup_epochs", "9"],
                "the warm-up, model.warmup_epochs 9, takes all of trainer.max_epochs 1: --model.warmup_epochs 0 leaves",
            ),
            (["test", "--ckpt_path", "nowhere.ckpt"], "no checkpoint nowhere.ckpt"),
            (["test", *SHORT, "--ckpt_path", "best"], "train this run first"),
            (["blocks", "Foo*"], "no block matches Foo*"),
            (["blocks", "--shape", "64"], "expected channels and 1 to 3 sizes"),
            (["describe", *DIGITS, "--model.block", "Nonlocal", "--model.at", "stge2.1"], "matches nothing"),
            (["study", "studies/image_classification.yaml"], "did you mean studies/image_classification-demo.yaml"),
            (["leaderboard", "--recods", "x"], "did you mean --records"),
        ],
    )
    def test_one_line_and_the_nearest_match(self, here, capsys, arguments, expected):
        assert expected in said(capsys, *arguments)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("model: {init_args: {bakbone: PreResNet}}", "no option bakbone; did you mean backbone"),
            ("modle: {init_args: {a: 1}}", "no option modle.init_args.a; did you mean model"),
            ("model: {", "bad.yaml, line 1, column"),
        ],
    )
    def test_a_file(self, here, capsys, text, expected):
        (here / "bad.yaml").write_text(text)
        assert expected in said(capsys, "fit", *DEV, "--config", "bad.yaml")

    def test_a_damaged_checkpoint(self, trained, here, capsys):
        whole = (trained / "checkpoints" / "best.ckpt").read_bytes()
        (here / "half.ckpt").write_bytes(whole[: len(whole) // 2])
        assert "half.ckpt is not a readable checkpoint" in said(capsys, "test", "--ckpt_path", "half.ckpt")

    def test_a_bug_shows_its_traceback(self, monkeypatch):
        def broken(options, arguments):
            raise ValueError("a bug in the code of others")

        monkeypatch.setattr("blockyard.commands.training.fit", broken)
        with pytest.raises(ValueError, match="a bug"):
            main(["fit"])

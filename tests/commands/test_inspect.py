"""``blockyard inspect`` as people use it: in process, on committed weights."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torch import nn

from blockyard.analysis.relevance import relevance
from blockyard.cli import main
from blockyard.commands.inspect_affine import insist_on_logits
from blockyard.commands.shown import from_files, from_samples
from blockyard.composing.composition import compose
from blockyard.composing.suite import SuiteCLI
from blockyard.datamodules import Digits

CHECKPOINT = str(Path(__file__).parents[1] / "checkpoints" / "digits-snl.ckpt")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["inspect", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_draws_samples_of_the_test_split(capsys):
    assert main(["inspect", "--ckpt_path", CHECKPOINT, "--samples", "3", "100", "--output", "drawn"]) == 0
    out = capsys.readouterr().out
    assert "layer2.1: SpectralNonlocal over 4×4 positions" in out
    assert "imaginary parts up to 0:" in out
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["layer2.1-maps.png", "layer2.1-response.png"]
    assert size("drawn/layer2.1-maps.png")[0] == 5 * 240, "the picture and four queries"
    assert [path.name for path in Path().iterdir()] == ["drawn"], "and nothing else is written"


def test_draws_files_of_any_size_and_colour():
    rng = np.random.default_rng(0)
    for name, shape in (("colour.png", (30, 50, 3)), ("grey.png", (8, 8))):
        Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(name)
    arguments = ["inspect", "--ckpt_path", CHECKPOINT, "--images", "colour.png", "grey.png", "--query", "1,2", "7,7"]
    assert main(arguments) == 0
    assert size("inspect/layer2.1-maps.png")[0] == 3 * 240


def test_a_file_is_prepared_as_the_data_are():
    digits = Digits("8x8")
    Image.fromarray(digits.split("test")[5]["input"].squeeze()).save("five.png")
    (of_file,), (of_data,) = from_files(digits, [Path("five.png")]), from_samples(digits, [5])
    assert np.array_equal(of_file.pixels, of_data.pixels)
    assert of_file.input.equal(of_data.input)


def test_mistakes_end_in_one_line(capsys, tmp_path):
    assert said(capsys) == "blockyard: inspect: the following arguments are required: --ckpt_path"
    assert "nothing to look at; give --images" in said(capsys, "--ckpt_path", CHECKPOINT)
    assert "no checkpoint none.ckpt" in said(capsys, "--ckpt_path", "none.ckpt", "--samples", "0")
    assert "the test split has samples 0 to 359" in said(capsys, "--ckpt_path", CHECKPOINT, "--samples", "360")
    outside = said(capsys, "--ckpt_path", CHECKPOINT, "--samples", "0", "--query", "3,8")
    assert "--query 3,8 is outside the picture: rows 0 to 7, columns 0 to 7" in outside
    assert "seven is no position such as 14,10" in said(
        capsys, "--ckpt_path", CHECKPOINT, "--samples", "0", "--query", "seven"
    )
    Path("damaged.png").write_bytes(b"no picture")
    assert "damaged.png: damaged or not a picture" in said(capsys, "--ckpt_path", CHECKPOINT, "--images", "damaged.png")


def test_a_network_without_a_graph_is_refused_with_what_has_one(capsys):
    fit = ["fit", "--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--trainer.max_epochs", "1"]
    fit += [
        "--trainer.limit_train_batches",
        "1",
        "--trainer.limit_val_batches",
        "1",
        "--trainer.default_root_dir",
        "se",
    ]
    fit += ["--trainer.enable_progress_bar", "false", "--model.block", "SqueezeExcitation", "--model.at", "stage2.1"]
    assert main(fit) == 0
    line = said(capsys, "--ckpt_path", "se/checkpoints/last.ckpt", "--samples", "0")
    assert "(plugged: SqueezeExcitation); those that do: AdaptiveHops, AdaptiveHypergraph, Asymm" in line
    assert "CompactNonlocal" not in line
    assert main(["inspect", "--what", "affine", "--ckpt_path", "se/checkpoints/last.ckpt", "--samples", "0"]) == 0


def test_only_classifiers_have_logits_to_be_asked_about():
    with pytest.raises(ValueError, match="affine is of classifiers' logits; Linear has no such"):
        insist_on_logits(SimpleNamespace(model=nn.Linear(1, 1)))


def test_draws_what_pixels_weigh_and_writes_the_sums(capsys):
    assert main(["inspect", "--what", "affine", "--ckpt_path", CHECKPOINT, "--samples", "3", "100"]) == 0
    assert "A x + b is the logit to " in capsys.readouterr().out
    assert size("inspect/affine.png")[1] == 2 * 264
    pictures = json.loads(Path("inspect/affine.json").read_text())
    assert len(pictures) == 2
    for one in pictures[0]["classes"]:
        assert one["by_pixels"] + one["constant"] == pytest.approx(one["logit"], abs=1e-9)
    logits = [one["logit"] for one in pictures[0]["classes"]]
    assert logits == sorted(logits, reverse=True)
    assert len(logits) == 10


def test_draws_and_writes_what_pixels_have_contributed(capsys):
    asked = ["inspect", "--what", "relevance", "--ckpt_path", CHECKPOINT, "--samples", "3", "100"]
    assert main([*asked, "--rule", "epsilon"]) == 0
    assert "epsilon: pixels have 0% of the largest logit" in capsys.readouterr().out
    assert size("inspect/relevance.png")[1] == 2 * 264
    told = json.loads(Path("inspect/relevance.json").read_text())
    cli = SuiteCLI(None, compose(["--ckpt_path", CHECKPOINT, "--trainer.logger", "false"], keep_trainer=False))
    cli.load_weights(CHECKPOINT)
    (shown,) = from_samples(cli.datamodule, [3])
    found = relevance(cli.model.network, shown.input, rule="epsilon", at=["layer1"])
    first = told["pictures"][0]["classes"][0]
    assert first["logit"] == pytest.approx(float(found.output.max()))
    assert first["pixels"] == pytest.approx(float(found.input.sum()), rel=1e-3)
    assert first["stage1"] == pytest.approx(float(found.maps["layer1"].sum()), rel=1e-3)


def test_the_landscape_of_training_batches(capsys):
    arguments = ["inspect", "--what", "landscape", "--ckpt_path", CHECKPOINT, "--data.num_workers", "0"]
    assert main([*arguments, "--batches", "2", "--steps", "0.1", "1"]) == 0
    assert "over 2 training batches, along steps of 0.1, 1: Lipschitz 0.1" in capsys.readouterr().out
    rows = json.loads(Path("inspect/landscape.json").read_text())
    assert [(row["batch"], row["steps"]) for row in rows] == [(1, [0.1, 1]), (2, [0.1, 1])]
    for row in rows:
        slope = (row["loss"] - row["losses"][0]) / 0.1
        # of a small step the loss falls by the square of the gradient, but for its curvature
        assert slope == pytest.approx(row["gradient_norm"] ** 2, rel=0.1)
    assert size("inspect/landscape.png") == (1080, 432)


def test_options_of_other_questions_are_refused(capsys):
    landscape = ("--what", "landscape", "--ckpt_path", CHECKPOINT)
    assert "--samples is not for --what landscape; it is for graphs, affine, ntk" in said(
        capsys, *landscape, "--samples", "1"
    )
    assert "--batches is not for --what graphs; it is for landscape" in said(capsys, *landscape[2:], "--batches", "1")
    assert "--rule is not for --what graphs; it is for relevance" in said(capsys, *landscape[2:], "--rule", "epsilon")
    assert "--query is not for --what ntk" in said(capsys, "--what", "ntk", *landscape[2:], "--query", "1,1")
    assert "invalid choice: 'afine'; did you mean affine?" in said(capsys, "--what", "afine", *landscape[2:])
    assert "steps must be positive numbers, got -1.0" in said(capsys, *landscape, "--steps", "-1")
    assert "--batches -2 must be positive" in said(capsys, *landscape, "--batches", "-2")


def test_draws_and_writes_the_tangent_kernel(capsys):
    asked = ["inspect", "--what", "ntk", "--ckpt_path", CHECKPOINT, "--samples", "3", "100", "101"]
    assert main(asked) == 0
    assert "tangent kernel of 3 samples: eigenvalues" in capsys.readouterr().out
    assert sorted(path.name for path in Path("inspect").iterdir()) == ["ntk.json", "ntk.png"]
    found = json.loads(Path("inspect/ntk.json").read_text())
    kernel = np.array(found["kernel"])
    assert kernel.shape == (3, 3)
    assert found["eigenvalues"] == pytest.approx(np.linalg.eigvalsh(kernel)[::-1], rel=1e-9)
    assert found["trace"] == pytest.approx(sum(found["eigenvalues"]), rel=1e-9)
    assert 1 <= found["effective_rank"] <= 3


def test_what_is_lost_when_units_read_the_same_map(capsys):
    assert main(["inspect", "--what", "parallel", "--ckpt_path", CHECKPOINT, "--samples", "3", "100"]) == 0
    out = capsys.readouterr().out
    rows = json.loads(Path("inspect/parallel.json").read_text())
    for row in rows:
        assert f"{row['stage']}: " in out
        assert (row["distance"] is None) == bool(row["refusal"])
    assert len(rows) == 3


def test_draws_what_channels_of_a_series_add(capsys):
    series(Path("set"))
    fit = (
        "fit --config signal_classification/signal_csv.yaml --data.root set --data.sample_rate 20 --data.num_workers 0"
    )
    fit += " --data.batch_size 4 --trainer.max_epochs 1 --trainer.logger false --trainer.enable_progress_bar false"
    fit += " --model.backbone InterpretableCNN --model.backbone.kernel_size 8 --model.warmup_epochs 0"
    assert main([*fit.split(), "--trainer.default_root_dir", "run"]) == 0
    checkpoint = "run/checkpoints/last.ckpt"
    asked = ["inspect", "--what", "evidence", "--ckpt_path", checkpoint]
    capsys.readouterr()
    assert main([*asked, "--samples", "0", "1"]) == 0
    assert "evidence and bias are the logit to " in capsys.readouterr().out
    told = json.loads(Path("inspect/evidence.json").read_text())
    for one in (one for sample in told for one in sample["classes"]):
        assert one["bias"] + sum(one["by_channel"].values()) == pytest.approx(one["logit"], abs=1e-9)
        assert list(one["by_channel"]) == ["left", "right"]
    assert size("inspect/evidence.png")[0] > 100
    assert "nothing to look at; give --samples N …" in said(capsys, *asked[1:])
    assert "--images is not for --what evidence" in said(capsys, *asked[1:], "--images", "a.png")
    refused = said(capsys, "--what", "evidence", "--ckpt_path", CHECKPOINT, "--samples", "0")
    assert "evidence is of series, channels over time; samples of " in refused
    assert refused.strip().endswith(", are pictures")


def series(root: Path) -> None:
    """Eight people with a recording of two channels each, of two classes."""
    root.mkdir()
    rows = [f"{who}.csv,{'ab'[who % 2]},{who}" for who in range(8)]
    (root / "manifest.csv").write_text("\n".join(["file,label,subject", *rows]) + "\n")
    for who in range(8):
        values = np.random.default_rng(who).standard_normal((40, 2)) + who % 2
        np.savetxt(root / f"{who}.csv", values, delimiter=",", header="left,right", comments="")

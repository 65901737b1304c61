"""A task that states its own metrics, reports and outputs, in one folder: nothing else knows of it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import blockyard
from blockyard.metrics import primary_of
from blockyard.tasks.restoration.quality import psnr, ssim
from blockyard.tasks.restoration.report import BeforeAfter
from blockyard.tasks.restoration.writer import PictureWriter

SPEC = importlib.util.spec_from_file_location("few_noisy", Path(__file__).parents[1] / "few_noisy.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)
PACKAGE = Path(blockyard.__file__).parent
OWN = ("tasks/restoration/", "configs/image_restoration/", "configs/studies/image_restoration-demo.yaml")
NAMES = re.compile(r"restoration|restorer|NoisyPhotographs|noisy_photographs", re.IGNORECASE)


def test_no_other_file_of_the_package_knows_the_task():
    """One folder, one data module and configurations."""
    texts = {p: p.read_text() for p in PACKAGE.rglob("*") if p.suffix in (".py", ".yaml", ".js", ".css", ".json")}
    naming = {p.relative_to(PACKAGE).as_posix() for p, text in texts.items() if NAMES.search(text)}
    others = {path for path in naming if not path.startswith(OWN)}
    assert others == {"samples/modules/noisy_photographs.py", "configs/studies/noisy_photographs-networks.yaml"}


def test_the_scores_are_those_of_each_clipped_picture():
    module, data = few.task(), few.Few(6)
    (metrics,) = few.trainer().test(module, data, verbose=False)
    split = data.split("test")
    came = torch.stack([split[index]["input"] for index in range(6)])
    true = torch.stack([split[index]["target"] for index in range(6)])
    with torch.no_grad():
        restored = module.network.eval()(came).clamp(0, 1)
    expected = {"psnr": psnr(restored, true), "ssim": ssim(restored, true), "psnr_input": psnr(came.clamp(0, 1), true)}
    assert metrics == pytest.approx({f"test/{name}": value.mean().item() for name, value in expected.items()}, rel=1e-5)
    assert module.sample_scores.keys() == {"psnr", "ssim"}
    for name, values in module.sample_scores.items():
        torch.testing.assert_close(values, expected[name])
    assert (primary_of(module).unit, primary_of(module).mode) == ("dB", "max")


def test_learns():
    module, data = few.task(), few.Few(samples=256)
    (before,) = few.trainer().validate(module, data, verbose=False)
    few.trainer(max_epochs=2, num_sanity_val_steps=0, log_every_n_steps=1).fit(module, data)
    (after,) = few.trainer().validate(module, data, verbose=False)
    assert after["val/psnr"] > before["val/psnr"] + 1


def test_each_loss_is_what_its_name_says():
    batch = {"input": torch.rand(2, 3, 16, 16), "target": torch.rand(2, 3, 16, 16)}
    for loss, power in (("l1", 1), ("mse", 2)):
        module = few.task(loss=loss).eval()
        module.log = module.log_dict = lambda *_, **__: None
        expected = (module(batch["input"]) - batch["target"]).abs().pow(power).mean()
        torch.testing.assert_close(module.training_step(batch, 0), expected)


def test_stops_before_a_loss_that_is_not_finite():
    module = few.task()
    batch = {"input": torch.full((1, 3, 16, 16), torch.nan), "target": torch.zeros(1, 3, 16, 16)}
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        module.training_step(batch, 0)


def test_there_is_no_such_loss():
    with pytest.raises(ValueError, match=r"^ImageRestoration: loss must be one of l1, mse, got 'l3'$"):
        few.task(loss="l3")


def test_restores_pictures_of_any_size_into_files_of_the_same_names(tmp_path, capsys):
    rng = np.random.default_rng(0)
    sizes = {"one.jpg": (17, 23), "below/two.png": (40, 12)}
    for name, size in sizes.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / "in" / name)
    module, data = few.task(), few.NoisyPhotographs(predict_folder=str(tmp_path / "in"))
    writer = PictureWriter(tmp_path / "out")
    few.trainer(callbacks=[writer]).predict(module, data, return_predictions=False)
    for name, size in sizes.items():
        restored = Image.open((tmp_path / "out/restored" / name).with_suffix(".png"))
        assert (restored.mode, restored.size[::-1]) == ("RGB", size)
    assert "2 pictures in " in capsys.readouterr().out


def test_shows_a_few_test_pictures_as_they_came_restored_and_as_they_are(tmp_path):
    few.trainer(callbacks=[BeforeAfter(tmp_path)]).test(few.task(), few.Few(6), verbose=False)
    # four rows and three columns of 16 pixels with 2 between and around
    assert Image.open(tmp_path / "restored.png").size == (3 * 18 + 2, 4 * 18 + 2)


@pytest.mark.parametrize("pictures", few.CASES)
def test_two_processes_score_as_one(restored_by_two, pictures):
    alone, *together = (result[str(pictures)] for result in restored_by_two)
    for other in together:
        assert other["scores"] == alone["scores"]
        assert other["tested"] == alone["tested"]
        # a mean of two processes' sums, in single precision
        assert other["validated"] == pytest.approx(alone["validated"], rel=1e-6)


@pytest.fixture(scope="module")
def restored_by_two(one_and_two_processes):
    return one_and_two_processes("few_noisy.py")

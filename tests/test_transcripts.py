"""Every command line of README and docs runs, short, and what it prints fits the terminal and is what they show."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from blockyard.cli import VERBS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DIGITS = "--config image_classification/digits.yaml"
SMALL = "--trainer.max_epochs 1 --trainer.limit_train_batches 1 --trainer.limit_val_batches 1"
CANNOT = {
    r"make \w+": "sets up an environment from a package registry; this is run in it",
    r"sbatch ": "needs SLURM: tests/clusters",
    r".*scripts/torchrun\.sh": "needs several machines: tests/clusters",
    r"python docs/inspections\.py": "draws the pictures of the page from two whole trainings",
    r"for |done$|.*\$seed|python docs/landscapes\.py": "six whole trainings: tests/training/test_landscape.py",
    r"blockyard inspect --what (parallel|evidence)": "of one trained on the page: tests/commands/test_inspect.py",
    r"python benchmarks/kernels\.py": "takes minutes; what it draws is committed",
    r"python examples/\w+\.py": "a minute each: tests/examples",
    r"blockyard (test|export) --ckpt_path sorted/": "a checkpoint of prefixes: tests/objectives/test_sorted_net.py",
    r"blockyard off-the-shelf .* denoised/checkpoints": "a checkpoint of noise: tests/backbones/test_diffusion_unet.py",
    r"blockyard fit .* views/checkpoints": "a checkpoint of two views: tests/training/test_unfreezing.py",
    r"blockyard fetch \w+": "downloads: tests/commands/test_fetch.py",
    r".*blockyard profile \w+": "trains for a quarter of an hour: tests/commands/test_profile.py",
    r"blockyard study studies/(diagnostics|digits-\w+s)": "plans hundreds of runs: tests/test_configs.py",
    r"blockyard fit --config suggested\.yaml": "of ten kinds of folders: tests/commands/test_suggest.py",
    r"blockyard test --ckpt_path … --data\.clips 3": "a checkpoint of videos: tests/tasks/classification/test_video.py",
    r"blockyard .*(geotiff_folder\.yaml|SCENES)": "of bands: tests/tasks/segmentation/test_geotiff_prediction.py",
    r"blockyard (test|export) .*(--data\.only|multi_task/)": "of two tasks: tests/tasks/test_multi_task.py",
    r"blockyard test .*token_pruning": "a checkpoint of masks: tests/tasks/segmentation/test_tokens_leave.py",
    r"blockyard export --ckpt_path (best\.ckpt|… --format onnx)( --format torch)?$": "tests/commands/test_export.py",
}
"""What is not run here, and why, or where it is."""
STAND_INS = (
    (r"^… ", "blockyard fit --config image_classification/imagenet.yaml "),
    (r"runs/…/checkpoints/best\.ckpt|(?<=--ckpt_path )…", "best.ckpt"),
    (r"\bsmall/checkpoints", "pretrained/checkpoints"),
    (r"--config … --data\.root DIR", "--config image_classification/image_folder.yaml --data.root DIR --data.size 16"),
    (r"--config …", DIGITS),
    (r"studies/…\.yaml|mine\.yaml|STUDY\.yaml", "studies/image_classification-demo.yaml"),
    (r"--config FILE", DIGITS),
    (r"--slurm cluster/submit\.yaml ", ""),
    (r"runs/records/\w+\.json|\bRECORD\b|FILE…", "results/*.json"),
    (r" --jobs \d+", ""),
    (r"\bOTHER\b", "DIR"),
    (r"^blockyard profile$", "blockyard profile --records leaderboard/diagnostics/records"),
)
"""What stands for what nobody can type, and for files that a reader has by then."""
ELSEWHERE = ("cifar", "cityscapes", "imagenet.yaml", "--trainer.devices 8", "cluster/")
"""In command lines of data that have to be fetched, or of more GPUs: they are read to the end, and not carried out."""
WIDE = {"blocks", "configs", "describe", "leaderboard", "fetch", "profile", "test"}
"""Verbs that print tables: at two widths."""
LONG = ("fit", "test", "predict")
"""Verbs whose ``--help all`` is the options of a whole configuration."""


class Line(NamedTuple):
    """A command line of a page."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


class Shown(NamedTuple):
    """Command lines of a page and what it shows of their output, lines in order."""

    commands: list[str]
    output: list[str]


def blocks_of(page: Path) -> Iterator[tuple[str, str]]:
    """Fenced blocks: language and content."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands_of(block: str) -> list[str]:
    """Lines of a shell, without what goes on in the next one and without remarks."""
    lines = block.replace("\\\n", " ").splitlines()
    return [" ".join(line.partition(" #")[0].split()) for line in lines if line.split("#")[0].strip()]


def is_whole(command: str) -> bool:
    """Whether what stands within a sentence could be typed: verbs that need a configuration have one."""
    verb, *options = command.split()[1:]
    alone = verb in ("blocks", "configs", "leaderboard", "fetch", "profile", "VERB") or (verb == "study" and options)
    return bool(alone) or any(option in command for option in ("--config", "--ckpt_path", "help"))


def lines() -> list[Line]:
    """The command lines of all pages, each once."""
    found: dict[str, Line] = {}
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        inline = [" ".join(code.split()) for code in re.findall(r"`(blockyard [^`]+)`", text)]
        fenced = [
            command
            for language, block in blocks_of(page)
            if language in ("sh", "bash") or (not language and block.startswith("blockyard "))
            for command in commands_of(block)
        ]
        for command in chain(fenced, filter(is_whole, inline)):
            found.setdefault(command, Line(page.name, command))
    return list(found.values())


def shown() -> list[Shown]:
    """What the pages show: a block ``text`` after one of command lines."""
    found = []
    for page in PAGES:
        blocks = list(blocks_of(page))
        for (language, block), (after, output) in pairwise(blocks):
            if after == "text":
                assert language == "sh", f"{page.name}: of which command is this the output?\n{output}"
                found.append(Shown(commands_of(block), output.splitlines()))
    return found


LINES = lines()
RUN = [line for line in LINES if not any(re.match(pattern, line.text) for pattern in CANNOT)]
"""What is run."""


def short(command: str, real: bool = False) -> str:
    """A command line with what stands for what is not there, and so that it takes a moment.

    Args:
        command: As a page has it.
        real: Whether checkpoints and records are to be left.
    """
    for pattern, what in STAND_INS:
        command = re.sub(pattern, what, command)
    verb = command.split("blockyard ")[1].split()[0]
    if verb == "study" and "--dry-run" not in command:
        return f"{command} --dry-run"
    if verb == "fit" and ".help" not in command:
        if any(word in command for word in ELSEWHERE):
            return f"{command} --print_config"
        # poolings of the one need 28×28; the other has digits of both sizes
        sized = any(word in command for word in ("--data.variant", "two-view-net", "multi_task", "windowed_digits"))
        small = "" if sized or "digits" not in command else " --data.variant 8x8"
        return f"{command}{small} {SMALL if real else '--trainer.fast_dev_run true'}"
    if verb == "search":
        return f"{command} --budget 2"
    if verb in ("off-the-shelf", "describe", "check-data") and "digits" in command:
        return f"{command} --data.variant 8x8" + (" --k 3" if verb == "off-the-shelf" else "")
    return f"{command} --k 3" if verb == "off-the-shelf" else command


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a reader of the pages has by then: pictures, a package, checkpoints and a record."""
    here = tmp_path_factory.mktemp("reader")
    (python,) = (block for language, block in blocks_of(ROOT / "README.md") if block.startswith("# mypkg/blocks.py"))
    (here / "mypkg").mkdir()
    (here / "mypkg" / "blocks.py").write_text(python)
    rng = np.random.default_rng(0)
    pictures = [f"DIR/{split}/{kind}/{n}.png" for split in ("train", "val", "test") for kind in "xyz" for n in range(4)]
    for name in [*pictures, "a.png", "b.png", "a.jpg"]:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(here / name)
    snl = "--model.block SpectralNonlocal --model.at stage2.0"
    folder = "--config image_classification/image_folder.yaml --data.root DIR --data.size 16 --data.batch_size 4"
    own = "--model.backbone PreResNet --model.backbone.depth 8 --data.num_workers 0 --model.warmup_epochs 0"
    trainings = {
        "own": f"{folder} {own} {snl}",
        "pretrained": f"{DIGITS} --data.variant 8x8",
        "rotation": f"{DIGITS} --data.variant 8x8 --model.backbone.depth 8",
        "masked": f"{DIGITS} --data.variant 8x8 --model.backbone.depth 8",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        for name, options in trainings.items():
            assert main(shlex.split(f"fit {options} {SMALL} --trainer.default_root_dir {name}")) == 0
        shutil.copy("own/checkpoints/best.ckpt", "best.ckpt")
        shutil.copy("own/config.yaml", "training.yaml")
        assert main(shlex.split("test --ckpt_path best.ckpt")) == 0
        shutil.copytree("runs/records", "results")
        shutil.rmtree("own")
    return here


@pytest.fixture
def reader(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in."""
    here = shutil.copytree(prepared, tmp_path / "reader")
    (here / "leaderboard").symlink_to(ROOT / "leaderboard")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))  # as BLOCKYARD_ALLOW does, for good
    return here


@contextmanager
def terminal(width: int) -> Iterator[None]:
    """What is printed goes to a terminal of that width."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLUMNS": str(width)}.items():
            patch.setenv(name, value)
        yield


def run(command: str, width: int, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What a command line prints to a terminal, line by line as it stands there."""
    tokens = [
        name
        for token in shlex.split(command)
        for name in (sorted(map(str, Path().glob(token))) if "*.json" in token else [token])
    ]
    with terminal(width), pytest.MonkeyPatch.context() as patch:
        while "=" in tokens[0]:
            patch.setenv(*tokens.pop(0).split("=", 1))
        assert tokens.pop(0) == "blockyard"
        capfd.readouterr()
        code = main(tokens)
    out, err = capfd.readouterr()
    assert code == 0, f"{command}\n{err[-2000:]}"
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out + err)
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def too_long(printed: list[str], width: int) -> list[str]:
    """Lines of tables, bars and helps that do not fit; sentences a terminal breaks by itself."""
    laid_out = [line for line in printed if re.search(r"[│┃━─]|\S {3,}\S|^ {2,}", line)]
    return [line for line in laid_out if len(line) > width]


def test_what_cannot_be_run_is_there():
    for pattern in CANNOT:
        assert any(re.match(pattern, line.text) for line in LINES), f"no page has {pattern} any more"
    assert len(RUN) > 40


@pytest.mark.parametrize("line", {short(line.text): line for line in RUN if "VERB" not in line.text}.values(), ids=str)
def test_a_command_line_of_the_pages_runs(line, reader, capfd):
    command = short(line.text)
    verb = command.split("blockyard ")[1].split()[0]
    for folder in re.findall(r"--trainer.default_root_dir (\S+)", command):  # what a line makes, others go on from
        shutil.rmtree(folder, ignore_errors=True)
    for width in (80, 120) if verb in WIDE and "--html" not in command else (80,):
        assert too_long(run(command, width, capfd), width) == []


@pytest.mark.parametrize("width", [80, 120])
def test_helps_fit_the_terminal(width, capfd):
    for verb in ("", *VERBS, "leaderboard add", "samples walkers"):
        for line in (f"blockyard {verb} --help", *([f"blockyard {verb} --help all"] if verb in LONG else [])):
            assert [said for said in run(line, width, capfd) if len(said) > width] == []


def masked(line: str) -> str:
    """A line without what depends on the run: numbers, digests and what a page leaves out."""
    line = re.sub(r"runs/\S+", "runs/…", line.rstrip())
    return " ".join(re.sub(r"\d[\d,.]*", "…", line).split())


@pytest.mark.parametrize("one", shown(), ids=lambda one: one.commands[0])
def test_what_the_pages_show_is_what_is_printed(one, reader, capfd):
    printed = iter([masked(line) for command in one.commands for line in run(short(command, real=True), 80, capfd)])
    for line in one.output:
        assert masked(line) in printed, f"not printed, or not in this order: {line}"


def test_the_pages_show_some_output():
    assert shown()

"""What `blocks` says of a block, in the terminal and as a page, is what the class and the packaged files say."""

from __future__ import annotations

import re

import pytest

from blockyard.blocks import DCLS, ECA, Block, Nonlocal, RelativeAttention, SpectralNonlocal, SqueezeExcitation
from blockyard.cli import main
from blockyard.commands.catalogue import SLOTS, entries, markdown, published
from blockyard.composing.config_files import CONFIGS, config_names
from blockyard.costs import count_parameters


def test_the_table_has_slot_ranks_costs_year_and_paper(capsys: pytest.CaptureFixture[str]):
    assert main(["blocks", "SqueezeExcitation", "--shape", "64x8"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "SqueezeExcitation" in line)
    cells = re.split(" {3,}", row.strip())
    paper = "Hu et al., Squeeze-and-Excitation Networks, CVPR 2018"
    weights = 2 * 64 * 64 // 16
    assert cells == ["SqueezeExcitation", "after", "1, 2, 3", f"{weights + 64 + 4}", f"{weights}", "2018", paper]


def test_a_block_that_does_not_exist_for_a_map_says_why(capsys: pytest.CaptureFixture[str]):
    assert main(["blocks", "SqueezeExcitation", "--shape", "30x8x8"]) == 0
    assert "30 channels are not divisible by reduction=16" in capsys.readouterr().out


def test_costs_are_those_of_the_block():
    for kind in (Nonlocal, SpectralNonlocal, ECA):
        (entry,) = entries([kind], (64, 8, 8))
        assert entry.parameters == f"{count_parameters(kind(64)):,}"
        assert not entry.refusal


def test_options_of_a_block_of_ones_own_need_no_types():
    class Mine(Block):
        """Y = x."""

        paper = "None, 2026"

        def __init__(self, channels, spatial_dims=2, *, width, act=print, taps: int = 3):
            super().__init__(channels, spatial_dims)

        def transform(self, x):
            return x.clone()

    (entry,) = entries([Mine], (8, 4, 4))
    assert entry.options == ["width", 'act = "<built-in function print>"', "taps: int = 3"]
    assert entry.refusal == "its costs depend on width, with no default"
    assert "Mine" in markdown([entry], (8, 4, 4))


def test_options_are_what_a_user_may_set_and_not_what_the_place_tells():
    relative, dcls, nonlocal_ = entries([RelativeAttention, DCLS, Nonlocal], (64, 8, 8))
    assert relative.options == ["heads: int = 4", "position: relative | absolute = relative"]
    assert dcls.options == ["kernel_count: int | None = null", "dilated_kernel_size: int | None = null"]
    assert "bias: bool = false" in nonlocal_.options


def test_a_page_has_a_row_and_a_section_for_each_block():
    text = markdown(entries([ECA, SqueezeExcitation], (64, 8, 8)), (64, 8, 8))
    assert "| [ECA](#eca) | 2020 | after | 1, 2, 3 | 3 | 192 | no |" in text
    assert re.findall("^## (.*)", text, re.MULTILINE) == ["ECA", "SqueezeExcitation"]
    assert "64×8×8" in text


def test_every_published_network_stands_with_a_block_that_it_is_built_of(capsys: pytest.CaptureFixture[str]):
    assert main(["blocks", "--format", "markdown"]) == 0
    text = capsys.readouterr().out
    named = set(re.findall(r"--config (\S+/networks/\S+\.yaml)`", text))
    # convolutions and nothing else, cells and units that are of one network alone, and heads, which are no blocks
    own = r"/networks/(funnelnet|(simplenet|nasnet|maxim)-(?!.*supervised))|^semantic_segmentation/networks/(?!dtop)"
    plain = {name for name in config_names() if re.search(own, name)}
    assert named == {name for name in config_names() if "/networks/" in name} - plain
    assert all((CONFIGS / base).exists() for base in re.findall(r"`--config (\S+) --config", text))


def test_poolings_losses_and_callbacks_with_a_paper_are_listed_by_slot():
    own = [kind for kind in published() if kind.__module__.startswith("blockyard.")]
    assert {"ISqrtCov", "BiasLoss", "GradientActivation", "ScheduledDropPath"} < {kind.__name__ for kind in own}
    assert {kind.slot for kind in own} == SLOTS.keys()
    assert all(entry.year.isdigit() for entry in entries(own, (64, 8, 8)))
    (pooling,) = entries(published("MPNCov"), (64, 8, 8))
    assert (pooling.parameters, pooling.identity) == ("0", "–")


def test_a_block_without_a_paper_has_no_year():
    class Plain(Block):
        """Nothing."""

        def transform(self, x):
            return x

    (entry,) = entries([Plain], (8, 4, 4))
    assert (entry.year, entry.parameters, entry.options, entry.networks) == ("", "0", [], ())


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--shpe", "8x8"], "no option --shpe; did you mean --shape"),
        (["--format", "html"], "invalid choice: 'html'"),
        (["Squeze*"], "SqueezeExcitation?"),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments: list[str], answer: str, capsys: pytest.CaptureFixture[str]):
    assert main(["blocks", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert answer in line


def test_a_glob_on_the_command_line(capsys):
    assert main(["blocks", "Spectral*", "--shape", "1024x14x14"]) == 0
    text = capsys.readouterr().out
    assert "SpectralNonlocal" in text
    assert "ICCV 2021" in text
    assert "GlobalContext" not in text

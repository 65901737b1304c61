"""What may be chosen within a network is counted, drawn and told apart."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch

from blockyard.backbones import ElasticMobileNet
from blockyard.backbones.elastic import Choices, space_of

SMALL = partial(
    ElasticMobileNet, widths=[8, 16], depths=2, kernels=5, expansions=4, strides=[1, 2], gated=[False, True], stem=8
)


@pytest.fixture(scope="module")
def space():
    return space_of(SMALL(3, 1), [3, 5, 7], [1, 2, 3], [2, 4, 6])


def test_the_paper_has_more_than_10_to_19():
    with torch.device("meta"):
        assert space_of(ElasticMobileNet(), [3, 5, 7], [2, 3, 4], [3, 4, 6]).count == (9**2 + 9**3 + 9**4) ** 5 > 1e19


def test_values_above_the_network_s_own_are_left_out(space):
    assert space.genes == ((1, 2),) * 2 + ((3, 5),) * 4 + ((2, 4),) * 4
    assert space.whole == Choices((2, 2), (5,) * 4, (4,) * 4)
    assert space.smallest == Choices((1, 1), (3, 3), (2, 2))


def test_the_count_is_that_of_different_networks(space):
    found = {space.choices(genes) for genes in product(range(2), repeat=10)}
    assert len(found) == space.count == (4 + 16) ** 2
    assert all(choices in space for choices in found)


def test_genes_of_units_that_are_left_out_say_nothing(space):
    assert space.choices([0, 1, 0, 1, 0, 1, 1, 0, 0, 1]) == Choices((1, 2), (3, 3, 5), (4, 2, 4))
    assert space.choices([0, 1, 0, 0, 0, 1, 1, 1, 0, 1]) == Choices((1, 2), (3, 3, 5), (4, 2, 4))


def test_draws_are_the_generator_s(space):
    first, second = ([space.draw(torch.Generator().manual_seed(3)) for _ in range(2)] for _ in range(2))
    assert first == second
    generator = torch.Generator().manual_seed(3)
    assert len({space.draw(generator) for _ in range(200)}) > 100


@pytest.mark.parametrize(
    "choices",
    [
        Choices((1,), (3,), (2,)),
        Choices((1, 3), (3,) * 4, (2,) * 4),
        Choices((1, 2), (3,) * 3, (2,) * 2),
        Choices((1, 1), (3,) * 3, (2,) * 3),
        Choices((1, 1), (3, 7), (2, 2)),
        Choices((1, 1), (3, 3), (3, 2)),
    ],
)
def test_others_are_none_of_them(space, choices):
    assert choices not in space


def test_options_make_the_network(space):
    choices = space.choices([0, 1, 0, 1, 0, 1, 1, 0, 0, 1])
    made = SMALL(3, 1, **choices.options())
    assert (made.depths, made.kernels, made.expansions) == (choices.depths, choices.kernels, choices.expansions)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (([2], [1], [2]), "kernels odd"),
        (([3], [0], [2]), "must be positive"),
        (([3], [1], [2, 2.1]), "make [16, 16, 32]: they must differ"),
        (([3], [1], [1]), "make [8, 32]: they must differ from each other, and from what they widen"),
    ],
)
def test_what_can_not_be_chosen_is_refused(values, said, one_line):
    with pytest.raises(ValueError, match=r"kernels|expansions") as refusal:
        space_of(SMALL(3, 1), *values)
    one_line(refusal, said)


@pytest.mark.parametrize("genes", [[0] * 9, [0] * 9 + [2], [-1] + [0] * 9])
def test_genes_are_places(space, genes):
    with pytest.raises(ValueError, match="genes must be places"):
        space.choices(genes)

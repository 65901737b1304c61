"""Pictures and what is said of them, in one space."""

from __future__ import annotations

import itertools

import img_text_match
import numpy as np
import pytest
import torch

FEW = ["--pictures", "64", "--test_pictures", "10", "--epochs", "1"]


def test_a_text_says_what_lies_where():
    mask = np.zeros((8, 10), np.uint8)
    mask[1:3, 6:9], mask[5:8, 0:4], mask[0, 0] = 2, 4, img_text_match.IGNORE
    text = img_text_match.caption(mask)
    assert text == "digit 1 top right and flower bottom left"
    words = [img_text_match.WORDS[number] for number in img_text_match.tokens(text)]
    assert " ".join(words).strip() == text
    assert len(words) == img_text_match.LONGEST
    assert img_text_match.caption(np.zeros((8, 10), np.uint8)) == ""


def test_of_equal_embeddings_all_partners_are_the_nearest():
    z = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    assert set(img_text_match.recalls(z, 3 * z).values()) == {1.0}
    opposite = img_text_match.recalls(z, -z, (1, 20))
    assert [opposite[f"picture to text, recall@{k}"] for k in (1, 20)] == [0, 1]


def test_of_random_embeddings_k_in_n_are():
    """Within four standard deviations of a mean over N pairs."""
    random, n = torch.Generator().manual_seed(0), 200
    found = img_text_match.recalls(*torch.randn(2, n, 32, generator=random))
    for name, share in found.items():
        chance = int(name.partition("@")[2]) / n
        assert share == pytest.approx(chance, abs=4 * (chance * (1 - chance) / n) ** 0.5)


def test_the_ranking_loss_is_that_of_triplets_across_the_branches():
    """The mean over triplets that violate the margin of the cosines' difference and it, with cosines by hand."""
    task = img_text_match.Matching()
    seen, said = torch.eye(3)[:2], torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    task.forward = lambda pictures, texts: (seen, said)
    loss = task.training_step([torch.empty(0), torch.empty(0), torch.arange(2)], 0)
    # Pictures: 1 before 0.6, and 0.8 before 0; texts: 1 before 0, and 0.8 before 0.6, by no more than the margin.
    margins = [max(0.2 - gap, 0) for gap in (0.4, 0.8, 1.0, 0.2)]
    assert float(loss) == pytest.approx(sum(margins), abs=1e-6)
    closer = task.ranking(seen, torch.arange(2), ref_emb=said.flip(0), ref_labels=torch.arange(2))
    assert float(closer) == pytest.approx((0.6 + 1.0) / 2, abs=1e-6)


def test_it_runs(capsys):
    found = img_text_match.main(FEW)
    assert len(capsys.readouterr().out.splitlines()) == len(found) == 6
    assert all(0 <= share <= 1 for share in found.values())
    assert found["picture to text, recall@10"] == 1


def test_texts_are_counted():
    """One to three of the kinds, each in one of four corners."""
    kinds = img_text_match.NAMES[1:]
    shown = [some for count in (1, 2, 3) for some in itertools.combinations(kinds, count)]
    assert sum(4 ** len(some) for some in shown) == img_text_match.TEXTS


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("test_pictures", "100000", "from 1 to 184 (half of the 368 texts: the others are rare), not 100000"),
        ("test_pictures", "0", "from 1 to 184"),
        ("pictures", "1", "from 64 to 1000000, not 1"),
    ],
)
def test_what_it_cannot_do_is_refused_at_once(option, value, said, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        img_text_match.main([f"--{option}", value])
    assert f"error: argument --{option}: it is a whole number {said}" in capsys.readouterr().err.splitlines()[-1]

"""Texts: bytes, phrases, and the loss that compares them with queries."""

from __future__ import annotations

import math

import pytest
import torch

from blockyard.heads.oneformer.text import END, LENGTH, START, QueryTexts, contrastive_loss, tokenise


@pytest.mark.parametrize("text", ["", "a photo with a dog", "Straße, 道路", "\x00", "x" * LENGTH])
def test_a_text_can_be_read_again(text: str):
    tokens = tokenise(text)
    assert tokens.shape == (LENGTH,)
    assert tokens[0] == START
    end = int(tokens.argmax())
    assert tokens[end] == END
    assert not tokens[end + 1 :].any()
    assert bytes((tokens[1:end] - 1).tolist()) == text.encode()[: LENGTH - 2]


def test_the_loss_of_equal_vectors_is_that_of_their_number():
    """Of B orthogonal pictures whose texts are their queries, 2 ln(1 + (B - 1) / e^s); of B equal ones, 2 ln B."""
    queries = torch.eye(4, dtype=torch.float64).view(4, 2, 2)
    for scale in (1.0, 10.0):
        loss = contrastive_loss(queries, 3 * queries, torch.tensor(scale))
        assert float(loss) == pytest.approx(2 * math.log(1 + 3 * math.exp(-scale)))
    equal = queries[:1].expand(4, -1, -1)
    assert float(contrastive_loss(equal, equal, torch.tensor(10.0))) == pytest.approx(2 * math.log(4))
    swapped = contrastive_loss(queries, queries.flip(0), torch.tensor(10.0))
    assert float(swapped) == pytest.approx(20, rel=1e-3)  # e^-10 of it is missing


def test_a_picture_has_a_text_for_each_mask_then_its_task_then_what_is_learnt():
    texts = QueryTexts(8, 3, 6, depth=1, contexts=1)
    texts.name_classes(["dog", "traffic light", "fuß"])
    written = ["a photo with a dog", "a photo with a fuß", *["an instance photo"] * 3]
    rows = texts.phrases[texts._rows(torch.tensor([2, 0]), "instance")]
    assert torch.equal(rows, torch.stack([tokenise(text) for text in written]))
    many = texts._rows(torch.tensor([1, 1, 0, 1, 2, 1, 0]), "semantic")
    assert many.tolist() == [0, 0, 1, 1, 1]  # those that there is a query for
    encoded = texts.encode([torch.tensor([2, 0]), torch.tensor([], dtype=torch.long)], ["instance", "panoptic"])
    assert encoded.shape == (2, 6, 8)
    assert torch.equal(encoded[0, -1], encoded[1, -1])
    torch.testing.assert_close(encoded[0, :5], texts.encoder(rows))


def test_queries_are_more_than_contexts():
    with pytest.raises(ValueError, match="contexts=6 must be less than the 6 queries"):
        QueryTexts(8, 3, 6, contexts=6)

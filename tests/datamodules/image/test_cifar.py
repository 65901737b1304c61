"""CIFAR in its published layout, written small."""

import hashlib
import os
import pickle
import pickletools
import shlex
import tarfile

import numpy as np
import pytest
import torch

from blockyard.cli import main
from blockyard.datamodules import CIFAR10, CIFAR100, DataError
from blockyard.publishers.sets import SETS
from blockyard.samples.cifar_like import coloured_digits, divide, python2_pickle, write_cifar_like

CLASSES = {10: CIFAR10, 100: CIFAR100}


def write_cifar_robustness(root, classes):
    """Beside such data ``CIFAR-10-C`` or ``CIFAR-100-C``, and for ten classes ``CIFAR-10.1``."""
    pixels, fine = coloured_digits()
    parts = divide(fine)
    labels = fine // 10 if classes == 10 else fine
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    folder = root / f"CIFAR-{classes}-C"
    folder.mkdir(parents=True, exist_ok=True)
    clean = images[parts["test"]].astype(np.float64)
    strengths = np.arange(1, 6)[:, None, None, None, None] / 6
    corrupted = {"fog": clean + (200 - clean) * strengths, "contrast": clean * (1 - strengths) + 60 * strengths}
    for name, values in corrupted.items():
        np.save(folder / f"{name}.npy", values.reshape(-1, 32, 32, 3).round().astype(np.uint8))
    np.save(folder / "labels.npy", np.tile(labels[parts["test"]], 5).astype(np.uint8))
    if classes == 10:
        new = root / "CIFAR-10.1" / "datasets"
        new.mkdir(parents=True, exist_ok=True)
        for version, rows in (("v4", parts["train"][:60]), ("v6", parts["train"][60:100])):
            np.save(new / f"cifar10.1_{version}_data.npy", images[rows])
            np.save(new / f"cifar10.1_{version}_labels.npy", labels[rows].astype(np.int32))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("cifar")
    for classes in CLASSES:
        write_cifar_like(root, classes)
    return root


@pytest.fixture(params=CLASSES)
def data(request, root):
    return CLASSES[request.param](root, val_size=100, verify=False, batch_size=16, num_workers=0)


def test_counts_that_are_not_the_published_ones_are_reported(data):
    with pytest.warns(UserWarning, match=r"CIFAR-100?: 309 test samples, not 100"):
        data.setup("test")


def test_splits_are_disjoint_and_stratified(data):
    train, val, test = (data.split(name) for name in ("train", "val", "test"))
    assert len(train) + len(val) + len(test) == 1797
    assert len(set(train.names) | set(val.names) | set(test.names)) == 1797
    assert np.bincount(val.targets).tolist() == [100 // data.num_classes] * data.num_classes


def test_labels_and_colours_belong_to_pictures(data, class_means):
    """Chance is 0.1 and 0.01; wrong channel order or coarse labels would spoil the hues."""
    assert class_means(data) > (0.6 if data.num_classes == 10 else 0.5)
    assert len(data.classes) == data.num_classes
    assert data.classes[1].startswith("digit 1" if data.num_classes == 10 else "digit 0 hue 1")


def test_channels_are_planes_of_the_row(root):
    content = pickle.loads((root / "cifar-100-python" / "test").read_bytes(), encoding="latin1")
    image = CIFAR100(root, verify=False).load("test").images[0]
    assert np.array_equal(image[..., 0].ravel(), content["data"][0, :1024])
    assert np.array_equal(image[..., 2].ravel(), content["data"][0, 2048:])


def test_training_crops_keep_the_size_and_add_black_borders(data):
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == (16, 3, 32, 32)
    assert batch["target"].max() < data.num_classes
    assert next(iter(data.predict_dataloader())).keys() == {"input", "index"}


def test_val_size_0_trains_on_everything(root):
    data = CIFAR10(root, val_size=0, verify=False)
    with pytest.warns(UserWarning, match="samples, not"):
        assert len(data.split("val")) == 0
    assert data.val_dataloader() == []
    assert len(data.split("train")) + len(data.split("test")) == 1797


def test_shape_and_number_of_classes_need_no_files():
    data = CIFAR100("nowhere")
    assert (data.num_classes, data.in_channels, data.input_shape) == (100, 3, (3, 32, 32))


def test_the_writer_pickles_as_python_2_did(root):
    """The published files hold byte strings and name NumPy's old module."""
    opcodes = list(pickletools.genops((root / "cifar-10-batches-py" / "data_batch_1").read_bytes()))
    names = {opcode.name for opcode, _, _ in opcodes}
    assert "BINSTRING" in names
    assert not names & {"BINUNICODE", "SHORT_BINUNICODE", "BINBYTES"}
    assert "numpy.core.multiarray _reconstruct" in {argument for _, argument, _ in opcodes}


def test_missing_data_says_what_to_fetch(tmp_path, one_line):
    with pytest.raises(DataError) as error:
        CIFAR10(tmp_path).setup("fit")
    one_line(error, tmp_path / "cifar-10-batches-py", "cs.toronto.edu/~kriz/cifar.html", "cifar-10-python.tar.gz")


def test_an_archive_that_was_not_unpacked_is_noticed(root, tmp_path, one_line, monkeypatch):
    archive = tmp_path / "cifar-100-python.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(root / "cifar-100-python", "cifar-100-python")
    with pytest.raises(DataError) as error:
        CIFAR100(tmp_path).setup("test")
    one_line(error, archive, "is not the published archive")
    (published,) = SETS["cifar100"].archives
    known = published._replace(digest=("md5", hashlib.md5(archive.read_bytes()).hexdigest()))
    monkeypatch.setitem(SETS, "cifar100", SETS["cifar100"]._replace(archives=(known,)))
    with pytest.raises(DataError) as error:
        CIFAR100(tmp_path).setup("test")
    one_line(error, f"with: blockyard fetch cifar100 --root {tmp_path}")
    assert main(shlex.split(str(error.value).partition("with: blockyard ")[2])) == 0
    assert len(CIFAR100(tmp_path, verify=False).load("test")) > 0


def test_other_data_is_refused_unless_asked_for(root, one_line):
    with pytest.raises(DataError) as error:
        CIFAR10(root).setup("fit")
    one_line(error, "data_batch_1", "not the published file", CIFAR10.md5["data_batch_1"], "verify=False")


def test_published_counts_are_required_even_of_files_with_the_right_checksum(root, monkeypatch, one_line):
    folder = root / "cifar-10-batches-py"
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(CIFAR10, "md5", sums)
    with pytest.raises(DataError) as error:
        CIFAR10(root).setup("test")
    one_line(error, "test samples, not 1000 of each of the 10 classes")


class Malicious:
    def __reduce__(self):
        return os.system, ("touch owned",)


DAMAGE = {
    "malicious": lambda good: pickle.dumps(Malicious(), protocol=2),
    "malicious inside": lambda good: pickle.dumps({"data": Malicious()}),
    "numpy's own loader": lambda good: b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
    "truncated": lambda good: good[: len(good) // 2],
    "empty": lambda good: b"",
    "noise": lambda good: bytes(range(256)),
    "wrong width": lambda good: python2_pickle(
        {"data": np.zeros((1, 3), np.uint8), "fine_labels": [0], "filenames": ["a"]}
    ),
    "label out of range": lambda good: python2_pickle(
        {"data": np.zeros((1, 3072), np.uint8), "fine_labels": [100], "filenames": ["a"]}
    ),
    "lengths": lambda good: python2_pickle(
        {"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0], "filenames": ["a"]}
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_and_malicious_files_are_refused(root, tmp_path, monkeypatch, one_line, damage):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    good = (root / "cifar-100-python" / "test").read_bytes()
    (folder / "test").write_bytes(DAMAGE[damage](good))
    with pytest.raises(DataError) as error:
        CIFAR100(tmp_path, verify=False).setup("test")
    one_line(error, folder / "test", "damaged", "cifar-100-python.tar.gz")
    assert not (tmp_path / "owned").exists()


def test_val_size_must_divide():
    with pytest.raises(ValueError, match="val_size=5001 must be a multiple of the 10 classes"):
        CIFAR10(val_size=5001)


def test_hyperparameters_are_plain_values(root, tmp_path):
    torch.save(dict(CIFAR10(root).hparams), tmp_path / "hparams.pt")
    assert torch.load(tmp_path / "hparams.pt", weights_only=True)["root"] == str(root)


class TestOtherTestSets:
    """What a trained network is tried on besides the 10,000: CIFAR-10-C and CIFAR-10.1."""

    @pytest.fixture(scope="class")
    def root(self, tmp_path_factory):
        root = tmp_path_factory.mktemp("robustness")
        for classes in CLASSES:
            write_cifar_like(root, classes)
            write_cifar_robustness(root, classes)
        return root

    @pytest.fixture
    def build(self, root):
        return lambda size=10, **options: CLASSES[size](
            root, val_size=100, verify=False, num_workers=0, **{"batch_size": 16, **options}
        )

    @pytest.mark.parametrize("size", CLASSES)
    def test_severities_are_the_test_pictures_one_after_the_other(self, build, size):
        clean, every = build(size).split("test"), build(size, corruption="contrast").split("test")
        assert len(every) == 5 * len(clean)
        assert np.array_equal(every.targets, np.tile(clean.targets, 5))
        spreads = []
        for severity in range(1, 6):
            one = build(size, corruption="contrast", severity=severity).split("test")
            assert np.array_equal(one.targets, clean.targets)
            assert list(one.names) == every.names[(severity - 1) * len(clean) : severity * len(clean)]
            fade = clean.images.astype(float) * (1 - severity / 6) + 60 * severity / 6
            assert np.abs(one.images - fade).max() <= 0.5 + 1e-9  # rounded
            spreads.append(one.images.std())
        assert spreads == sorted(spreads, reverse=True)

    def test_cifar_10_1(self, build, root):
        for version, count in (("v4", 60), ("v6", 40)):
            split = build(version=version).split("test")
            assert len(split) == len(split.targets) == count
            assert split.names[0] == f"{version}/0000"
        assert build(version="v6").split("predict").targets is None
        assert not (root / "CIFAR-10.1" / "cifar10.1_v4_data.npy").exists(), "read as the repository has it"

    def test_training_is_as_before(self, build):
        plain, other = build().split("train"), build(corruption="fog", severity=2).split("train")
        assert np.array_equal(plain.images, other.images)

    def test_they_are_options_of_evaluation(self):
        assert {"corruption", "severity", "version"} <= set(CIFAR10.evaluation_options)

    def test_published_counts(self, root, one_line):
        for options, expected in (
            ({"corruption": "fog"}, "309 pictures a severity, not 10,000 as published"),
            ({"version": "v6"}, "40 pictures, not 2,000 as published"),
        ):
            with pytest.raises(DataError) as error:
                CIFAR10(root, **options).split("test")
            one_line(error, expected, "verify=False")

    @pytest.mark.parametrize(
        ("array", "expected"),
        [
            (np.zeros((10, 32, 32, 3), np.float32), "uint8 (n, 32, 32, 3) expected, got float32"),
            (np.zeros((9, 32, 32, 3), np.uint8), "whole numbers expected"),
            (np.array([{}], dtype=object), "is damaged"),  # a pickle, which could run anything
        ],
    )
    def test_arrays_are_not_trusted(self, tmp_path, one_line, array, expected):
        (tmp_path / "CIFAR-10-C").mkdir()
        np.save(tmp_path / "CIFAR-10-C" / "fog.npy", array, allow_pickle=True)
        np.save(tmp_path / "CIFAR-10-C" / "labels.npy", np.zeros(10, np.uint8))
        with pytest.raises(DataError) as error:
            CIFAR10(tmp_path, verify=False, corruption="fog").split("test")
        one_line(error, tmp_path, expected)

    def test_labels_must_be_of_the_classes_and_of_five_severities(self, tmp_path, one_line):
        (tmp_path / "CIFAR-10-C").mkdir()
        np.save(tmp_path / "CIFAR-10-C" / "fog.npy", np.zeros((11, 32, 32, 3), np.uint8))
        for labels, expected in ((np.full(11, 10), "not one of 0 to 9"), (np.zeros(11, int), "of five severities")):
            np.save(tmp_path / "CIFAR-10-C" / "labels.npy", labels)
            with pytest.raises(DataError) as error:
                CIFAR10(tmp_path, verify=False, corruption="fog").split("test")
            one_line(error, expected)

    def test_where_to_get_them(self, build, one_line):
        with pytest.raises(DataError) as error:
            build(corruption="snow").split("test")
        one_line(error, "snow.npy is missing", "github.com/hendrycks/robustness")

    @pytest.mark.parametrize(
        ("size", "options", "expected"),
        [
            (10, {"corruption": "rain"}, "no corruption rain; "),
            (10, {"severity": 1}, "of a corruption"),
            (10, {"version": "v5"}, "must be v4 or v6"),
            (100, {"version": "v6"}, "of CIFAR-10.1"),
            (10, {"version": "v6", "corruption": "fog"}, "without a corruption"),
        ],
    )
    def test_mistakes(self, build, size, options, expected):
        with pytest.raises(ValueError, match=expected):
            build(size, **options)


def test_policies_and_erasing_come_on_top(root):
    plain = CIFAR10(root, val_size=100, verify=False)
    more = CIFAR10(root, val_size=100, verify=False, auto_augment="rand-m9-n2-inc1", erasing=1.0)
    kinds = [type(step).__name__ for step in more.split("train").transform]
    assert kinds == [*(type(step).__name__ for step in plain.split("train").transform), "Policy", "Erasing"]
    assert more.split("test").transform is None

"""What data modules of person re-identification share: splits, clips, augmentation, batches, resuming."""

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from blockyard.datamodules.loading import TrainSampler
from blockyard.datamodules.reid.identity_sampler import IdentitySampler
from blockyard.datamodules.reid.market1501 import Market1501
from blockyard.datamodules.reid.mars import MARS
from blockyard.datamodules.reid.prid2011 import PRID2011
from blockyard.mistakes import DataError
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians

pytestmark = pytest.mark.filterwarnings("ignore:.*as published")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    for layout in ("market1501", "mars"):
        write_tiny_pedestrians(root, layout, people=16)
    return root


def small(kind, root, **options):
    few = {"size": (32, 16), "pad": 2, "batch_size": 8, "instances": 4, "val_identities": 2, "num_workers": 0}
    return kind(root, **{"verify": False, **few, **options})


def test_batches_of_pictures(root):
    data = small(Market1501, root)
    assert data.input_shape == (3, 32, 16)
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == (8, 3, 32, 16)
    assert batch["input"].dtype == torch.float32
    assert sorted(np.bincount(batch["target"]).tolist())[-2:] == [4, 4]
    train = data.split("train")
    assert batch["target"].tolist() == train.identities[batch["index"]].tolist()
    assert batch["camera"].tolist() == train.cameras[batch["index"]].tolist()


def test_batches_of_clips(root):
    data = small(MARS, root, frames=3)
    assert data.input_shape == (3, 3, 32, 16)
    assert next(iter(data.train_dataloader()))["input"].shape == (8, 3, 3, 32, 16)


def test_tests_say_identities_as_the_data_set_numbers_them(root):
    data = small(Market1501, root)
    test = data.split("test")
    for batch in data.test_dataloader():
        assert batch["target"].tolist() == test.identities[batch["index"]].tolist()
        assert batch["camera"].tolist() == test.cameras[batch["index"]].tolist()


def test_pixels_are_read_resized_and_normalised(root):
    data = small(Market1501, root, size=(64, 32))
    test = data.split("test")
    batch = next(iter(data.test_dataloader()))
    with Image.open(test.sightings.frames[0][0]) as picture:
        expected = np.asarray(picture.resize((32, 64), Image.Resampling.BILINEAR), dtype=np.float64) / 255
    expected = (expected - data.mean) / data.std
    # Pillow and OpenCV round to whole grey levels on their own: 1 / (255 · 0.224) is one of them.
    assert np.abs(batch["input"][0].numpy().transpose(1, 2, 0) - expected).max() < 1.01 / (255 * 0.224)
    assert test.picture(0).shape == (64, 32, 3)


def test_the_last_training_identities_are_held_out(root):
    data = small(Market1501, root, val_identities=3)
    val = data.split("val")
    assert data.classes == ["1", "2", "3", "4", "5"]
    assert sorted(set(val.identities.tolist())) == [6, 7, 8]
    asked = list(zip(val.identities[val.query].tolist(), val.cameras[val.query].tolist(), strict=True))
    assert asked == [(person, camera) for person in (6, 7, 8) for camera in (0, 5)]
    assert sorted([*val.query.tolist(), *val.gallery.tolist()]) == list(range(12))


def test_by_default_a_tenth_is_held_out_and_at_least_two(root):
    data = small(Market1501, root, val_identities=None)
    assert len(set(data.split("val").identities.tolist())) == 2


def test_without_validation_all_are_trained_on(root):
    data = small(Market1501, root, val_identities=0)
    assert data.num_classes == 8
    assert data.val_dataloader() == []


def test_too_many_held_out_are_refused(root, one_line):
    with pytest.raises(DataError) as error:
        small(Market1501, root, val_identities=7).split("train")
    one_line(error, "7 of 8 training identities can't be held out")


def test_two_cameras_are_validated_as_they_are_tested(tmp_path):
    val = small(PRID2011, write_tiny_pedestrians(tmp_path, "prid2011", people=8)).split("val")
    assert val.cameras[val.query].tolist() == [0, 0]
    assert val.cameras[val.gallery].tolist() == [1, 1]


def test_a_dense_test_shows_every_frame_of_every_tracklet_once(root):
    split = small(MARS, root, frames=2, stride=1).split("test")
    lengths = [len(frames) for frames in split.sightings.frames]
    assert np.bincount(split.owner).tolist() == [-(-length // 2) for length in lengths]
    for position, length in enumerate(lengths):
        clips = [split[item]["input"] for item in np.flatnonzero(split.owner == position)]
        shown = np.concatenate(clips)[:length]
        assert (shown == split.read(position, range(length))).all()


@pytest.mark.parametrize("sampling", ["restricted", "evenly"])
def test_other_tests_show_one_clip(root, sampling):
    split = small(MARS, root, frames=2, sampling=sampling).split("test")
    assert split.owner.tolist() == list(range(len(split.names)))


def test_the_frames_of_a_clip_are_augmented_alike(root):
    split = small(MARS, root, pad=5, erase=1.0, size=(40, 20)).split("train")
    still = np.repeat(np.random.default_rng(0).integers(0, 256, size=(1, 40, 20, 3), dtype=np.uint8), 4, axis=0)
    results = [split.transform(images=still)["images"] for _ in range(20)]
    assert all((result == result[:1]).all() for result in results)
    assert len({result.tobytes() for result in results}) == 20


def test_what_is_erased_is_grey_as_the_mean(root):
    data = small(Market1501, root, flip=False, pad=0, erase=1.0)
    split = data.split("train")
    white = split.transform(images=np.full((1, 32, 16, 3), 255, np.uint8))["images"]
    erased = (white != 255).any(-1)
    assert 0.01 < erased.mean() < 0.45
    batch = split.collate([{"input": white, "index": 0}])
    # The mean is rounded to a whole grey level.
    assert batch["input"].movedim(1, -1)[torch.from_numpy(erased)].abs().max() < 0.51 / (255 * 0.224)


def test_without_augmentation_training_pictures_are_as_they_are(root):
    split = small(Market1501, root, flip=False, pad=0, erase=0.0).split("train")
    assert (split[3]["input"][0] == split.picture(3)).all()


def test_instances_choose_the_sampler(root):
    assert type(small(Market1501, root).train_dataloader().sampler) is IdentitySampler
    assert type(small(Market1501, root, instances=None).train_dataloader().sampler) is TrainSampler


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"instances": 3}, "instances=3 must be positive and divide batch_size=8"),
        ({"val_identities": 1}, "val_identities=1 must be 0 or at least 2"),
        ({"erase": 2.0}, "erase=2.0 from 0 to 1"),
        ({"frames": 0}, "frames=0 and stride=8 must be positive"),
        ({"sampling": "dens"}, "no sampling 'dens'; did you mean dense"),
        ({"train_sampling": "all"}, "no sampling 'all'"),
    ],
)
def test_options_out_of_range_are_refused(root, options, problem):
    with pytest.raises(ValueError, match=problem):
        small(MARS, root, **options)


def test_damaged_pictures_are_found_in_any_frame(root, tmp_path):
    write_tiny_pedestrians(tmp_path, "mars")
    (tmp_path / "mars/bbox_test/0005/0005C1T0001F003.jpg").write_bytes(b"no picture")
    problems = list(small(MARS, tmp_path).check("test"))
    assert [name for name, _ in problems] == ["bbox_test/0005C1T0001F001"]
    assert "0005C1T0001F003.jpg: damaged" in problems[0][1]


class Watcher(LightningModule):
    """Keeps the pixels and indices of what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.trained = []

    def training_step(self, batch, batch_idx):
        self.trained.append((batch["index"].tolist(), batch["input"].sum().item()))
        return self.weight * batch["input"].sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0)


def fit(data, folder, steps=8, checkpoint=None):
    """What was trained on; a checkpoint of every step is left in the folder."""
    model = Watcher()
    every = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "limit_val_batches": 0}
    trainer = Trainer(accelerator="cpu", max_steps=steps, callbacks=[every], **quiet)
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return model.trained


def test_a_run_resumed_in_the_middle_of_an_epoch_goes_on_with_the_next_batch(root, tmp_path):
    whole = fit(small(MARS, root, seed=1), tmp_path)
    assert len(small(MARS, root).train_dataloader()) == 3
    for step in (2, 3, 4):
        resumed = fit(small(MARS, root, num_workers=step % 2), tmp_path / "again", 8, tmp_path / f"step={step}.ckpt")
        assert whole[:step] + resumed == whole
    with pytest.raises(ValueError, match="instances=4 then and 2 now"):
        fit(small(MARS, root, seed=1, instances=2), tmp_path, 8, tmp_path / "step=2.ckpt")


def test_each_epoch_has_batches_of_its_own(root, tmp_path):
    trained = [index for index, _ in fit(small(MARS, root, seed=1), tmp_path, 6)]
    assert trained[:3] != trained[3:]

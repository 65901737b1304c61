"""Folders of plugged networks: the same network comes out, and a strange folder can do nothing else."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import timm
import torch

from blockyard import hub, plug
from blockyard.blocks import SpectralNonlocal
from blockyard.commands.export import export
from blockyard.hub import build, from_checkpoint, load_pretrained, push_to_hub, save_pretrained
from blockyard.portable import Card

CHECKPOINT = Path(__file__).parent / "checkpoints" / "digits-snl.ckpt"


def described(task: str, shape: tuple[int, ...] = (3, 64, 64), classes: int = 4, **arguments) -> Card:
    return Card(task, classes, shape, "…", {"class_path": task, "init_args": arguments})


def backbone(kind: str, /, **options) -> dict:
    return {"class_path": kind, "init_args": options}


SNL = {"class_path": "SpectralNonlocal", "init_args": {"order": 2}}
TASKS = {
    "images": described(
        "ImageClassification", backbone=backbone("TimmBackbone", name="test_resnet"), block=SNL, at="stage3.-1"
    ),
    "videos": described(
        "ActionRecognition",
        (3, 4, 32, 32),
        backbone=backbone("PreResNet", depth=8, spatial_dims=3),
        plugs=[{"class_path": "Plug", "init_args": {"block": SNL, "at": ["stage2.0"], "gate": True}}],
    ),
    "sound": described(
        "AudioClassification",
        (1, 4000),
        backbone=backbone("PreResNet", depth=8),
        front_end={"class_path": "LogMel", "init_args": {"sample_rate": 8000, "n_mels": 16}},
        block=SNL,
        at="stage2.0",
    ),
    "pixels": described(
        "SemanticSegmentation",
        backbone=backbone("TimmFeatures", name="test_resnet"),
        decode_head={"type": "FCNHead", "channels": 16, "num_convs": 1},
        block=SNL,
        at="stage3.-1",
    ),
    "stages": described(
        "ImageClassification",
        backbone=backbone("PreResNet", depth=20),
        plugs=[
            {"class_path": "Plug", "init_args": {"block": "ParallelSum", "at": "stage2", "mode": "around"}},
            {"class_path": "Plug", "init_args": {"block": "SelectiveDepth", "at": "stage3", "mode": "around"}},
        ],
    ),
    "people": described(
        "PersonReID",
        (3, 64, 32),
        backbone=backbone("TimmBackbone", name="test_resnet", last_stride=1),
        block=SNL,
        at="stage3.-1",
    ),
}


def stir(network: torch.nn.Module) -> torch.nn.Module:
    """Move all weights and statistics, so that nothing is as it was made."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.01 * torch.rand_like(tensor))
    return network.eval()


@pytest.mark.parametrize("card", TASKS.values(), ids=TASKS.keys())
def test_every_task_comes_back_bit_for_bit(card, tmp_path):
    whole = build(card)
    stir(whole.network)
    save_pretrained(whole, tmp_path / "net")
    again = load_pretrained(tmp_path / "net")
    x = torch.rand(2, *card.input_shape)
    assert torch.equal(again(x), whole(x))
    assert again.card == card
    assert not again.training
    assert not torch.equal(build(card)(x), whole(x))


@pytest.mark.slow
@pytest.mark.parametrize("card", TASKS.values(), ids=TASKS.keys())
def test_every_task_exports_with_any_batch_and_size(card):
    whole = build(card)
    stir(whole.network)
    _, (signature, compared, *_) = export(whole, "torch")
    assert "can't change" not in signature
    assert "compared by torch.export" in compared


def test_a_checkpoint_becomes_a_folder_without_pickles(tmp_path):
    whole = from_checkpoint(CHECKPOINT)
    folder = save_pretrained(whole, tmp_path / "net")
    names = ["README.md", "config.json", "model.safetensors", "training.yaml"]
    assert sorted(path.name for path in folder.iterdir()) == names
    again = load_pretrained(folder)
    assert again.card.classes == tuple("0123456789")
    assert again.card.run
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(again(x), whole(x))
    assert "load_pretrained" in (folder / "README.md").read_text()
    assert "optimizer" not in (folder / "config.json").read_text()


def test_the_checkpoint_normalises_as_its_data_did():
    from blockyard.datamodules import Digits

    whole, data = from_checkpoint(CHECKPOINT), Digits("8x8")
    split = data.split("test")
    batch = split.collate([split[0], split[1]])
    raw = torch.from_numpy(split.images[:2]).movedim(-1, 1) / 255
    torch.testing.assert_close(whole(raw), whole.network(batch["input"]), rtol=1e-5, atol=1e-6)


def test_a_network_plugged_by_hand_is_saved_with_a_card(tmp_path):
    network = timm.create_model("test_resnet", num_classes=4)
    plug(network, partial(SpectralNonlocal, order=2), "layer3.0", quiet=True)
    stir(network)
    save_pretrained(network, tmp_path, TASKS["images"])
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(load_pretrained(tmp_path)(x), network(x))


def test_a_card_of_another_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the card builds another network"):
        save_pretrained(timm.create_model("test_resnet", num_classes=4), tmp_path / "net", TASKS["images"])
    with pytest.raises(ValueError, match="needs a card"):
        save_pretrained(timm.create_model("test_resnet"), tmp_path / "net")
    assert not (tmp_path / "net").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_pretrained(from_checkpoint(CHECKPOINT), tmp_path_factory.mktemp("saved") / "net")


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "net"))


def change(folder: Path, edit) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


def arguments(config: dict) -> dict:
    return config["model"]["init_args"]


class TestAStrangeFolder:
    @pytest.mark.parametrize(
        ("edit", "expected"),
        [
            (lambda c: arguments(c).update(block={"class_path": "os.system"}), "os.system may not be imported"),
            (lambda c: arguments(c).update(backbone={"class_path": "subprocess.Popen"}), "may not be imported"),
            (lambda c: c["model"].update(class_path="pathlib.Path"), "Path"),
            (lambda c: arguments(c)["backbone"]["init_args"].update(weights="/etc/passwd"), "weights is set"),
            (lambda c: arguments(c).update(trust_config=True), "trust_config is set"),
            (lambda c: arguments(c).update(plugs=[{"block": {"init_args": {"pretrained": True}}}]), "pretrained is"),
            (lambda c: c.update(input_shape=[1, -8, 8]), "input_shape"),
            (lambda c: c.update(input_shape="1x8x8"), "no list"),
            (lambda c: c.update(mean=["a"], std=[1]), "mean"),
            (lambda c: c.update(num_classes="10"), "num_classes"),
            (lambda c: c.update(num_classes=False), "num_classes"),
            (lambda c: c.pop("model"), "model is missing"),
            (lambda c: c.update(num_classes=11, classes=[]), "does not hold the network's weights"),
        ],
    )
    def test_is_answered_by_one_line(self, folder, edit, expected):
        change(folder, edit)
        with pytest.raises(ValueError, match=expected) as error:
            load_pretrained(folder)
        assert "\n" not in str(error.value)

    def test_weights_are_no_pickle(self, folder):
        torch.save({"a": torch.ones(1)}, folder / "model.safetensors")
        with pytest.raises(ValueError, match="does not hold the network's weights"):
            load_pretrained(folder)

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_what_is_missing_is_named(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(ValueError, match=f"{name} is missing"):
            load_pretrained(folder)

    def test_a_damaged_config(self, folder):
        (folder / "config.json").write_text("{")
        with pytest.raises(ValueError, match=r"config\.json is damaged"):
            load_pretrained(folder)


class TestTheHub:
    """The service itself is not asked: its client is told what it would answer."""

    def test_a_repository_is_downloaded_without_anything_else(self, saved, monkeypatch):
        asked = {}

        def download(repository, **options):
            asked.update(options, repository=repository)
            return str(saved)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        assert load_pretrained("someone/net", revision="v1").card.classes == tuple("0123456789")
        assert asked == {
            "repository": "someone/net",
            "revision": "v1",
            "allow_patterns": ["config.json", "model.safetensors"],
        }

    def test_a_name_that_is_none(self, monkeypatch):
        with pytest.raises(ValueError, match="neither a folder nor a repository") as error:
            load_pretrained("no/such/folder")
        assert "\n" not in str(error.value)

    def test_a_folder_is_uploaded(self, saved, monkeypatch):
        calls = []

        class Api:
            def create_repo(self, repository, **options):
                calls.append((repository, options))

            def upload_folder(self, **options):
                calls.append(options)
                return type("Commit", (), {"commit_url": "address"})

        monkeypatch.setattr("huggingface_hub.HfApi", Api)
        assert push_to_hub(saved, "someone/net") == "address"
        assert calls[0] == ("someone/net", {"private": True, "exist_ok": True})
        assert calls[1]["allow_patterns"] == [hub.CONFIG, hub.WEIGHTS, hub.README, "training.yaml"]

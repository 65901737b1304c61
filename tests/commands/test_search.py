"""``blockyard search`` end to end: it goes on where it was stopped, and what it writes is what it judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from blockyard.cli import main
from blockyard.commands import search_jobs
from blockyard.commands.search_candidates import CRITERIA, Candidates
from blockyard.commands.search_file import Found, values_of
from blockyard.commands.search_options import CRITERIA as NAMES
from blockyard.hub import from_checkpoint

pytest.importorskip("torch_pruning")
FIT = (
    "fit --config image_classification/digits.yaml --model.backbone.depth 8 --trainer.max_epochs 1 --data.variant 8x8"
    " --trainer.limit_train_batches 8 --trainer.limit_val_batches 1 --trainer.enable_progress_bar false"
    " --data.num_workers 0 --trainer.default_root_dir whole"
)
WHOLE = "whole/checkpoints/best.ckpt"
FEW = "--samples 64 --calibration 32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(FIT.split()) == 0
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def run(line: str) -> int:
    return main(f"{line} --data.num_workers 0".split())


def content(path: str) -> dict:
    return json.loads(Path(path).read_text())


def test_a_search_that_was_stopped_is_that_which_was_not(monkeypatch):
    line = f"search --ckpt_path {WHOLE} {FEW} --strategy random --budget 4"
    assert run(f"{line} --output whole-search") == 0
    judge, judged = Candidates.judge, []

    def stopping(self, chosen):
        judged.append(chosen)
        if len(judged) == 4:  # the whole network, two candidates, and then
            raise KeyboardInterrupt
        return judge(self, chosen)

    monkeypatch.setattr(Candidates, "judge", stopping)
    assert run(f"{line} --output stopped") == 130
    assert len(content("stopped/random-0.json")["candidates"]) == 2
    assert run(f"{line} --output stopped") == 0
    assert len(judged) == 6
    assert content("stopped/random-0.json") == content("whole-search/random-0.json")


def test_what_it_writes_is_the_network_that_it_judged(capsys):
    assert run(f"search --ckpt_path {WHOLE} {FEW} --shares 0.5 1 --budget 3 --write 1 --output few") == 0
    printed = capsys.readouterr().out
    assert "hypervolume" in printed
    assert Path("few/front.png").stat().st_size > 1000
    found = content("few/random-0.json")
    best = found["candidates"][found["front"][0]]
    (place,) = Path("few").glob("random-0-*/checkpoints/best.ckpt")
    said = yaml.safe_load((place.parents[1] / "config.yaml").read_text())["model"]["init_args"]["pruned"]
    assert (said["criterion"], said["calibration"]) == ("L1", 32)
    network = from_checkpoint(place).network
    assert sum(parameter.numel() for parameter in network.parameters()) == best["parameters"]
    again = f"search --ckpt_path {place} {FEW} --shares 1 --budget 1 --output again"
    assert run(again) == 0
    assert content("again/random-0.json")["whole"] | {"code": best["code"]} == best
    assert run(f"test --ckpt_path {place} --trainer.enable_progress_bar false") == 0


def test_a_network_without_units_that_was_distilled_is_tested_as_it_was_judged(monkeypatch):
    line = f"search --ckpt_path {WHOLE} {FEW} --space units channels --shares 0.5 1 --strategy reinforce --budget 4"
    monkeypatch.setattr(Candidates, "_training_inputs", lambda self, _: self.seen)
    assert run(f"{line} --objectives accuracy parameters --epochs 1 --lr_factor 0.5 --write 9 --output units") == 0
    found = content("units/reinforce-0.json")
    assert found["settings"]["space"][0] == {"name": "units:layer1.0", "values": [False, True]}
    without = [one for one in found["candidates"] if one["code"][0] == 0]
    assert without, "of the first two, one lacks the unit"
    configs = [yaml.safe_load(path.read_text()) for path in Path("units").glob("reinforce-0-*/config.yaml")]
    said = [config["model"]["init_args"]["pruned"] or {} for config in configs]
    assert ["layer1.0"] in [one.get("removed") for one in said]
    for place in Path("units").glob("reinforce-0-*/checkpoints/best.ckpt"):
        assert run(f"search --ckpt_path {place} {FEW} --shares 1 --budget 1 --output {place.parent}") == 0
        again = content(f"{place.parent}/random-0.json")["whole"]
        assert again in [{name: value for name, value in one.items() if name != "code"} for one in found["candidates"]]


def test_processes_judge_as_one_does(monkeypatch):
    """What a process of several does, in this one: it has a network of its own, and says nothing of it."""
    line = f"search --ckpt_path {WHOLE} {FEW} --strategy random --budget 3"
    assert run(f"{line} --output alone") == 0
    begun = []

    class Here:
        def __init__(self, count, context, initializer, arguments):
            assert count == 2
            initializer(*arguments)
            begun.append(search_jobs._candidates)

        def map(self, judge, chosen):
            return map(judge, chosen)

        def shutdown(self, cancel_futures):
            begun.append(cancel_futures)

    monkeypatch.setattr(search_jobs, "ProcessPoolExecutor", Here)
    threads = torch.get_num_threads()
    assert run(f"{line} --jobs 2 --output together") == 0
    torch.set_num_threads(threads)
    assert content("together/random-0.json") == content("alone/random-0.json")
    assert isinstance(begun[0], Candidates)
    assert begun[1] is True


def test_a_quantised_network_is_tested_as_any_other(capsys):
    line = f"search --ckpt_path {WHOLE} {FEW} --space bits --bits 4 --objectives accuracy bytes --budget 1 --write 1"
    assert run(f"{line} --output bits") == 0
    place = "bits/random-0-1/checkpoints/best.ckpt"
    assert place in capsys.readouterr().out
    said = yaml.safe_load(Path("bits/random-0-1/config.yaml").read_text())["model"]["init_args"]["quantised"]
    assert (set(said["bits"].values()), said["calibration"]) == ({4}, 32)
    found = content("bits/random-0.json")
    (judged,) = found["candidates"]
    assert judged["parameters"] == found["whole"]["parameters"]
    assert 1 / 8 < judged["bytes"] / found["whole"]["bytes"] < 1 / 6
    assert run(f"test --ckpt_path {place} --trainer.enable_progress_bar false") == 0
    records = [json.loads(path.read_text()) for path in Path("runs/records").glob("*.json")]
    assert [record["bytes"] for record in records if "bytes" in record] == [judged["bytes"]]
    assert len(torch.load(place)["state_dict"]["network.fc.weight"][0].unique()) <= 15
    assert run(f"search --ckpt_path {place} {FEW} --output bits") == 2
    assert "quantised already; search the network that they come from" in capsys.readouterr().err


def test_a_network_within_an_elastic_one_is_a_checkpoint_of_its_own():
    backbone = "{class_path: ElasticMobileNet, init_args: {widths: [8, 16], depths: 2, kernels: 5, strides: [1, 2],"
    backbone += " gated: [false, true], stem: 8, stem_stride: 1, last: 16, hidden: null}}"
    fit = FIT.replace("--model.backbone.depth 8", "--model.objective ProgressiveShrinking").replace("whole", "elastic")
    fit = fit.replace("batches 8", "batches 2")
    fit = [*fit.split(), "--model.backbone", backbone, "--model.objective.begins", "[0, 0, 0]"]
    assert main([*fit, "--model.objective.depths", "[1]"]) == 0
    line = f"search --ckpt_path elastic/checkpoints/best.ckpt {FEW} --space elastic bits --bits 4 8 --write 1"
    assert run(f"{line} --objectives accuracy bytes --budget 2 --output within") == 0
    found = content("within/random-0.json")
    names = [choice["name"] for choice in found["settings"]["space"]]
    assert names[:3] == ["depth:stage1", "depth:stage2", "kernel:layer1.0"]
    assert {"expansion:layer2.1", "bits:stem.0.0"} <= set(names)
    (place,) = Path("within").glob("random-0-*/checkpoints/best.ckpt")
    said = yaml.safe_load((place.parents[1] / "config.yaml").read_text())
    options = said["model"]["init_args"]
    best = found["candidates"][found["front"][0]]
    chosen = {
        choice["name"]: choice["values"][at]
        for choice, at in zip(found["settings"]["space"], best["code"], strict=True)
    }
    assert options["backbone"]["init_args"]["depths"] == [chosen["depth:stage1"], chosen["depth:stage2"]]
    assert (options["objective"], said["parent"]["by"]) == (None, "ProgressiveShrinking")
    assert run(f"test --ckpt_path {place} --trainer.enable_progress_bar false") == 0
    records = [json.loads(path.read_text()) for path in Path("runs/records").glob("*.json")]
    assert (best["parameters"], best["bytes"]) in [(record["parameters"], record.get("bytes")) for record in records]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--strategy nsga", "there is no nsga; did you mean nsga2?"),
        ("--objectives accuracy mac", "there is no mac; did you mean macs?"),
        ("--objectives macs", "--objectives takes two or more"),
        ("--space channel", "there is no channel; did you mean channels?"),
        ("--budget 0", "--budget 0 must be at least 1"),
        ("--shares 2", "--shares 2 must be above 0, at most 1"),
        ("--bits 9", "9 bits are none of 2, 3"),
        ("--model.prefix [0.5,1]", "leave --model.prefix away"),
        ("--strategy reinforce --objectives macs accuracy", "reinforce earns by accuracy and a cost"),
        ("--lr_factor 0", "--lr_factor 0 must be positive"),
        ("--jobs 2 --objectives accuracy latency", "latency is timed alone"),
        ("--space elastic", "--space elastic is of what --model.objective ProgressiveShrinking trained"),
        ("--space elastic channels", "--space elastic goes with bits alone"),
        ("--output strange", "strange/random-0.json is no file of a search"),
        ("--output other", "other/random-0.json was searched with checkpoint null, not"),
    ],
)
def test_mistakes_are_one_line(capsys, options, said):
    for name, text in (
        ("strange", "[]"),
        ("other", '{"candidates": [], "settings": {}, "whole": {}, "calibration": []}'),
    ):
        Path(name).mkdir(exist_ok=True)
        Path(name, "random-0.json").write_text(text)
    assert run(f"search --ckpt_path {WHOLE} {FEW} {options}") == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error


def test_values_are_errors_and_decades_of_cost():
    whole = {"accuracy": 0.9, "macs": 1000.0}
    judged = [{"accuracy": 0.8, "macs": 10.0}, {"accuracy": 0.1, "macs": 1.0}, {"accuracy": 1.0, "macs": 1000.0}]
    assert values_of(judged[0], whole, ["accuracy", "macs"]) == pytest.approx((0.2, -2))
    found = Found(Path("a.json"), {"objectives": ["accuracy", "macs"], "classes": 10}, whole)
    found.candidates = {(number,): one for number, one in enumerate(judged)}
    assert found.volume == pytest.approx((0.9 - 0.2) * 2)  # one is no better than chance, one as large as the whole
    assert [code for code, _ in found.best] == [(2,), (0,), (1,)]


def test_the_names_on_the_command_line_are_those_of_the_criteria():
    assert {kind.__name__ for kind in CRITERIA.values()} == set(NAMES)

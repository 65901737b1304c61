"""Prefixes of a network train together: their gradients add up, their norms are their own, each is a network alone."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet, SimpleNet
from blockyard.backbones.prefixes import corner, prefix_of
from blockyard.composing.evaluating import evaluated
from blockyard.costs import count_macs, count_parameters
from blockyard.leaderboard.identity import identity
from blockyard.objectives import SortedNet
from blockyard.tasks import ImageClassification, PersonReID
from blockyard.training.bias_loss import BiasLoss

SMALL = partial(PreResNet, depth=20, dropout=0.0, width=8)
PREFIXES = [(0.5, 0.34), (0.5, 1.0), (1.0, 0.34), (1.0, 1.0)]


def grid(drawn: int = 4) -> SortedNet:
    return SortedNet(widths=[0.5, 1.0], depths=[0.34, 1.0], drawn=drawn)


def task(objective, backbone=SMALL, kind=ImageClassification, **options):
    seed_everything(1)
    module = kind(backbone, num_classes=3, input_shape=(1, 8, 8), objective=objective, **{"optimizer": SGD, **options})
    return module.double()


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"input": torch.randn(4, 1, 8, 8).double(), "target": torch.tensor([0, 2, 1, 2])}


def stepped(module) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A step by hand that moves nothing but statistics; the gradients stay."""
    module.optimizers = lambda: SimpleNamespace(zero_grad=module.zero_grad, step=lambda: None)
    module.manual_backward = lambda loss: loss.backward()
    return module.objective.step(module, batch(), 0)


def statistics(network: nn.Module) -> torch.Tensor:
    return torch.cat([b.flatten() for name, b in network.named_buffers() if "running" in name])


def test_the_whole_network_alone_trains_as_without(trained):
    """Bit for bit, dropout and the order of the data included."""
    backbone = partial(PreResNet, depth=8, dropout=0.1)
    plain, whole, two = (
        trained(backbone, each) for each in (None, SortedNet(widths=[1.0], drawn=1), SortedNet(widths=[0.5]))
    )
    assert all(torch.equal(plain[name], whole[name]) for name in plain)
    assert not all(torch.equal(plain[name], two[name]) for name in plain)


class TestGradients:
    def test_are_the_sum_of_those_of_networks_of_their_own(self):
        """A genuinely sliced copy of each, trained alone on the batch; the sums are in another order."""
        module = task(grid(), label_smoothing=0.1)
        parts = [prefix_of(module.network, prefix) for prefix in PREFIXES]
        loss, logged = stepped(module)
        said = partial(F.cross_entropy, target=batch()["target"], label_smoothing=0.1)
        losses = [said(part(batch()["input"])) for part in parts]
        torch.testing.assert_close(list(logged.values()), [each.detach() for each in losses], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(loss, sum(losses).detach())
        sum(losses).backward()
        for name, parameter in module.network.named_parameters():
            expected = torch.zeros_like(parameter)
            for part in parts if "bn" not in name and "shortcut.1" not in name else parts[-1:]:
                for other, own in part.named_parameters():
                    if other == name:
                        corner(expected, own.shape).add_(own.grad)
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-12)

    def test_of_a_step_are_those_of_the_loss(self):
        """So taking them one by one changes nothing, and every parameter that was drawn has one."""
        module = task(grid(), loss=partial(BiasLoss, alpha=0.3, beta=0.3))
        whole = copy.deepcopy(module)
        whole.objective.loss(whole, batch())[0].backward()
        stepped(module)
        for (name, one), other in zip(module.named_parameters(), whole.parameters(), strict=True):
            assert one.grad is not None, name
            torch.testing.assert_close(one.grad, other.grad)

    def test_a_loss_that_is_not_finite_is_no_step(self):
        module = task(grid())
        module.network.fc.bias.data[0] = torch.nan
        module._trainer = SimpleNamespace(current_epoch=0, global_step=0, fit_loop=None)
        with pytest.raises(FloatingPointError, match="before the optimiser step"):
            stepped(module)


class TestNorms:
    def test_are_each_prefix_s_own(self):
        """A step moves the statistics of those that it draws alone."""
        module = task(grid(drawn=1))
        (drawn,) = module.objective.draw(0)
        networks = [*module.objective.networks, module.network]
        before = [statistics(network) for network in networks]
        stepped(module)
        moved = [not torch.equal(old, statistics(new)) for old, new in zip(before, networks, strict=True)]
        assert moved == [number == drawn for number in range(4)]

    def test_hold_nothing_else(self):
        own = {name for name, _ in task(grid()).objective.named_parameters()}
        assert own
        assert all("bn" in name or "shortcut.1" in name for name in own)


class TestDraw:
    def test_is_that_of_the_step(self):
        own = grid(drawn=2)
        draws = [own.draw(step) for step in range(50)]
        assert draws == [grid(drawn=2).draw(step) for step in range(50)]
        assert all(len(set(each)) == 2 for each in draws)
        assert {number for each in draws for number in each} == {0, 1, 2, 3}
        assert draws != [SortedNet([0.5, 1.0], [0.34, 1.0], drawn=2, seed=1).draw(step) for step in range(50)]

    def test_prefixes_are_all_pairs_and_the_whole(self):
        assert grid().prefixes == PREFIXES
        assert SortedNet([0.5], [0.25]).prefixes == [(0.5, 0.25), (1.0, 1.0)]


class TestPrefix:
    @pytest.fixture(scope="class")
    def after_a_step(self):
        module = task(grid())
        stepped(module)
        return module.eval()

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_a_checkpoint_gives_the_network_that_was_trained(self, after_a_step, number):
        prefix = PREFIXES[number]
        alone = task(grid(), prefix=list(prefix)).eval()
        alone.load_state_dict(after_a_step.state_dict())
        expected = after_a_step.objective.networks[number].borrow(after_a_step.network, batch()["input"])[1]
        assert torch.equal(alone(batch()["input"]), expected)
        assert not torch.equal(expected, after_a_step(batch()["input"]))

    def test_costs_are_its_own(self, after_a_step):
        """A quarter of the multiplications of all layers but the first and the last, which see picture and classes."""
        half, whole = task(grid(), prefix=[0.5, 1.0]).network.float(), after_a_step.network
        assert count_parameters(half) == count_parameters(PreResNet(3, 1, depth=20, width=4))
        ends = 64 * 8 * 9 + 32 * 3
        macs = count_macs(copy.deepcopy(whole).float(), (1, 8, 8))
        assert count_macs(half, (1, 8, 8)) == (macs - ends) // 4 + ends // 2

    def test_is_a_row_of_its_own(self):
        kind = {"class_path": "ImageClassification", "init_args": {"objective": {"class_path": "SortedNet"}}}
        saved = {"seed_everything": 1, "model": kind, "data": {"class_path": "Digits"}}
        rows = [saved]
        for prefix in (None, [0.5, 1.0], [0.5, 0.34]):
            now = copy.deepcopy(saved)
            now["model"]["init_args"]["prefix"] = prefix
            options = [("model", option) for option in ImageClassification.evaluation_options]
            rows.append(evaluated(saved, now, options))
        first, same, *others = (identity(row).experiment for row in rows)
        assert first == same
        assert len({first, *others}) == 3

    def test_a_card_without_the_objective_builds_it(self):
        assert task(None, prefix=[0.5, 0.34]).network.stages == prefix_of(SMALL(3, 1), (0.5, 0.34)).stages

    @pytest.mark.parametrize(
        ("prefix", "said"),
        [
            ([0.3, 1.0], "prefix [0.3, 1.0] was not trained: there are [0.5, 0.34], [0.5, 1.0], [1.0, 0.34]"),
            ([1.0, 1.0], "prefix [1, 1] is the whole network: leave prefix at null"),
        ],
    )
    def test_others_are_refused(self, prefix, said, one_line):
        with pytest.raises(ValueError, match="prefix") as refusal:
            task(grid(), prefix=prefix)
        one_line(refusal, said)

    @pytest.mark.parametrize(("objective", "stage"), [(grid(), "fit"), (None, "test")])
    def test_is_for_tests_of_what_was_trained(self, objective, stage, one_line):
        with pytest.raises(ValueError, match=r"what --model\.objective SortedNet trained") as refusal:
            task(objective, prefix=[0.5, 1.0]).setup(stage)
        one_line(refusal)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"widths": [0.0]}, "widths and depths are above 0 and up to 1"),
            ({"depths": [1.5]}, "widths and depths are above 0 and up to 1"),
            ({"drawn": 5}, "drawn=5 of 4 prefixes"),
            ({"drawn": 0}, "drawn=0 of 4 prefixes"),
            ({"widths": [0.5, 0.51]}, "prefixes [0.5, 1.0] and [0.51, 1.0] are the same network"),
            ({"widths": [0.99]}, "prefixes [1.0, 1.0] and [0.99, 1.0] are the same network"),
        ],
    )
    def test_what_makes_no_prefixes(self, options, said, one_line):
        with pytest.raises(ValueError, match="objective: SortedNet") as refusal:
            task(SortedNet(**options))
        one_line(refusal, said)

    def test_other_networks(self, one_line):
        with pytest.raises(ValueError, match="SimpleNet has none") as refusal:
            task(SortedNet(), SimpleNet)
        one_line(refusal)

    def test_a_compiled_network(self, one_line):
        module = task(grid(), compile="eager")
        with pytest.raises(ValueError, match="leave compile at null") as refusal:
            module.objective.loss(module, batch())
        one_line(refusal)

    def test_a_task_without_labels(self, one_line):
        with pytest.raises(ValueError, match="a classification's labels, which PersonReID has not") as refusal:
            PersonReID(SMALL, num_classes=3, input_shape=(3, 16, 8), objective=grid(), optimizer=SGD)
        one_line(refusal)


def test_the_network_has_no_trace_of_it():
    plain, module = task(None), task(grid())
    weights = plain.network.state_dict()
    assert all(torch.equal(weights[name], p) for name, p in module.network.state_dict().items())
    assert module.network.state_dict().keys() == weights.keys()

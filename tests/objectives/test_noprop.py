"""Blocks learn apart: none has a gradient of another one's loss, and what each is given is noise in closed form."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import seed_everything
from torch.nn import functional as F
from torch.optim import SGD, AdamW

from blockyard.backbones import LabelDenoiser, PreResNet
from blockyard.backbones.label_noise import cosine, divergence, noised, ratio
from blockyard.objectives import NoProp
from blockyard.tasks import ImageClassification, PersonReID

TINY = partial(PreResNet, depth=8, width=2, dropout=0.0)


def task(form="discrete", steps=3, objective=None, **options) -> ImageClassification:
    seed_everything(1)
    backbone = partial(LabelDenoiser, encoder=TINY, form=form, steps=steps, hidden=16, **options)
    own = objective or NoProp()
    return ImageClassification(backbone, 3, (1, 8, 8), objective=own, optimizer=SGD)


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"input": torch.randn(4, 1, 8, 8), "target": torch.tensor([0, 2, 1, 2])}


class TestLoss:
    @pytest.mark.parametrize("embedding", ["one_hot", "learned"])
    def test_of_a_block_has_no_gradient_in_another(self, embedding):
        module = task(embedding=embedding)
        _, logged = module.objective.loss(module, batch())
        for number in range(3):
            module.zero_grad()
            logged[f"block{number + 1}_loss"].backward(retain_graph=True)
            reached = {
                name.split(".")[1] for name, p in module.network.blocks.named_parameters("b") if p.grad is not None
            }
            assert reached == {str(number)}

    def test_of_blocks_is_the_sum_that_it_says(self):
        module = task(objective=NoProp(weight=0.5))
        network, given = module.network.eval(), batch()
        torch.manual_seed(3)
        loss, _ = module.objective.loss(module, given)
        torch.manual_seed(3)
        clean, kept, expected = torch.eye(3)[given["target"]], cosine(3).float(), 0.0
        for number in range(3):
            z = noised(clean, kept[number], torch.randn(4, 3))
            vectors = network.blocks[number].encoder(given["input"])[-1].mean((2, 3))
            error = (network.blocks[number](vectors, z).softmax(1) - clean).square().sum(1).mean()
            expected = expected + 0.25 * (ratio(kept)[number + 1] - ratio(kept)[number]) * error
        said = F.cross_entropy(network.fc(noised(clean, kept[3], torch.randn(4, 3))), given["target"])
        torch.testing.assert_close(loss, expected + said + divergence(clean, kept[0]).mean())

    def test_of_a_velocity_is_the_sum_that_it_says(self):
        module = task("flow")
        network, given = module.network.eval(), batch()
        torch.manual_seed(3)
        loss, _ = module.objective.loss(module, given)
        torch.manual_seed(3)
        clean, time, start = torch.eye(3)[given["target"]], torch.rand(4, 1), torch.randn(4, 3)
        z = (1 - time) * start + time * clean
        velocity = network.blocks[0](network.blocks[0].encoder(given["input"])[-1].mean((2, 3)), z, time[:, 0])
        said = F.cross_entropy(network.fc(z + (1 - time) * velocity), given["target"])
        torch.testing.assert_close(loss, (velocity - clean + start).square().sum(1).mean() + said)

    @pytest.mark.parametrize("form", ["discrete", "continuous", "flow"])
    @pytest.mark.parametrize("embedding", ["one_hot", "learned"])
    def test_every_parameter_gets_a_gradient(self, form, embedding):
        """For which several processes wait."""
        module = task(form, embedding=embedding)
        loss, _ = module.objective.loss(module, batch())
        loss.backward()
        assert [name for name, p in module.named_parameters() if p.grad is None] == []

    def test_one_block_learns_from_noise_alone(self):
        """T = 1: what it is given does not depend on the label."""
        module, given = task(steps=1), batch()
        seen = []
        module.network.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[1]))
        for target in (given["target"], given["target"].flip(0)):
            torch.manual_seed(3)
            module.objective.loss(module, given | {"target": target})
        assert torch.equal(*seen)


@pytest.mark.parametrize("form", ["discrete", "continuous", "flow"])
def test_steps_from_noise_end_at_what_was_learned(form):
    """On three pictures that differ plainly: a class for each corner that is bright, told with no label given."""
    module = task(form, steps=2)
    target = torch.arange(12) % 3
    x = torch.zeros(12, 1, 8, 8)
    x[target == 0, :, :4, :4], x[target == 1, :, 4:, 4:] = 3.0, -3.0
    optimizer = AdamW(module.parameters(), lr=0.01)
    for _ in range(60):
        loss, _ = module.objective.loss(module, {"input": x, "target": target})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(module.eval()(x).argmax(1), target)


class TestRefused:
    def test_a_weight_of_nothing(self, one_line):
        with pytest.raises(ValueError, match="weight=0 must be positive") as refusal:
            NoProp(0)
        one_line(refusal)

    def test_networks_without_such_blocks(self, one_line):
        with pytest.raises(ValueError, match="NoProp trains LabelDenoiser, got PreResNet") as refusal:
            ImageClassification(TINY, 3, (1, 8, 8), objective=NoProp(), optimizer=SGD)
        one_line(refusal, "--model.backbone LabelDenoiser --model.backbone.encoder PreResNet")

    def test_options_of_the_task_s_own_loss(self, one_line):
        backbone = partial(LabelDenoiser, encoder=TINY)
        with pytest.raises(ValueError, match="leave label_smoothing at") as refusal:
            ImageClassification(backbone, 3, (1, 8, 8), objective=NoProp(), optimizer=SGD, label_smoothing=0.1)
        one_line(refusal)

    def test_a_task_without_labels(self, one_line):
        with pytest.raises(ValueError, match="which PersonReID has not") as refusal:
            PersonReID(TINY, num_classes=3, input_shape=(3, 16, 8), objective=NoProp(), optimizer=SGD)
        one_line(refusal)


@pytest.mark.parametrize("embedding", ["one_hot", "learned"])
@pytest.mark.parametrize("form", ["discrete", "continuous", "flow"])
def test_a_step_takes_the_gradients_of_the_sum(form, embedding):
    """Of each block as soon as it has run; learned embeddings, which all share, add up."""
    whole, stepped = (task(form, embedding=embedding) for _ in range(2))
    torch.manual_seed(3)
    whole.objective.loss(whole, batch())[0].backward()
    torch.manual_seed(3)
    stepped.optimizers = lambda: SimpleNamespace(zero_grad=stepped.zero_grad, step=lambda: None)
    stepped.manual_backward = lambda loss: loss.backward()
    stepped._trainer = SimpleNamespace()
    stepped.objective.step(stepped, batch(), 0)
    for expected, found in zip(whole.parameters(), stepped.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)

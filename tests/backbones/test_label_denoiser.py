"""The noise of labels in closed form, and what steps make of it where blocks know the label."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from blockyard.backbones import LabelDenoiser, PreResNet
from blockyard.backbones.label_noise import cosine, divergence, log_linear, noised, ratio, transition

TINY = partial(PreResNet, depth=8, width=2, dropout=0.0)
FORMS = ("discrete", "continuous", "flow")


def network(form: str, steps: int = 4, **options) -> LabelDenoiser:
    torch.manual_seed(1)
    return LabelDenoiser(3, 1, TINY, form, steps, hidden=8, **options).double().eval()


class TestNoise:
    @pytest.mark.parametrize("steps", [1, 2, 10, 1000])
    def test_falls_from_all_to_almost_none(self, steps):
        kept = cosine(steps)
        assert kept[0] == 0
        assert 0.999 < kept[-1] < 1
        assert (ratio(kept).diff() > 0).all()

    @pytest.mark.parametrize("steps", [1, 2, 10])
    def test_steps_lead_from_each_marginal_to_the_next(self, steps):
        """Of a u + b z + √c ε with z of mean √ᾱ u and variance 1 - ᾱ."""
        kept = cosine(steps)
        before, after = kept[:-1], kept[1:]
        a, b, c = transition(before, after)
        torch.testing.assert_close(a + b * before.sqrt(), after.sqrt())
        torch.testing.assert_close(b.square() * (1 - before) + c, 1 - after)
        assert (c >= 0).all()

    def test_steps_are_the_product_of_both_gaussians(self):
        """q(z_t | z_{t-1}, u) by Bayes: precisions add up, means are weighted by them."""
        before, after = cosine(10)[3:5]
        a, b, c = transition(before, after)
        step = before / after  # z_{t-1} = √step z_t + √(1 - step) ε
        precision = 1 / (1 - after) + step / (1 - step)
        torch.testing.assert_close(c, 1 / precision)
        torch.testing.assert_close(a, c * after.sqrt() / (1 - after))
        torch.testing.assert_close(b, c * step.sqrt() / (1 - step))

    def test_in_continuous_time_the_slope_is_that_of_the_ratio(self):
        time = torch.linspace(0, 1, 7, dtype=torch.float64, requires_grad=True)
        kept, slope = log_linear(time)
        (expected,) = torch.autograd.grad(ratio(kept).sum(), time)
        torch.testing.assert_close(slope, expected)
        assert (slope > 0).all()

    def test_divergence_is_torch_s(self):
        clean, kept = torch.randn(4, 3).double(), torch.tensor(0.3).double()
        of = torch.distributions.Normal(kept.sqrt() * clean, (1 - kept).sqrt())
        standard = torch.distributions.Normal(torch.zeros_like(clean), torch.ones_like(clean))
        expected = torch.distributions.kl_divergence(of, standard).sum(1)
        torch.testing.assert_close(divergence(clean, kept), expected)
        assert divergence(clean, cosine(4)[0]).eq(0).all()


class TestSteps:
    """With blocks that know u = (0, 1, 0) whatever they see."""

    CLEAN = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)

    @pytest.fixture
    def knowing(self, monkeypatch):
        def make(form: str, steps: int) -> LabelDenoiser:
            def denoised(_self, _number, _seen, z, time=None):
                return (self.CLEAN - z) / (1 - time[:, None]) if form == "flow" else self.CLEAN.expand_as(z)

            monkeypatch.setattr(LabelDenoiser, "denoised", denoised)
            return network(form, steps)

        return make

    @pytest.mark.parametrize("steps", [1, 2, 7])
    def test_the_field_of_a_line_leads_to_its_end(self, knowing, steps):
        """v = (u - z) / (1 - t): Euler's last step is of the length that is left."""
        z = knowing("flow", steps).iterated([torch.zeros(2, 8).double()])
        torch.testing.assert_close(z, self.CLEAN.expand(2, -1), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("steps", [1, 2, 7])
    def test_the_flow_of_a_label_keeps_its_noise(self, knowing, steps):
        """z₀ = √ᾱ₀ u + √(1 - ᾱ₀) ε ends at √ᾱ₁ u + √(1 - ᾱ₁) ε for the same ε, in however many steps."""
        made = knowing("continuous", steps)
        (first, last), _ = log_linear(torch.arange(2).double())
        noise = (made.noise[0] - first.sqrt() * self.CLEAN) / (1 - first).sqrt()
        z = made.iterated([torch.zeros(2, 8).double()])
        torch.testing.assert_close(z, noised(self.CLEAN, last, noise).expand(2, -1))
        nn.init.zeros_(made.noise)  # the label alone is left
        assert made.iterated([torch.zeros(2, 8).double()]).argmax(1).eq(1).all()

    def test_one_block_draws_the_last_marginal(self, knowing):
        """T = 1: b is 0, so that z₁ = √ᾱ₁ u + √(1 - ᾱ₁) ε."""
        made = knowing("discrete", 1)
        z = made.iterated([torch.zeros(2, 8).double()])
        torch.testing.assert_close(z, noised(self.CLEAN, cosine(1)[1], made.noise[1]).expand(2, -1))

    @pytest.mark.parametrize("steps", [1, 10])
    def test_blocks_that_know_it_give_the_label(self, knowing, steps):
        z = knowing("discrete", steps).iterated([torch.zeros(2, 8).double()] * steps)
        torch.testing.assert_close(z, self.CLEAN.expand(2, -1), rtol=0, atol=0.1)  # √(1 - ᾱ) is 0.0125 at the end


class TestNetwork:
    @pytest.mark.parametrize("form", FORMS)
    def test_a_picture_has_one_answer(self, form):
        """Alone as in a batch, and again: the noise is a weight."""
        made, x = network(form), torch.randn(3, 1, 8, 8).double()
        logits = made(x)
        assert torch.equal(logits, made(x))
        torch.testing.assert_close(made(x[1:2]), logits[1:2])
        assert logits.shape == (3, 3)
        other = network(form)
        nn.init.normal_(other.noise)
        assert not torch.equal(other(x), logits)
        other.load_state_dict(made.state_dict())
        assert torch.equal(other(x), logits)

    def test_is_a_program_of_its_own(self):
        made, x = network("continuous", steps=2), torch.randn(2, 1, 8, 8).double()
        free = ({0: torch.export.Dim("batch")},)
        program = torch.export.export(made, (x,), dynamic_shapes=free).module()
        more = torch.randn(5, 1, 8, 8).double()
        torch.testing.assert_close(program(more), made(more))

    def test_a_block_for_each_step_or_one_for_all(self):
        assert [len(network(form).blocks) for form in FORMS] == [4, 1, 1]

    def test_stages_are_those_of_the_first_encoder(self):
        made, x = network("flow"), torch.randn(2, 1, 8, 8).double()
        assert [made.get_submodule(stage.path) for stage in made.stages] == [
            made.blocks[0].encoder.get_submodule(f"layer{number}") for number in (1, 2, 3)
        ]
        assert [one.shape[1] for one in made.features(x)] == [stage.channels for stage in made.stages]
        assert torch.equal(made.map_and_logits(x)[0], made.features(x)[-1])

    def test_embeddings_are_learned_or_not(self):
        assert torch.equal(network("flow").embeddings, torch.eye(3).double())
        learned = network("flow", embedding="learned", dimension=5).embeddings
        assert learned.requires_grad
        torch.testing.assert_close(learned @ learned.T, torch.eye(3).double(), rtol=0, atol=1e-6)  # made in float32

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"num_classes": 0}, "it is a classifier, and no trunk for other heads"),
            ({"form": "odd"}, "form must be one of discrete, continuous, flow, got 'odd'"),
            ({"embedding": "odd"}, "embedding must be one_hot or learned, got 'odd'"),
            ({"dimension": 4}, "leave dimension away"),
            ({"steps": 0}, "steps=0 and dimension=3 must be at least 1"),
        ],
    )
    def test_what_is_no_such_network(self, options, said, one_line):
        with pytest.raises(ValueError, match="LabelDenoiser") as refusal:
            LabelDenoiser(**{"num_classes": 3, "in_channels": 1, "encoder": TINY, **options})
        one_line(refusal, said)

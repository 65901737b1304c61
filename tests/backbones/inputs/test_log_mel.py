"""Log-mel spectrograms: torchaudio's, clip by clip, in every precision, masked in training alone."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim, export

from blockyard.backbones import LogMel
from blockyard.backbones.inputs.log_mel import spans

SETTINGS = {
    "defaults": {},
    "slaney": {"n_fft": 512, "win_length": 400, "n_mels": 40, "f_min": 60.0, "f_max": 7600.0}
    | {"mel_scale": "slaney", "norm": "slaney"},
    "htk with equal areas": {"n_fft": 1024, "hop_length": 256, "norm": "slaney"},
    "44.1 kHz": {"sample_rate": 44_100, "n_fft": 2048, "hop_length": 441, "n_mels": 128},
}


def waveform(clips: int = 3, length: int = 8000) -> torch.Tensor:
    """Noise under a tone that rises from clip to clip, each of its own loudness."""
    time = torch.arange(length) / 16_000
    pitch, loudness = torch.linspace(200, 3000, clips)[:, None, None], torch.logspace(-2, 0, clips)[:, None, None]
    return loudness * (torch.sin(2 * torch.pi * pitch * time) + 0.1 * torch.randn(clips, 1, length)) / 2


@pytest.fixture(scope="module")
def transforms():
    """torchaudio refuses to load beside some builds of torch."""
    return pytest.importorskip("torchaudio", exc_type=(ImportError, OSError)).transforms


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
class TestAgainstTorchaudio:
    """To 3e-5 of the power, which is 1.3e-4 dB: torchaudio rounds the filters' corners, in Hz, to float32."""

    def power(self, transforms, options):
        theirs = {"sample_rate": 16_000, "n_fft": 400, "hop_length": 160, "n_mels": 64} | options
        x = waveform()
        return x, transforms.MelSpectrogram(**theirs)(x)

    def test_logarithm(self, transforms, options):
        x, power = self.power(transforms, options)
        found = LogMel(**options, normalise=None)(x)
        torch.testing.assert_close((found.exp() - 1e-6), power, rtol=3e-5, atol=2e-6)
        torch.testing.assert_close(found, (power + 1e-6).log(), rtol=0, atol=1e-4)

    @pytest.mark.parametrize("top_db", [None, 40.0])
    def test_decibels(self, transforms, options, top_db):
        x, power = self.power(transforms, options)
        expected = transforms.AmplitudeToDB("power", top_db)(power)
        found = LogMel(**options, normalise=None, scale="db", top_db=top_db)(x)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


class TestNormalisation:
    def test_of_each_clip(self):
        y = LogMel()(waveform())
        torch.testing.assert_close(y.mean((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(y.std((1, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)

    def test_of_the_corpus(self):
        x = waveform()
        found = LogMel(normalise="corpus", mean=-4.0, std=2.5)(x)
        torch.testing.assert_close(found, (LogMel(normalise=None)(x) + 4) / 2.5)

    def test_loudness_is_lost_and_silence_stays_near_zero(self):
        loud = waveform()[2:]
        torch.testing.assert_close(LogMel()(loud), LogMel()(loud / 2), atol=1e-2, rtol=0)  # 1e-6 is added to the power
        assert LogMel()(torch.zeros(1, 1, 4000)).abs().max() < 0.01


class TestTheDevice:
    @pytest.mark.parametrize("batch_size", [1, 7, 64])
    def test_a_clip_does_not_see_its_batch(self, batch_size):
        x, network = waveform(64), LogMel()
        apart = torch.cat([network(part) for part in x.split(batch_size)])
        # Logarithms of sums in float32, divided by their deviation: a batch of another size may sum in another order.
        torch.testing.assert_close(apart, network(x), rtol=0, atol=1e-4)

    def test_a_process_without_a_clip_has_an_empty_batch(self):
        for n_fft in (400, 401):
            network = LogMel(n_fft=n_fft)
            assert network(torch.zeros(0, 1, 4000)).shape[1:] == network(waveform(1, 4000)).shape[1:]

    def test_autocast_changes_nothing(self):
        x, network = waveform(), LogMel()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(network(x), network(x.bfloat16().float())) is False  # or bfloat16 would show nothing
            found = network(x)
        assert found.dtype == torch.float32
        assert torch.equal(found, network(x))

    def test_follows_a_network_into_half_precision(self):
        assert LogMel().bfloat16()(waveform().bfloat16()).dtype == torch.bfloat16

    def test_saves_nothing(self):
        assert not LogMel().state_dict()
        assert not list(LogMel().parameters())

    def test_exports_with_any_batch_and_length(self):
        network = LogMel().eval()
        shapes = ({0: Dim("batch"), 2: Dim("length", min=400, max=160_000)},)
        exported = export(network, (waveform(2),), dynamic_shapes=shapes).module()
        for clips, length in ((1, 8000), (5, 3210)):
            x = waveform(clips, length)
            torch.testing.assert_close(exported(x), network(x))

    def test_compiles_into_one_graph(self):
        x, network = waveform(), LogMel()
        torch.testing.assert_close(torch.compile(network, backend="aot_eager", fullgraph=True)(x), network(x))

    def test_gradients_reach_a_waveform_of_silence(self):
        x = torch.zeros(1, 1, 4000, requires_grad=True)
        LogMel(normalise=None)(x).sum().backward()
        assert x.grad.isfinite().all()


class TestMasks:
    def test_in_training_alone(self):
        x, network = waveform(), LogMel(freq_mask=20, time_mask=20)
        assert torch.equal(network.eval()(x), LogMel()(x))
        assert not torch.equal(network.train()(x), LogMel()(x))

    def test_whole_bands_and_times_get_the_mean(self):
        x = waveform(64)
        plain, masked = LogMel()(x), LogMel(freq_mask=20, time_mask=15, masks=2).train()(x)
        changed = plain != masked
        assert masked[changed].abs().max() < 1e-5  # the mean of a clip is zero
        bands, times = changed.all(3, keepdim=True), changed.all(2, keepdim=True)
        assert torch.equal(changed, bands | times)
        assert 20 < bands.sum((1, 2, 3)).max() <= 40  # two masks of up to 20
        assert 15 < times.sum((1, 2, 3)).max() <= 30

    def test_spans_are_uniform_and_each_clip_has_its_own(self):
        covered = spans(torch.zeros(20_000, 12, 3), 1, 4)[:, :, 0]
        assert covered.shape == (20_000, 12)
        widths = covered.sum(1)
        # Multinomial counts of 4000 each: a standard deviation of 57.
        assert (torch.bincount(widths, minlength=5) - 4000).abs().max() < 300
        edges = covered.int().diff(dim=1).abs().sum(1)
        assert edges.max() <= 2  # one span
        assert covered.any(0).all()

    def test_a_mask_may_be_longer_than_the_clip(self):
        assert LogMel(time_mask=500).train()(waveform()).isfinite().all()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"n_mels": 0}, "must be positive"),
        ({"n_fft": 200, "win_length": 400}, "win_length=400 must be at most n_fft=200"),
        ({"f_max": 9000.0}, "f_max=9000.0 must rise and lie between 0 and half of sample_rate=16000"),
        ({"f_min": 500.0, "f_max": 400.0}, "must rise"),
        ({"top_db": 80.0}, "goes with scale db"),
        ({"normalise": "corpus"}, "normalise corpus takes mean and std"),
        ({"mean": 1.0, "std": 1.0}, "normalise corpus takes mean and std"),
        ({"normalise": "corpus", "mean": 1.0, "std": 0.0}, "std=0.0 must be positive"),
        ({"freq_mask": 65}, "freq_mask=65 lie between 0 and n_mels=64"),
    ],
)
def test_mistakes(options, why):
    with pytest.raises(ValueError, match=why):
        LogMel(**options)


@pytest.mark.parametrize("shape", [(2, 8000), (2, 2, 8000), (2, 1, 200)])
def test_refuses_what_is_no_waveform(shape):
    with pytest.raises(ValueError, match=r"waveforms \(B, 1, L\) of more than 200 samples"):
        LogMel()(torch.zeros(shape))


def test_warns_of_bands_that_stay_empty():
    with pytest.warns(UserWarning, match=r"bands lie between two frequencies and stay empty; lower n_mels"):
        LogMel(n_mels=128)

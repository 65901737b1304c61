"""Whole, by windows, at several scales, mirrored: what each must equal."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from blockyard.tasks.segmentation.inference import (
    CLASSES_AT_ONCE,
    Inference,
    highest_probability,
    largest,
    sliding,
    spans,
)

CLASSES = 5


@pytest.fixture
def network() -> nn.Module:
    """In double precision, so that labels do not depend on how many pictures are computed at a time."""
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, CLASSES, 3, padding=1)]
    return nn.Sequential(*layers).double().eval().requires_grad_(False)


def picture(height: int, width: int) -> Tensor:
    return torch.randn(3, height, width, dtype=torch.float64)


class TestWhole:
    def test_labels_are_the_largest_logits(self, network):
        x = picture(17, 23)
        (label,) = Inference()(network, [x], [(17, 23)])
        assert label.dtype == torch.uint8
        assert torch.equal(label.long(), network(x[None])[0].argmax(0))

    @pytest.mark.parametrize("align_corners", [False, True])
    @pytest.mark.parametrize("size", [(31, 47), (9, 11), (17, 40)])
    def test_logits_are_resized_to_the_labels(self, network, size, align_corners):
        x = picture(17, 23)
        (label,) = Inference(align_corners=align_corners)(network, [x], [size])
        enlarged = interpolate(network(x[None]), size, mode="bilinear", align_corners=align_corners)
        assert torch.equal(label.long(), enlarged[0].argmax(0))

    def test_pictures_of_many_sizes_alone_and_together(self, network):
        sizes = [(17, 23), (8, 9), (17, 23), (1, 1), (8, 9), (17, 23)]
        pictures = [picture(*size) for size in sizes]
        targets = [(h + 3 * (k % 2), w) for k, (h, w) in enumerate(sizes)]
        together = Inference()(network, pictures, targets)
        for x, size, label in zip(pictures, targets, together, strict=True):
            assert torch.equal(label, Inference()(network, [x], [size])[0])
            assert label.shape == size

    def test_equal_sizes_run_together(self):
        batches = []
        pictures = [picture(4, 4), picture(5, 5), picture(4, 4)]
        Inference()(lambda x: batches.append(x.shape) or x, pictures, [(4, 4)] * 3)
        assert batches == [(2, 3, 4, 4), (1, 3, 5, 5)]

    def test_no_picture(self, network):
        assert Inference()(network, [], []) == []

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_what_is_not_finite_is_no_prediction(self, bad):
        with pytest.raises(FloatingPointError, match="output is not finite"):
            Inference()(lambda x: x * bad, [picture(4, 4)], [(4, 4)])

    def test_half_precision_is_resized_in_single(self):
        (logits,) = Inference().logits(lambda x: x.half(), picture(4, 4)[None])
        assert logits.dtype == torch.float32


@pytest.mark.parametrize("classes", [2, CLASSES_AT_ONCE, CLASSES_AT_ONCE + 1, 3 * CLASSES_AT_ONCE - 1])
def test_the_largest_of_many_maps_a_few_at_a_time(classes):
    maps = torch.randn(classes, 6, 7)
    enlarged = interpolate(maps[None], (20, 13), mode="bilinear", align_corners=False)[0]
    assert torch.equal(largest(maps, (20, 13), False).long(), enlarged.argmax(0))
    assert largest(-torch.ones(40, 2, 2), (2, 2), False).tolist() == [[0, 0], [0, 0]]  # the first of equals


class TestConfidence:
    def probabilities(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        return interpolate(maps, size, mode="bilinear", align_corners=False)[0].softmax(0)

    def test_is_the_probability_of_the_label(self, network):
        x, size = picture(9, 14), (20, 33)
        plain, (both,) = Inference()(network, [x], [size]), Inference(confidence=True)(network, [x], [size])
        assert torch.equal(both[0], plain[0])
        expected = 255 * self.probabilities(network(x[None]), size).amax(0)
        assert (both[1] - expected).abs().max() <= 0.5 + 1e-9  # rounded to a whole number
        assert both.dtype == torch.uint8

    def test_of_several_views_is_that_of_their_mean(self, network):
        x, size = picture(9, 14), (20, 33)
        views = [network(x[None]), network(x[None].flip(-1)).flip(-1)]
        mean = sum(self.probabilities(view, size) for view in views) / 2
        (both,) = Inference(flip=True, confidence=True)(network, [x], [size])
        assert torch.equal(both[0].long(), mean.argmax(0))
        assert (both[1] - 255 * mean.amax(0)).abs().max() <= 0.5 + 1e-9

    @pytest.mark.parametrize("classes", [2, CLASSES_AT_ONCE, 3 * CLASSES_AT_ONCE - 1])
    def test_a_few_maps_at_a_time(self, classes):
        maps = 300 * torch.randn(classes, 6, 7, dtype=torch.float64)
        found = highest_probability(maps, (20, 13), False)
        torch.testing.assert_close(found, self.probabilities(maps[None], (20, 13)).amax(0))


class TestSliding:
    @pytest.mark.parametrize("window", [(17, 23), (64, 64), (17, 100)])
    def test_equals_whole_where_the_window_covers_the_picture(self, network, window):
        x = picture(17, 23)[None]
        assert torch.equal(sliding(network, x, window, (5, 5)), network(x))

    def test_each_pixel_is_the_mean_over_the_windows_that_see_it(self):
        """A network that says how often it was asked, and where in the window a pixel lies."""
        x, calls = torch.zeros(1, 3, 7, 10), []

        def network(part: Tensor) -> Tensor:
            calls.append(part.shape[-2:])
            rows, columns = torch.meshgrid(*(torch.arange(float(n)) for n in part.shape[-2:]), indexing="ij")
            return torch.stack([rows, columns, torch.full_like(rows, len(calls))])[None]

        found = sliding(network, x, (4, 4), (2, 3))
        tops, lefts = [0, 2, 3], [0, 3, 6]
        assert calls == [(4, 4)] * 9
        for row in range(7):
            for column in range(10):
                seen = [
                    (row - top, column - left, 1 + 3 * i + j)
                    for i, top in enumerate(tops)
                    for j, left in enumerate(lefts)
                    if top <= row < top + 4 and left <= column < left + 4
                ]
                torch.testing.assert_close(found[0, :, row, column], torch.tensor(seen, dtype=torch.float).mean(0))

    def test_equals_mmsegmentation(self, network):
        import blockyard.backbones.adapters.mmseg_import  # noqa: F401, I001  before mmseg
        from mmseg.models import EncoderDecoder

        stand_in = SimpleNamespace(
            test_cfg=SimpleNamespace(stride=(7, 5), crop_size=(11, 13)),
            out_channels=CLASSES,
            encode_decode=lambda x, _: network(x),
        )
        for height, width in ((40, 31), (11, 50), (8, 9)):
            x = picture(height, width)[None]
            expected = EncoderDecoder.slide_inference(stand_in, x, [{}])
            torch.testing.assert_close(sliding(network, x, (11, 13), (7, 5)), expected)

    @pytest.mark.parametrize("length", range(1, 40))
    def test_windows_cover_an_axis_and_stay_inside(self, length):
        for window, stride in ((8, 3), (8, 8), (1, 1)):
            found = spans(length, window, stride)
            assert {k for span in found for k in range(span.start, span.stop)} == set(range(length))
            assert all(span.stop - span.start == min(window, length) for span in found)
            assert all(0 < later.start - earlier.start <= stride for earlier, later in pairwise(found))


class TestViews:
    def test_mirroring_changes_nothing_for_a_network_that_commutes_with_it(self):
        network = nn.Conv2d(3, CLASSES, 1).double()
        x = picture(9, 14)
        once, twice = (Inference(flip=flip)(network, [x], [(18, 20)])[0] for flip in (False, True))
        assert torch.equal(once, twice)

    @pytest.mark.parametrize("size", [(9, 14), (20, 33)])
    def test_probabilities_of_a_picture_and_its_mirror_image_are_averaged(self, network, size):
        x = picture(9, 14)
        views = [network(x[None]), network(x[None].flip(-1)).flip(-1)]
        enlarged = [interpolate(view, size, mode="bilinear", align_corners=False).softmax(1) for view in views]
        assert (enlarged[0].argmax(1) != enlarged[1].argmax(1)).any()  # or the average would prove nothing
        (label,) = Inference(flip=True)(network, [x], [size])
        assert torch.equal(label.long(), ((enlarged[0] + enlarged[1]) / 2)[0].argmax(0))

    def test_probabilities_of_scales_are_averaged(self, network):
        x, size, total = picture(9, 15), (9, 15), 0
        for scaled in ((4, 8), (9, 15), (14, 22)):
            view = network(interpolate(x[None], scaled, mode="bilinear", align_corners=False))
            total = total + interpolate(view, size, mode="bilinear", align_corners=False).softmax(1)
        (label,) = Inference(scales=(0.5, 1.0, 1.5))(network, [x], [size])
        assert torch.equal(label.long(), total[0].argmax(0))

    def test_scales_mirrors_and_windows_together(self, network):
        """Each scale by itself slides and is mirrored; tiny pictures are no exception."""
        sizes = [(1, 1), (30, 2), (17, 23)]
        inference = Inference((8, 8), (5, 5), (0.25, 1.0, 2.0), flip=True)
        labels = inference(network, [picture(*size) for size in sizes], sizes)
        assert [tuple(label.shape) for label in labels] == sizes

    def test_one_scale_other_than_one_is_no_plain_inference(self, network):
        x = picture(16, 16)
        small = network(interpolate(x[None], (8, 8), mode="bilinear", align_corners=False))
        expected = interpolate(small, (16, 16), mode="bilinear", align_corners=False)[0].softmax(0).argmax(0)
        assert torch.equal(Inference(scales=(0.5,))(network, [x], [(16, 16)])[0].long(), expected)

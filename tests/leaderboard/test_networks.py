"""Readable names of networks: short, and never the same for two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.leaderboard.networks import readable


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("PreResNet(depth=8, dropout=0, spatial_dims=3, stem_stride=4)", "PreResNet-8"),
        ("LogMel(f_min=0, n_mels=40, …d16b) + PreResNet(depth=8, dropout=0)", "LogMel + PreResNet-8"),
        ("BackboneFeatures(PreResNet(depth=8, dropout=0.5)) + FCNHead(channels=64)", "PreResNet-8 + FCNHead"),
        ("TimmFeatures(resnet50, output_stride=8) + FCNHead", "resnet50 + FCNHead"),
        ("Framewise(resnet50, head=lstm)", "Framewise(resnet50)"),
        ("pspnet_r50-d8_4xb2-40k_cityscapes-512x1024", "pspnet_r50-d8_4xb2-40k_cityscapes-512x1024"),
        ("mypkg.nets.Mine(width=3)", "Mine"),
        ('Mine("a + b, c", d=1)', 'Mine("a + b, c")'),
        ("", ""),
        ("x(((", "x((("),
    ],
)
def test_a_name_says_what_counts(label, name):
    assert readable([label]) == {label: name}


def test_what_would_be_called_the_same_keeps_what_differs():
    one, other = "PreResNet(depth=8, dropout=0, linear=True)", "PreResNet(depth=8, dropout=0)"
    assert readable([one, other]) == {one: "PreResNet-8 (linear=True)", other: other}
    deep = "PreResNet(depth=20, dropout=0)"
    assert readable([deep, other]) == {deep: "PreResNet-20", other: "PreResNet-8"}


@given(st.lists(st.text(alphabet='AB(),=+ "[]1.…', max_size=20), max_size=6))
def test_no_two_labels_get_one_name(labels):
    names = readable(labels)
    assert names.keys() == set(labels)
    assert len(set(names.values())) == len(names)

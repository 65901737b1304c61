"""A label is short, readable, and no two networks share one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.leaderboard.identity import canonical
from blockyard.leaderboard.labels import LONGEST, backbone_label, block_label, differences

WIDE = {"class_path": "SelfAttention", "init_args": {"head_width": 16}}
PRERESNET = {"class_path": "blockyard.backbones.PreResNet", "init_args": {"depth": 20}}
TIMM = {
    "class_path": "TimmFeatures",
    "init_args": {"name": "resnet50", "output_stride": 8, "pretrained": False, "strict": True},
}
LARGE = {"class_path": "PreResNet", "init_args": {"depth": 8, "dropout": 0.0, "spatial_dims": 2, "stem_stride": 2}}
RESNET_D8 = {"type": "ResNet", "depth": 50, "strides": [1, 2, 1, 1]}


def label(config, **arguments):
    config["model"]["init_args"] = arguments
    return backbone_label(canonical(config))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("after", "ECA @ stage2, stage3"),
        ("replace", "ECA replaces stage2, stage3"),
        ("around", "ECA around stage2, stage3"),
    ],
)
def test_a_plug_is_named_by_its_mode(config, mode, expected):
    plug = {"block": {"class_path": "blockyard.blocks.ECA"}, "at": ["stage3", "stage2"], "mode": mode}
    config["model"]["init_args"] = {"plugs": [plug]}
    assert block_label(canonical(config)) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"backbone": PRERESNET}, "PreResNet(depth=20)"),
        ({"backbone": PRERESNET, "front_end": None}, "PreResNet(depth=20)"),
        (
            {"backbone": PRERESNET, "front_end": {"class_path": "LogMel", "init_args": {"n_mels": 40, "f_min": 20.0}}},
            "LogMel(f_min=20, n_mels=40) + PreResNet(depth=20)",
        ),
        (
            {"backbone": TIMM, "decode_head": {"type": "FCNHead", "num_convs": 1, "concat_input": False}},
            "TimmFeatures(resnet50, output_stride=8) + FCNHead(concat_input=False, num_convs=1)",
        ),
        (
            {"backbone": TIMM, "decode_head": {"type": "BlockHead", "block": "SpectralNonlocal"}},
            "TimmFeatures(resnet50, output_stride=8) + BlockHead(block=SpectralNonlocal)",
        ),
        (
            {"backbone": {"class_path": "BackboneFeatures", "init_args": {"backbone": PRERESNET}}},
            "BackboneFeatures(PreResNet(depth=20))",
        ),
        (
            {"backbone": {"class_path": "BackboneFeatures", "init_args": {"backbone": LARGE, "at": "stage3"}}},
            "BackboneFeatures(PreResNet(depth=8, dropout=0, spatial_dims=2, stem_stride=2), …1f4e)",
        ),
        (
            {"backbone": {"class_path": "MMSegBackbone", "init_args": {"config": RESNET_D8, "in_channels": 3}}},
            "MMSegBackbone(ResNet(depth=50, strides=[1, 2, 1, 1]), in_channels=3)",
        ),
        (
            {"backbone": {"class_path": "MetaFormer", "init_args": {"mixers": ["PoolMixer"], "depths": [1]}}},
            "MetaFormer(PoolMixer, depths=[1], …5efb)",
        ),
        (
            {"backbone": {"class_path": "MetaFormer", "init_args": {"mixers": [WIDE, "PoolMixer", WIDE]}}},
            "MetaFormer(SelfAttention + PoolMixer, …d9fc)",
        ),
        ({"mmseg_config": "pspnet_r50-d8_4xb2-40k"}, "pspnet_r50-d8_4xb2-40k"),
        ({"mmseg_config": "psp", "mmseg_weights": "r50.pth"}, "psp(mmseg_weights=r50.pth)"),
        ({"backbone": {"class_path": "mypkg.nets.Net"}}, "mypkg.nets.Net"),
        ({}, ""),
    ],
)
def test_parts_of_a_network_are_named_in_the_order_of_the_data(config, arguments, expected):
    assert label(config, **arguments) == expected


def test_a_long_part_is_cut_and_still_its_own(config):
    options = {"sample_rate": 16000, "n_mels": 64, "mel_scale": "htk", "scale": "log", "normalise": "sample", "std": 3}
    one, two = (
        label(config, front_end={"class_path": "LogMel", "init_args": options | {"std": std}}) for std in (3, 4)
    )
    assert one.startswith("LogMel(mel_scale=htk, n_mels=64, normalise=sample, …")
    assert max(len(one), len(two)) <= LONGEST
    assert one != two


def test_the_pooling_of_a_long_label_is_said(config):
    def label(inner: int) -> str:
        pooling = {"class_path": "ISqrtCov", "init_args": {"inner": inner, "iterations": 5, "gaussian": True}}
        options = {"pooling": pooling, "depth": 8, "dropout": 0.5, "spatial_dims": 2, "stem_stride": 1}
        config["model"]["init_args"]["backbone"] = {"class_path": "PreResNet", "init_args": options}
        return backbone_label(canonical(config))

    assert label(16).startswith("PreResNet(pooling=ISqrtCov, depth=8, ")
    assert label(16) != label(32)


values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=6) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, min_size=1),
    max_leaves=4,
)
networks = st.fixed_dictionaries(
    {},
    optional={
        part: st.fixed_dictionaries(
            {"class_path": st.sampled_from(["A", "B", "a.B"])},
            optional={"init_args": st.dictionaries(st.sampled_from(["name", "x", "y, z"]), values, min_size=1)},
        )
        for part in ("front_end", "backbone")
    }
    | {"decode_head": st.dictionaries(st.sampled_from(["x", "y"]), values).map(lambda node: node | {"type": "B"})},
)


@given(networks, networks)
def test_two_networks_never_share_a_label(one, two):
    experiments = [
        canonical({"model": {"class_path": "T", "init_args": node}, "data": {"class_path": "D"}}) for node in (one, two)
    ]
    labels = [backbone_label(experiment) for experiment in experiments]
    # a front end alone and a backbone alone may be the same class, but then no task accepts both
    if one.keys() == two.keys():
        same = str(in_order(experiments[0]["model"])) == str(in_order(experiments[1]["model"]))
        assert (labels[0] == labels[1]) == same
    assert all(text.isprintable() for text in labels)


def in_order(node):
    if isinstance(node, dict):
        return [(key, in_order(node[key])) for key in sorted(node)]
    return [in_order(item) for item in node] if isinstance(node, list) else node


def experiments(config, *changes):
    """The configuration with other options, ``model.rerank`` and the like."""
    made = []
    for change in changes:
        sections = {name: {**config[name]} for name in ("trainer", "model", "data")}
        for path, value in change.items():
            section, _, option = path.partition(".")
            holder = sections[section] if section == "trainer" else sections[section].get("init_args", {})
            new = {**holder, option: value}
            sections[section] = new if section == "trainer" else {**sections[section], "init_args": new}
        made.append(canonical(sections))
    return made


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([{"data.clips": 1}, {"data.clips": 3}], ["clips=1", "clips=3"]),
        ([{"model.rerank": False}, {"model.rerank": True}], ["rerank=False", "rerank=True"]),
        ([{}, {"model.rerank": True}], ["", "rerank=True"]),
        (
            [{"model.scales": [1.0], "model.window": [512, 512]}, {"model.scales": [1.0, 1.25], "model.window": None}],
            ["scales=[1], window=[512, 512]", "scales=[1, 1.25]"],
        ),
        (
            [{"model.optimizer": {"class_path": f"torch.optim.{name}"}} for name in ("SGD", "Adam")],
            ["optimizer=torch.optim.SGD", "optimizer=torch.optim.Adam"],
        ),
        (
            [{"model.seed": 1, "data.seed": 1}, {"model.seed": 2, "data.seed": 3}],
            ["data.seed=1, model.seed=1", "data.seed=3, model.seed=2"],
        ),
        (
            [{"model.auxiliary_heads": [{"type": "FCNHead"}] * n} for n in (1, 2)],
            ["auxiliary_heads=1", "auxiliary_heads=2"],
        ),
        ([{"trainer.max_epochs": 3}, {"trainer.max_epochs": 3}], ["", ""]),
    ],
)
def test_settings_that_differ_are_named(config, changes, expected):
    assert differences(experiments(config, *changes)) == expected


def test_a_block_at_many_places_is_told_apart_once(config):
    def plugs(order, sites):
        block = {"class_path": "SpectralNonlocal", "init_args": {"order": order}}
        return {"model.plugs": [{"block": block, "at": f"stage{site}"} for site in range(sites)]}

    assert differences(experiments(config, plugs(1, 3), plugs(3, 3))) == ["order=1", "order=3"]
    one, two = differences(experiments(config, plugs(1, 1), plugs(1, 2)))
    assert one != two


def test_long_settings_are_cut_and_stay_apart(config):
    weights = [{"model.class_weights": [*range(100), last]} for last in (1, 2)]
    one, two = differences(experiments(config, *weights))
    assert one != two
    assert max(len(one), len(two)) < 60


def test_nothing_in_a_configuration_steers_the_terminal(config):
    texts = differences(experiments(config, {"model.\x1b[2J": "\x1b[2J"}, {"model.\x1b[2J": "\n"}))
    assert all(text.isprintable() for text in texts)
    assert label(config, backbone={"type": "X", "a": "\x1b[2J"}).isprintable()

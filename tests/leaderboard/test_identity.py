"""Runs belong together when, and only when, their training is the same."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.leaderboard import identity as identity_module
from blockyard.leaderboard.identity import IGNORED, IGNORED_CALLBACKS, Identity, canonical, identity

BLOCK = {"class_path": "blockyard.blocks.SpectralNonlocal", "init_args": {"order": 3}}

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.text("abcdefgh", min_size=1, max_size=4)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


def configs():
    """Configurations with arbitrary settings in every section."""
    settings = st.dictionaries(names, values, max_size=4)
    made = st.fixed_dictionaries({"class_path": st.just("blockyard.tasks.Task"), "init_args": settings})
    return st.fixed_dictionaries(
        {"seed_everything": st.integers(0, 2**32 - 1), "trainer": settings, "model": made, "data": made}
    )


def put(config, path, value):
    """Set a dotted path."""
    *parents, last = path.split(".")
    for key in parents:
        config = config.setdefault(key, {})
    config[last] = value


def reordered(node):
    """The same mapping with all keys in the opposite order."""
    if isinstance(node, dict):
        return {key: reordered(node[key]) for key in reversed(list(node))}
    return [reordered(item) for item in node] if isinstance(node, list) else node


def plugged(config, **arguments):
    config = deepcopy(config)
    config["model"]["init_args"] |= arguments
    return config


@given(configs(), st.sampled_from([path for path in IGNORED if path != "seed_everything"]), values)
def test_ignored_settings_do_not_matter(config, path, value):
    other = deepcopy(config)
    put(other, path, value)
    assert identity(other) == identity(config)


@given(configs())
def test_key_order_does_not_matter(config):
    assert identity(reordered(config)) == identity(config)


@given(configs(), st.integers(0, 2**32 - 1))
def test_the_seed_tells_runs_of_one_experiment_apart(config, seed):
    other = config | {"seed_everything": seed}
    one, two = identity(config), identity(other)
    assert (one.experiment, one.baseline) == (two.experiment, two.baseline)
    assert (one.run == two.run) == (seed == config["seed_everything"])


@given(configs(), st.sampled_from(["trainer", "model.init_args", "data.init_args"]), names, scalars, scalars)
def test_every_other_setting_matters(config, section, name, before, after):
    one, two = deepcopy(config), deepcopy(config)
    put(one, f"{section}.{name}", before)
    put(two, f"{section}.{name}", after)
    same = before == after and isinstance(before, bool) == isinstance(after, bool)
    assert (identity(one).experiment == identity(two).experiment) == same


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.init_args.batch_size", 128),
        ("trainer.precision", "bf16-mixed"),
        ("trainer.max_epochs", 4),
        ("trainer.limit_train_batches", 0.5),
        ("model.init_args.optimizer.init_args.lr", 0.2),
        ("model.init_args.backbone.init_args.depth", 56),
        ("data.init_args.seed", 1),
        ("data.class_path", "blockyard.datamodules.CIFAR10"),
    ],
)
def test_what_changes_training_changes_experiment_and_baseline(config, path, value):
    other = deepcopy(config)
    put(other, path, value)
    assert identity(other).experiment != identity(config).experiment
    assert identity(other).baseline != identity(config).baseline


@pytest.mark.parametrize(
    "arguments",
    [
        {"block": BLOCK, "at": ["stage2.1"]},
        {"plugs": [{"block": BLOCK, "at": "stage2.1"}]},
        {"plugs": [{"block": BLOCK, "at": ["stage2.1"], "mode": "after", "gate": False}]},
        {"plugs": [{"class_path": "blockyard.plugging.Plug", "init_args": {"block": BLOCK, "at": "stage2.1"}}]},
        {"block": {**BLOCK, "class_path": "blockyard.blocks.nonlocals.spectral.SpectralNonlocal"}, "at": "stage2.1"},
        {"block": {**BLOCK, "class_path": "SpectralNonlocal"}, "at": "stage2.1"},
    ],
)
def test_a_plug_is_the_same_however_it_is_written(config, arguments):
    short = plugged(config, block=BLOCK, at="stage2.1")
    assert identity(plugged(config, **arguments)) == identity(short)


def test_several_sites_are_one_plug_each_in_any_order(config):
    together = plugged(config, block=BLOCK, at=["stage3.1", "stage2.1"])
    apart = plugged(config, plugs=[{"block": BLOCK, "at": site} for site in ("stage2.1", "stage3.1")])
    assert identity(together) == identity(apart)


@pytest.mark.parametrize(
    "change", [{"at": "stage3.1"}, {"mode": "replace"}, {"gate": True}, {"block": BLOCK | {"init_args": {"order": 4}}}]
)
def test_every_part_of_a_plug_matters(config, change):
    plug = {"block": BLOCK, "at": "stage2.1"}
    one, two = (identity(plugged(config, plugs=[entry])) for entry in (plug, plug | change))
    assert one.experiment != two.experiment
    assert one.baseline == two.baseline


def test_the_baseline_is_the_same_experiment_without_plugs(config):
    baseline, plugs = identity(config), identity(plugged(config, block=BLOCK, at="stage2.1"))
    assert baseline.experiment == baseline.baseline == plugs.baseline != plugs.experiment


@pytest.mark.parametrize("empty", [{"block": None, "at": "stage2.1"}, {"plugs": []}, {"plugs": None}])
def test_no_block_is_the_baseline(config, empty):
    assert identity(plugged(config, **empty)) == identity(config)


@pytest.mark.parametrize("name", ["RunRecord", "ModelCheckpoint"])
@pytest.mark.parametrize(
    ("where", "watches"),
    [
        ("", True),  # as this package's own are written, and Lightning's in old records
        ("blockyard.runs.", True),
        ("lightning.pytorch.callbacks.", True),
        ("lightning.pytorch.callbacks.model_checkpoint.", True),
        ("pytorch_lightning.callbacks.", True),
        ("mypkg.", False),
        ("blockyard_extras.callbacks.", False),
        ("lightning.pytorch.callbacks_of_mine.", False),
        ("mypkg.lightning.pytorch.callbacks.", False),
        ("lightning.", False),
    ],
)
def test_a_foreign_class_of_the_same_name_does_not_vanish(config, name, where, watches):
    other = deepcopy(config)
    other["trainer"]["callbacks"] = [{"class_path": f"{where}{name}"}]
    assert (identity(other) == identity(config)) == watches


def test_watching_callbacks_do_not_matter_and_others_do(config):
    watching = [{"class_path": f"lightning.pytorch.callbacks.{name}"} for name in IGNORED_CALLBACKS]
    averaging = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.99}}
    other = deepcopy(config)
    for callbacks, same in (
        (None, True),
        ([], True),
        (watching, True),
        ([*watching, averaging], False),
        (averaging, False),
    ):
        other["trainer"]["callbacks"] = callbacks
        assert (identity(other) == identity(config)) == same


ADDITIONS = [
    ("model.init_args.backbone.init_args", "PreResNet"),
    ("model.init_args.optimizer.init_args", "SGD"),
    ("model.init_args", "ImageClassification"),
    ("model.init_args", "Task"),
    ("data.init_args", "DataModule"),
    ("trainer", "Trainer"),
]


@pytest.mark.parametrize(("place", "name"), ADDITIONS)
@pytest.mark.parametrize(("before", "other"), [(False, True), (1, 2), (0, False), ("a", None), ([1.0], [1, 2])])
def test_an_option_that_came_later_matters_only_where_it_changes_something(
    config, monkeypatch, place, name, before, other
):
    monkeypatch.setitem(identity_module.ADDED, name, {"added": before})
    same, changed = deepcopy(config), deepcopy(config)
    put(same, f"{place}.added", before)
    put(changed, f"{place}.added", other)
    assert identity(same) == identity(config)
    # null was never a value of this option: it is the configuration from before
    assert (identity(changed) == identity(config)) == (other is None)


def test_an_option_of_a_block_may_come_later(config, monkeypatch):
    before = identity(plugged(config, block=BLOCK, at="stage2.1"))
    monkeypatch.setitem(identity_module.ADDED, "SpectralNonlocal", {"added": False})
    for value, same in ((False, True), (True, False)):
        block = {**BLOCK, "init_args": {**BLOCK["init_args"], "added": value}}
        assert (identity(plugged(config, block=block, at="stage2.1")) == before) == same


@pytest.mark.parametrize("added", [{}, {"SGD": {"added": False}}])
def test_runs_that_relied_on_another_default_are_other_runs(config, monkeypatch, added):
    monkeypatch.setattr(identity_module, "ADDED", added)
    one, two = deepcopy(config), deepcopy(config)
    for changed, default in ((one, False), (two, True)):  # what is recorded is the default of its day
        put(changed, "model.init_args.optimizer.init_args.added", default)
    assert identity(one).experiment != identity(two).experiment


def test_the_configuration_is_left_as_it_was(config):
    before = deepcopy(config)
    canonical(config)
    assert config == before


def test_hashes_do_not_change_between_versions(config):
    # records on disk hold these: a change here needs a new schema version
    assert identity(plugged(config, block=BLOCK, at="stage2.1")) == Identity(
        experiment="b59c1976a37e", baseline="710aeef67038", run="f99e2a4cddc6"
    )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("trainer.gradient_clip_val", float("nan"), "trainer.gradient_clip_val is nan"),
        ("model.init_args.classes", {1, 2}, "model.init_args.classes is {1, 2}"),
        ("model.class_path", "os; rm", "class_path 'os; rm' is not a dotted name"),
        ("model", {}, "model.class_path is missing"),
        ("seed_everything", True, "seed_everything is True"),
        ("seed_everything", None, "seed_everything is None"),
    ],
)
def test_what_has_no_identity_is_refused_in_one_line(config, path, value, message):
    put(config, path, value)
    with pytest.raises(ValueError, match=r"^config: ") as refusal:
        identity(config)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)

"""What a training counted stands in the configuration of its run, and changes no identity."""

from copy import deepcopy
from types import SimpleNamespace

import yaml

from blockyard.leaderboard.identity import identity
from blockyard.runs.run_config import CONFIG_KEY, RunConfig

CONFIG = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 1},
    "model": {"class_path": "SemanticSegmentation", "init_args": {"class_weights": "balanced"}},
    "data": {"class_path": "GeoTIFFFolder", "init_args": {}},
    "found": {"model.optimizer.lr": {"by": "LearningRateFinder", "value": 0.5}},
}
WEIGHTS = {"model.class_weights": {"by": "balanced", "value": [0.5, 2.0]}}


def test_what_was_counted_is_in_the_file_and_the_checkpoint_and_not_in_the_identity(tmp_path):
    config, checkpoint = deepcopy(CONFIG), {}
    data = SimpleNamespace(vocabulary=SimpleNamespace(items=dict))
    trainer = SimpleNamespace(is_global_zero=True, fast_dev_run=False, loggers=[], datamodule=data)
    callback = RunConfig(config, tmp_path)
    callback.on_fit_start(trainer, SimpleNamespace(found_options=WEIGHTS))
    callback.on_save_checkpoint(trainer, SimpleNamespace(), checkpoint)
    for written in (yaml.safe_load((tmp_path / "config.yaml").read_text()), checkpoint[CONFIG_KEY], config):
        assert written["found"] == CONFIG["found"] | WEIGHTS
        assert identity(written) == identity(CONFIG)
    others = deepcopy(CONFIG)
    others["model"]["init_args"]["class_weights"] = None
    assert identity(others).experiment != identity(CONFIG).experiment

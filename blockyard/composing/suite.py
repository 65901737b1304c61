"""LightningCLI with composed configurations and one directory a run."""

from __future__ import annotations

import inspect
from argparse import ArgumentError
from contextlib import ExitStack, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from pydoc import locate
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, Timer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import blockyard.composing.data
import blockyard.tasks
from blockyard.backbones.weights import weights_follow
from blockyard.composing.bar import Bar
from blockyard.composing.begun import refuse_other_weights, still_begun
from blockyard.composing.claim import held
from blockyard.composing.composition import TRUSTING, Composed, contradiction, read_vocabulary
from blockyard.composing.evaluating import evaluated, evaluation_options, tested_on
from blockyard.composing.finding import enter, find, still_found, taken_out
from blockyard.composing.matching import refuse_other_data
from blockyard.composing.naming import refuse_calls, short_names
from blockyard.composing.parser_messages import dumped, explain, parser_options
from blockyard.composing.predicting import Prediction
from blockyard.composing.resuming import from_the_beginning, go_on, of_this_run, same_data
from blockyard.composing.run_directories import RUNS, find_checkpoint, no_checkpoint, run_directory
from blockyard.composing.spoken import spoken
from blockyard.composing.startup import Startup
from blockyard.composing.trainer_options import check_seed, fit_to_machine, settle, settle_warm_up, try_out
from blockyard.datamodules import DataError, DataModule, members_of
from blockyard.files import insist_on
from blockyard.leaderboard.identity import FINGERPRINTS, FOUND, SEED
from blockyard.mistakes import printable
from blockyard.progress import is_first_process
from blockyard.runs.checkpoint_io import AtomicCheckpointIO
from blockyard.runs.exact_resume import ExactResume
from blockyard.runs.keep_best import KeepBest, refuse_other_keepers
from blockyard.runs.keep_last import KeepLast
from blockyard.runs.record import RunRecord
from blockyard.runs.run_config import RunConfig

for part in iter_modules(blockyard.tasks.__path__, "blockyard.tasks."):  # it finds imported classes by their name alone
    import_module(part.name)


class SuiteCLI(LightningCLI):
    """LightningCLI whose model learns classes and channels from the data, and whose runs have an identity.

    Args:
        verb: What to run, or None to parse and build only.
        composed: The configuration.
        needs_data: Whether classes are those of the data, and have to be the checkpoint's if there is one. Otherwise a
            checkpoint that says its classes is believed, and the data it was trained on need not be there.
        trains: Whether there will be a training; None means where the verb is ``fit``.
        prediction: What ``predict`` reads and where it writes.

    Attributes:
        run_config: The resolved configuration of the run that trained, or will train, the network.
        run_directory: Where everything that the run writes goes.
        vocabulary: What the checkpoint says of its classes, if there is one that does.

    Raises:
        ValueError: If the configuration is wrong, the classes of checkpoint and data differ, or another process trains
            this run.
    """

    def __init__(
        self,
        verb: str | None,
        composed: Composed,
        needs_data: bool = True,
        trains: bool | None = None,
        prediction: Prediction | None = None,
    ) -> None:
        self.verb, self.composed, self.needs_data = verb, composed, needs_data
        self.prediction = prediction or Prediction()
        self.trains = verb == "fit" if trains is None else trains
        self._startup = Startup()
        if not is_first_process():
            self._startup.watch()
        with spoken(self._section), ExitStack() as self._until_done:
            self._until_done.push(self._startup.leave)
            super().__init__(
                LightningModule,
                DataModule,
                save_config_callback=None,
                seed_everything_default=0,
                trainer_defaults={
                    "use_distributed_sampler": False,  # it repeats samples; the data modules split without
                    "num_sanity_val_steps": 0,
                    "enable_model_summary": False,
                },
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                parser_kwargs=parser_options(verb),
                run=verb is not None,
            )

    def _section(self) -> Any:
        """What has been parsed, of the verb."""
        config = getattr(self, "config", {})
        return config.get(self.verb, {}) if self.verb else config

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The verb that is called for: to make the parsers of all takes their time, and none of them is used."""
        return {verb: skipped for verb, skipped in LightningCLI.subcommands().items() if verb == self.verb}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what the data know to the model, which gets what its signature asks for."""
        asked = {"num_classes": self._num_classes, "input_shape": self._input_shape, "members": members_of}
        for name, known in asked.items():
            parser.link_arguments("data", f"model.init_args.{name}", known, apply_on="instantiate")

    def _num_classes(self, data: DataModule) -> int:
        known = data.num_classes if self._asks_data(data) or self.vocabulary is None else self.vocabulary.num_classes
        task: Any = locate(self._get(self.config, "model").class_path)
        if not known and _asks_for(task, "num_classes"):
            whose = type(data).__name__ if self.vocabulary is None else self.composed.checkpoint
            raise DataError(f"{whose} has no classes, which {task.__name__} learns: give it other data")
        return known

    def _input_shape(self, data: DataModule) -> tuple[int, ...]:
        data.known = self.vocabulary
        model = self._get(self.config, "model")
        task: Any = locate(model.class_path)
        objective = model.init_args.get("objective")
        kind: Any = locate(objective.class_path) if objective else None
        refuse_other_data(task, data, labels=kind is None or kind.adds)
        return data.input_shape

    def _asks_data(self, data: DataModule) -> bool:
        """Whether the data say the classes; those of a test, such as one folder ``test``, may not."""
        return self.needs_data and (self.subcommand != "test" or data.tells_classes)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, without the warning of the base class that ``args`` was given."""
        try:
            self.config = parser.parse_args(self.composed.arguments(self.verb))
        except ArgumentError as error:
            raise ValueError(explain(str(error))) from error
        check_seed(self.config[f"{self.verb}.{SEED}" if self.verb else SEED])

    def before_instantiate_classes(self) -> None:
        """Settle which configuration the run has, and refuse one that contradicts its checkpoint."""
        section = self.config[self.subcommand] if self.subcommand else self.config
        trusting = any(option.startswith(TRUSTING) for option in self.composed.options)
        refuse_calls(section, trusting)
        self._finders = taken_out(section.trainer)
        if self._finders and self.trains and not self.verb:
            raise ValueError(f"{next(iter(self._finders))} is for blockyard fit: here all runs have the options said")
        self.prediction.settle(section.data, self.composed)
        settle(section.trainer, self.trains)
        if self.trains:
            settle_warm_up(section.trainer, section.model.init_args.get("warmup_epochs") or 0)
        dump = dumped(self._parser(self.subcommand), section)
        resolved = {key: short_names(dump[key]) for key in ("seed_everything", "trainer", "model", "data")}
        saved = self.composed.saved
        evaluation = evaluation_options(dump) if self.subcommand != "fit" else []
        if saved and self.subcommand == "fit":
            go_on(saved, resolved, Path(str(self.composed.checkpoint)), self.composed.asks("trainer.default_root_dir"))
            resolved |= {FOUND: found} if (found := dict(still_found(saved, resolved))) else {}
        elif saved and (problem := contradiction(saved, resolved, [".".join(option) for option in evaluation])):
            raise ValueError(problem)
        elif not saved:
            resolved |= still_begun(self.composed.config, resolved)
        self.run_config = evaluated(saved, resolved, evaluation) if saved and self.subcommand != "fit" else resolved
        self.vocabulary = (
            read_vocabulary(Path(self.composed.checkpoint)) if saved and self.composed.checkpoint else None
        )
        # Where to write is the command's to say, before the training's.
        own = resolved["trainer"].get("default_root_dir")
        self._place = resolved if own else self.run_config

    def instantiate_classes(self) -> None:
        """Look at the trainer's options first: that takes no data. A checkpoint's weights follow those of a file."""
        fit_to_machine(self._get(self.config, "trainer"), self.trains)
        if not self.composed.saved:
            refuse_other_weights(self.run_config)
        with weights_follow() if self.composed.saved else nullcontext():
            super().instantiate_classes()

    def _settle_classes(self) -> None:
        """Give the data the names that the checkpoint has, or compare the two.

        Raises:
            ValueError: If they differ.
        """
        if self.vocabulary is None:
            return
        self.datamodule.known = self.vocabulary
        if not self._asks_data(self.datamodule):
            self.datamodule.trained = self.vocabulary
        elif problem := self.vocabulary.difference(self.datamodule.vocabulary):
            raise ValueError(f"{self.composed.checkpoint} was trained on other classes: {problem}")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with the run's directory, loggers and callbacks, once data and model turned out possible."""
        self._settle_classes()
        options = self._get(self.config_init, "trainer")
        self._search(options)
        self._identify_data()
        self.run_directory = run_directory(self._place)
        for folder in (self.run_directory, RUNS / "records") if self.subcommand in ("test", "predict") else ():
            insist_on(folder)
        if self.trains:
            try_out(options, self.model, self.datamodule)
        if options.logger in (None, True):
            kwargs["logger"] = self._loggers() if self.subcommand in ("fit", None) else False
        kwargs["max_time"] = None  # KeepLast leaves in time, with a checkpoint
        kwargs["plugins"] = [*_listed(options.plugins), AtomicCheckpointIO()]
        config = {**options, **kwargs, "default_root_dir": self.run_directory}
        try:
            trainer = self._instantiate_trainer(config, self._callbacks())
        except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
            raise ValueError(f"trainer: {error}") from error
        refuse_other_keepers(trainer)
        if self.subcommand == "predict" and is_first_process():
            self.prediction.refuse_existing(trainer.callbacks)  # type: ignore[attr-defined]
        self._settle_checkpoint(bool(options.fast_dev_run))
        if trainer.world_size > 1 and is_first_process():
            self._startup.watch(trainer.strategy.launcher)
        return trainer

    def _search(self, options: Any) -> None:
        """Find what was asked to be found, unless the run is a trial or goes on: a checkpoint has it."""
        if self._finders and self.verb == "fit" and not options.fast_dev_run and not self.composed.saved:
            world = fit_to_machine(options, trains=True)
            enter(self.run_config, find(self._finders, self.model, self.datamodule, options, world))

    def _settle_checkpoint(self, trial: bool) -> None:
        """Take the run's folder, which is made only now that everything else is right, and find the checkpoint."""
        if self.subcommand == "fit" and is_first_process() and not trial:
            self._until_done.enter_context(held(self.run_directory))
        if self.subcommand:
            method = self.config_init[self.subcommand]
            asked = method.ckpt_path
            method.ckpt_path = find_checkpoint(self.subcommand, asked, self.run_directory)
            if asked and not method.ckpt_path and is_first_process():
                print(f"blockyard: {printable(from_the_beginning(self.run_config, self.run_directory))}")
            if method.ckpt_path and not self.composed.saved:  # it was "best" or "last"
                of_this_run(self.subcommand, self.run_config, Path(method.ckpt_path), self.model, self.datamodule)
            if method.ckpt_path:
                self.vocabulary = read_vocabulary(Path(method.ckpt_path))
            method.return_predictions = False  # PredictionsCSV writes them as they come
            method.verbose = False  # the verbs say what came of it in the units of the metrics
        self._settle_classes()

    def load_weights(self, checkpoint: str | Path) -> None:
        """Give the task the weights of a checkpoint.

        Raises:
            ValueError: If there is none, or they are another network's; one line.
        """
        if not Path(checkpoint).is_file():
            raise no_checkpoint(Path(checkpoint))
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        try:
            self.model.load_state_dict(state, strict=self.model.strict_loading)
        except RuntimeError as error:
            raise ValueError(f"{checkpoint}: not of this network: {str(error).splitlines()[-1].strip()}") from error

    def _identify_data(self) -> None:
        """Say in the run's configuration which data it is about; what a checkpoint says of its training stays.

        Raises:
            ValueError: If a training would go on with other data than it began with.
        """
        saved = self.composed.saved
        if saved is None:
            # who only builds may have no data
            with nullcontext() if self.subcommand else suppress(DataError):
                if self.needs_data or (self.subcommand and not self._place["trainer"].get("default_root_dir")):
                    self.run_config[FINGERPRINTS] = self.datamodule.fingerprints("train", "val", "test")
        elif self.subcommand == "test":
            now = {"test": self.datamodule.fingerprint("test"), "of": self.datamodule.fingerprints_are_of}
            self.run_config[FINGERPRINTS] = tested_on(saved, now)
        elif self.subcommand == "fit":
            now = self.datamodule.fingerprints("train", "val", "test")
            same_data(saved, now, self.composed.checkpoint)
            self.run_config[FINGERPRINTS] = now

    def _loggers(self) -> list[Logger]:
        # A resumed run adds to the events but starts a new version of the CSV, which knows no appending.
        place = self.run_directory
        return [TensorBoardLogger(place, name="", version=""), CSVLogger(place, name="metrics")]

    def _callbacks(self) -> list[Callback]:
        """What hangs on every trainer."""
        checkpoints = self.run_directory / "checkpoints"
        validated: Any = self.model.validated_metric
        record = RunRecord(str(RUNS / "records"))
        record.config = self.run_config
        resume: list[Callback] = [ExactResume()] if self.subcommand in ("fit", None) else []
        options = self._get(self.config_init, "trainer")
        own_bar = any(isinstance(callback, ProgressBar) for callback in _listed(options.callbacks))
        return [
            self._startup,
            *resume,
            *([] if own_bar or options.enable_progress_bar is False else [Bar()]),
            RunConfig(self.run_config, self.run_directory),
            record,
            *(report(self.prediction.output or self.run_directory) for report in self.model.reports),
            KeepBest(checkpoints, f"val/{validated.name}", validated.mode),
            KeepLast(checkpoints / "last.ckpt", seconds(options.max_time)),
        ]


def _asks_for(kind: Any, argument: str) -> bool:
    """Whether a class, or one that it passes its options on to, has an argument of that name."""
    return any(argument in inspect.signature(one.__init__).parameters for one in kind.__mro__)


def seconds(duration: Any) -> float | None:
    """A duration as ``trainer.max_time`` takes it: ``DD:HH:MM:SS``, a mapping or a timedelta."""
    return Timer(duration).time_remaining() if duration is not None else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]

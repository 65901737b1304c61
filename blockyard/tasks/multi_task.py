"""Several tasks on several data sets, learned by one network at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from blockyard.backbones import Backbone
from blockyard.backbones.sharing import share_trunk
from blockyard.blocks.base import concrete_subclasses
from blockyard.blocks.mixers.experts import for_task
from blockyard.blocks.mixers.routing import mutual_information, routed
from blockyard.datamodules import DataModule
from blockyard.datamodules.several import Member
from blockyard.leaderboard.identity import FINGERPRINTS, TOGETHER, canonical
from blockyard.metrics import Metric
from blockyard.mistakes import nearest
from blockyard.objectives import Default
from blockyard.objectives.base import Logged
from blockyard.runs.measured import Tested
from blockyard.tasks.base import Task
from blockyard.tasks.joint_options import check_members, check_own, check_routers, check_weights

Batches = dict[str, dict[str, Any]]
OWN_OPTIONS = ("weights", "balance", "task_options", "least_use")
"""Options that a task alone does not have."""


class JointLoss(Default):
    """The sum of the tasks' own losses, each with its weight, less what the routers' mutual information weighs."""

    def loss(self, task: Any, batch: Batches) -> tuple[Tensor, Logged]:
        """The loss of a batch of each task; logged is each task's own, and the mutual information of the routers."""
        total, logged, shares = torch.zeros((), device=task.device), Logged(), list[list[Tensor]]()
        for number, (name, member) in enumerate(task.tasks.items()):
            with routed(task.network, number) as of_task:
                loss, of_member = member.objective.loss(member, batch[name])
            logged |= {f"{name}/loss": loss} | {f"{name}/{key}": value for key, value in of_member.items()}
            total = total + task.weights[name] * loss
            shares.append(of_task)
        if shares[0]:
            known = torch.stack([mutual_information(torch.stack(of_router)) for of_router in zip(*shares, strict=True)])
            logged["mutual_information"] = known.mean()
            total = total - task.balance * known.mean()
        return total, logged


class MultiTask(Task):
    """Trains one trunk, with blocks plugged in, for the tasks of several data sets at once.

    ``self.network`` is the plugged trunk, which gives maps; ``self.tasks`` has the suite's own task for each set of a
    :class:`~blockyard.datamodules.MultiData`, by its name. The network of each is the trunk with a head of its own, so
    that losses, metrics and scores of samples are those that the task has alone. A training batch maps the names of
    sets to their batches; validation and test pass set after set.

    Mixtures of experts in the trunk (:class:`~blockyard.blocks.ExpertMLP`, ``ExpertAttention``) have a router for each
    task. What the routers know of the tasks, their mutual information, is rewarded: that uses all experts, and few for
    each task (Chen et al., 2023).

    Args:
        backbone: Called with ``(num_classes, in_channels)``, once for the trunk and once for each task.
        members: What there is to learn; the command line takes it from the data.
        input_shape: Shape ``(C, *S)`` of one sample; the command line takes it from the data.
        weights: Factors of the tasks' losses by name; None, and for those not named, 1.
        balance: Factor of the routers' mutual information, in nats, which is taken off the loss.
        task_options: Further options of tasks by name, such as ``{scenes: {decode_head: {type: FCNHead}}}``.
        least_use: In an evaluation of one task (``--data.only``), experts that it sent less than this share of its
            positions to are dropped; None drops none.
        options: Those of :class:`~blockyard.tasks.base.Task`.

    Raises:
        ValueError: If there is no task for a set, sets differ in channels or rank, a name is none of the sets',
            mixtures are not made for as many tasks or not there, a factor is below 0, an objective is given, a task has
            no such option, or as :class:`~blockyard.tasks.base.Task`.
    """

    primary_metric: ClassVar[str] = "mean_score"
    output: ClassVar[str] = "maps of the trunk; --data.only exports the network of one task"
    default_objective: ClassVar[type[Default]] = JointLoss
    learns_from: ClassVar[tuple[str, ...]] = ("several sets",)
    evaluation_options: ClassVar[tuple[str, ...]] = ("least_use",)

    def __init__(
        self,
        backbone: Callable[[int, int], Backbone],
        members: list[Member],
        input_shape: tuple[int, ...],
        weights: dict[str, float] | None = None,
        balance: float = 0.0,
        task_options: dict[str, dict[str, Any]] | None = None,
        least_use: float | None = None,
        **options: Any,
    ) -> None:
        if options.get("objective") is not None:
            raise ValueError("objective: MultiTask minimises its tasks' own losses: leave objective away (null)")
        names = [member.name for member in members]
        for option, said in (("weights", weights), ("task_options", task_options)):
            if unknown := [name for name in said or {} if name not in names]:
                raise ValueError(f"{option}: {unknown[0]!r} is none of the sets; {nearest(unknown[0], names)}")
        check_members(members)
        check_weights(weights or {}, balance)
        super().__init__(backbone(0, input_shape[0]), input_shape, **options)
        check_routers(self.network, len(members), balance, least_use)
        self.num_classes = sum(member.num_classes for member in members)
        self.weights = dict.fromkeys(names, 1.0) | (weights or {})
        self.balance, self.least_use = balance, least_use
        self.tasks = nn.ModuleDict()
        for member in members:
            self.tasks[member.name] = self._task(member, backbone, (task_options or {}).get(member.name, {}))
        self.asked = [member.name for member in members if member.asked is not False]
        self.numbers = {name: number for number, name in enumerate(names)}
        self.metrics = tuple(Metric(f"{name}/loss", higher_is_better=False) for name in self.asked)  # type: ignore[misc]
        self._scores, self._whole = dict[str, Tensor](), True

    def _task(self, member: Member, backbone: Callable[[int, int], Backbone], options: Mapping[str, Any]) -> Task:
        """The suite's task for a set, on a network with the shared trunk."""
        trunk: Any = self.network

        def on_trunk(num_classes: int, in_channels: int) -> Backbone:
            made = backbone(num_classes, in_channels)
            share_trunk(made, trunk)
            return made

        kind: Any = task_for(member)
        check_own(member.name, kind, options)
        try:
            made: Task = kind(
                backbone=on_trunk,
                num_classes=member.num_classes,
                input_shape=member.input_shape,
                optimizer=self.optimizer,
                **options,
            )
        except (AttributeError, TypeError, ValueError) as error:
            if not options and not isinstance(error, ValueError):  # no value of another type, but a bug
                raise
            raise ValueError(f"task_options: {member.name}: {kind.__name__}: {error}") from error
        return made

    def setup(self, stage: str) -> None:
        """Give each task the trainer, as if its set were all that there is.

        Raises:
            ValueError: If a training is asked for of one set alone, or experts are to be dropped that all tasks need.
        """
        if stage == "fit" and len(self.asked) < len(self.tasks):
            raise ValueError("data.only is for tests and exports: a training is of all sets")
        if self.least_use is not None and len(self.asked) > 1:
            raise ValueError(
                f"model.least_use drops experts of one task: --data.only says which, {' or '.join(self.asked)}"
            )
        for place, (name, member) in enumerate(self._judged()):
            member.trainer = _OfSet(self.trainer, name, place)
            member.log = partial(self._log_of, name)
            member.setup(stage)

    def _judged(self) -> list[tuple[str, Any]]:
        return [(name, self.tasks[name]) for name in self.asked]

    def _log_of(self, member: str, name: str, value: Any, **how: Any) -> None:
        """Log what a task logs under its name, ``val/<task>/<metric>``."""
        split, _, metric = name.partition("/")
        self.log(f"{split}/{member}/{metric}", value, **how)
        if metric == self.tasks[member].primary_metric:
            self._scores[member] = torch.as_tensor(value)

    def samples_in(self, batch: Batches) -> int:
        """Samples of all tasks."""
        return sum(len(of_task["index"]) for of_task in batch.values())

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Validate the task of a loader."""
        name, member = self._judged()[dataloader_idx]
        with routed(self.network, self.numbers[name]):
            member.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of each task, and the mean of what each is ranked by."""
        for _, member in self._judged():
            member.on_validation_epoch_end()
        self._log_mean("val")

    def on_test_epoch_start(self) -> None:
        """Make room for the scores of each task's samples."""
        for _, member in self._judged():
            member.on_test_epoch_start()

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Test the task of a loader."""
        name, member = self._judged()[dataloader_idx]
        with routed(self.network, self.numbers[name]) if self._whole else nullcontext():
            member.test_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log the metrics of each task, which has its ``sample_scores`` from now on, and the mean."""
        for _, member in self._judged():
            member.on_test_epoch_end()
        self._log_mean("test")

    def _log_mean(self, split: str) -> None:
        scores = [self._scores[name].float() for name in self.asked]
        self.log(f"{split}/{self.primary_metric}", torch.stack(scores).mean(), prog_bar=split == "val")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the whole; where an evaluation is of one task, leave what that needs: ``network`` then is its own."""
        found = super().load_state_dict(state_dict, strict, assign)
        if len(self.asked) == 1 and self._whole:
            self._whole, name = False, self.asked[0]
            member: Any = self.tasks[name]
            self.network = member.network
            for_task(self.network, self.numbers[name], self.least_use or 0.0)
            self.output, self.pipeline, self.named = member.output, member.pipeline, member.named  # type: ignore[misc]
        return found

    def tested(self, config: Mapping[str, Any]) -> list[Tested]:
        """What a test is of, for its records: each task.

        The experiment is one of that task by itself, on its own set, which says under ``together`` what else was
        learned: so its row stands beside those of networks that learned it alone.

        Args:
            config: The configuration of the whole.
        """
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        sets = [(name, member, data.sets[name]) for name, member in self._judged()]
        return [
            Tested(member, of_one(config, name, member, one), one.input_shape, f"test/{name}/")
            for name, member, one in sets
        ]


class _OfSet:
    """A trainer, as the task of one of several sets sees it: with the set's data module and test loader."""

    def __init__(self, trainer: Any, name: str, place: int) -> None:
        self._trainer, self._name, self._place = trainer, name, place

    def __getattr__(self, option: str) -> Any:
        return getattr(self._trainer, option)

    @property
    def datamodule(self) -> Any:
        """The set's."""
        return self._trainer.datamodule.sets[self._name]

    @property
    def test_dataloaders(self) -> Any:
        """The set's."""
        return self._trainer.test_dataloaders[self._place]


def task_for(member: Member) -> type[Task]:
    """The suite's task that names classes from samples such as a set has.

    Raises:
        ValueError: If there is none.
    """
    kinds = [kind for kind in concrete_subclasses(Task, "*") if kind.__module__.startswith("blockyard.") and kind.named]
    for kind in kinds:
        if member.samples_are in kind.learns_from:
            return kind
    able = sorted({samples for kind in kinds for samples in kind.learns_from})
    raise ValueError(f"MultiTask: {member.name} has {member.samples_are or 'samples'}: needed are {', '.join(able)}")


def of_one(config: Mapping[str, Any], name: str, member: Task, data: DataModule) -> dict[str, Any]:
    """The configuration of one of the tasks that were learned together; see :meth:`MultiTask.tested`."""
    joint, whole = canonical(config), config["model"].get("init_args") or {}
    own = (whole.get("task_options") or {}).get(name, {})
    options = {key: value for key, value in whole.items() if key not in OWN_OPTIONS}
    sets = {key: value for key, value in joint["data"]["init_args"].items() if key != "only"}
    learned = {key: value for key, value in joint["model"]["init_args"].items() if key in OWN_OPTIONS}
    of_set = config["data"]["init_args"]["sets"][name]
    return {
        **{key: value for key, value in config.items() if key != FINGERPRINTS},
        "model": {"class_path": type(member).__name__, "init_args": {**options, **own}},
        "data": {"class_path": of_set["class_path"], "init_args": dict(of_set.get("init_args") or {})},
        FINGERPRINTS: data.fingerprints("test"),
        TOGETHER: {"task": name, **learned, **sets},
    }

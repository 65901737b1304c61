"""Choices of the networks that lie within one that ProgressiveShrinking trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from blockyard.backbones.elastic import Choices, elastic_part
from blockyard.compression.searching.space import Choice, Space
from blockyard.leaderboard.identity import PARENT, identity
from blockyard.objectives import ProgressiveShrinking


class ElasticNetworks:
    """The networks within an :class:`~blockyard.backbones.ElasticMobileNet`.

    What is chosen for a unit that a depth leaves out makes no difference.

    Args:
        task: Holds the network, and the objective that trained it.

    Attributes:
        space: The depth of each stage, then the kernel of each unit, then its expansion.

    Raises:
        ValueError: If the network was trained by another objective; one line.
    """

    def __init__(self, task: Any) -> None:
        objective = task.objective
        if not isinstance(objective, ProgressiveShrinking):
            raise ValueError("search: --space elastic is of what --model.objective ProgressiveShrinking trained")
        self.network, self.objective = task.network, objective
        units = [path for path, _ in elastic_part(task.network).units()]
        names = [f"depth:stage{number}" for number, _ in enumerate(objective.space.depths, 1)]
        names += [f"{what}:{path}" for what in ("kernel", "expansion") for path in units]
        genes = zip(names, objective.space.genes, strict=True)
        self.space = Space(tuple(Choice(name, tuple(values)) for name, values in genes))

    def is_whole(self, chosen: Mapping[str, Any]) -> bool:
        """Whether a candidate leaves the network as it is."""
        return self._choices(chosen) == self.objective.space.whole

    def of(self, chosen: Mapping[str, Any]) -> nn.Module:
        """The network of a candidate, whose batch norms still have the statistics of the whole."""
        return self.objective.extracted(self.network, self._choices(chosen)).eval()

    def configure(self, config: dict[str, Any], chosen: Mapping[str, Any]) -> None:
        """Let a configuration build the network of a candidate, and say where its weights come from."""
        hashes = identity(config)
        config[PARENT] = {
            **{name: getattr(hashes, name) for name in ("experiment", "baseline", "run")},
            "by": type(self.objective).__name__,
            "changed": {},
        }
        options = config["model"]["init_args"]
        options["objective"] = None
        options["backbone"].setdefault("init_args", {}).update(self._choices(chosen).options())

    def _choices(self, chosen: Mapping[str, Any]) -> Choices:
        values = [chosen.get(choice.name, choice.values[-1]) for choice in self.space.choices]
        places = [choice.values.index(value) for choice, value in zip(self.space.choices, values, strict=True)]
        return self.objective.space.choices(places)

"""``blockyard search``: small networks within a trained one that are still good, and checkpoints of those."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from statistics import mean
from typing import Any

import numpy as np
from torch import nn

from blockyard import files
from blockyard.analysis.front_drawing import draw_fronts
from blockyard.commands.compressed_task import (
    built,
    composed_of,
    insist_on_same,
    refuse_others,
    weights_of,
    with_network,
)
from blockyard.commands.elastic_networks import ElasticNetworks
from blockyard.commands.pruned_checkpoint import write_checkpoint
from blockyard.commands.pruned_training import Cost
from blockyard.commands.search_candidates import Candidates, bits_of, removed_of
from blockyard.commands.search_file import Judged, comparable, opened, values_of
from blockyard.commands.search_jobs import Judges
from blockyard.commands.search_options import STRATEGIES
from blockyard.composing.composition import Composed
from blockyard.compression.quantising import Quantised
from blockyard.compression.searching.front import Values
from blockyard.compression.searching.history import History
from blockyard.compression.searching.predicted import Predicted
from blockyard.compression.searching.reinforce import Reinforce
from blockyard.compression.searching.space import Code
from blockyard.compression.searching.strategies import NSGA2, Random, Strategy
from blockyard.compression.sizes import Pruned, sizes_of, smaller
from blockyard.progress import at_work
from blockyard.runs.record import sha256_of

KINDS: dict[str, type[Strategy]] = dict(zip(STRATEGIES, (Random, NSGA2, Predicted, Reinforce), strict=True))


def main(options: Namespace, rest: list[str]) -> int:
    """Run the verb.

    Args:
        options: What :func:`~blockyard.commands.search_options.search` reads.
        rest: The other command line tokens, as for ``test``.

    Returns:
        0.

    Raises:
        ValueError: If the arguments are wrong, or the network can't be searched so; one line.
    """
    _refuse(options)
    search = _Search(options, composed_of(options, rest, "search"))
    judges = Judges(options, rest) if options.jobs > 1 else None
    try:
        search.run(judges)
    finally:
        if judges:
            judges.end()
    search.say()
    search.write()
    return 0


def _refuse(options: Namespace) -> None:
    for name, least in (
        ("budget", 1),
        ("samples", 1),
        ("calibration", 1),
        ("seed", 0),
        ("write", 0),
        ("epochs", 0),
        ("jobs", 1),
    ):
        if getattr(options, name) < least:
            raise ValueError(f"search: --{name} {getattr(options, name)} must be at least {least}")
    if len(set(options.objectives)) < 2:
        raise ValueError("search: --objectives takes two or more, such as accuracy macs")
    if options.strategy == "reinforce" and options.objectives[0] != "accuracy":
        raise ValueError("search: reinforce earns by accuracy and a cost: --objectives accuracy macs, for one")
    if options.jobs > 1 and "latency" in options.objectives:
        raise ValueError(f"search: --jobs {options.jobs}: latency is timed alone, by one process")
    if options.lr_factor <= 0:
        raise ValueError(f"search: --lr_factor {options.lr_factor:g} must be positive")


class _Search:
    """One strategy, from its first candidate or from where it was.

    Attributes:
        found: What has been judged.
    """

    def __init__(self, options: Namespace, composed: Composed) -> None:
        self.options, self.composed = options, composed
        self.config: dict[str, Any] = copy.deepcopy(composed.saved or {})
        self.cli = built(composed, self.config, weights_of(options), needs_data=bool(options.epochs))
        refuse_others(self.cli.model, "search")
        self.candidates = Candidates(self.cli, options)
        settings = {
            "checkpoint": sha256_of(options.ckpt_path),
            "space": self.candidates.space.told(),
            "classes": self.cli.model.num_classes,
            "objectives": list(dict.fromkeys(options.objectives)),
            "criterion": options.criterion,
            "samples": options.samples,
            "calibration": options.calibration,
            "epochs": options.epochs,
            "lr_factor": options.lr_factor,
            "strategy": options.strategy,
            "seed": options.seed,
        }
        path = options.output / f"{options.strategy}-{options.seed}.json"
        self.found = opened(path, settings, lambda: self.candidates.judge({}))

    def run(self, judges: Judges | None) -> None:
        """Spend the budget; a file tells of each network as soon as it is judged."""
        options, strategy = self.options, KINDS[self.options.strategy]()

        def ahead(codes: list[Code]) -> None:
            fresh = [code for code in codes if code not in self.found.candidates]
            if judges and fresh:
                for code, judged in zip(fresh, judges.judge([*map(self.candidates.space.decode, fresh)]), strict=True):
                    self._keep(code, judged)

        count = len(self.found.objectives)
        history = History(self.candidates.space, self._values, options.budget, count, ahead)
        with at_work(f"judging by {options.strategy}", history.budget) as self._step:
            strategy.run(history, options.seed)
        calibration = strategy.calibration if isinstance(strategy, Predicted) else []
        self.found.calibration = [asdict(one) for one in calibration]
        self.found.write()

    def _keep(self, code: Code, judged: Judged) -> None:
        self.found.candidates[code] = judged
        self.found.write()

    def _values(self, code: Code) -> Values:
        if code not in self.found.candidates:
            self._keep(code, self.candidates.judge(self.candidates.space.decode(code)))
        self._step()
        return values_of(self.found.candidates[code], self.found.whole, self.found.objectives)

    def say(self) -> None:
        """Say what is on the front, how it compares with that of others in the folder, and draw them."""
        found = self.found
        print(f"{len(found.candidates)} of {self.candidates.space.candidates:,} networks judged; on the front:")
        for _, judged in [(None, found.whole), *found.best]:
            print(f"  {_told(judged, found.objectives)}{' (the whole network)' if judged is found.whole else ''}")
        if found.calibration:
            print("\n".join(_calibrated(found.objectives, found.calibration)))
        others = comparable(found)
        for strategy in STRATEGIES:
            volumes = [one.volume for one in others if one.settings["strategy"] == strategy]
            if volumes:
                spread = f" ± {np.std(volumes, ddof=1):.4f} over {len(volumes)} seeds" if len(volumes) > 1 else ""
                print(f"hypervolume {mean(volumes):.4f}{spread}, {strategy}")
        shown = {one.path.stem: (list(one.candidates.values()), [judged for _, judged in one.best]) for one in others}
        picture = self.options.output / "front.png"
        files.write(picture, draw_fronts(shown, found.whole, found.objectives))
        print(f"{found.path}, {picture}")

    def write(self) -> None:
        """Write checkpoints of networks that lie evenly along the front."""
        best = self.found.best
        if self.options.write:
            for number in sorted({round(one) for one in np.linspace(0, len(best) - 1, self.options.write)}):
                self._write(number + 1, *best[number])

    def _write(self, number: int, code: Code, judged: Judged) -> None:
        chosen = self.candidates.space.decode(code)
        network = self.candidates.network_of(chosen)
        config = self._configured(network, chosen)
        state = with_network(self.cli.model, network)
        if not config["model"]["init_args"].get("objective"):
            state = {name: value for name, value in state.items() if not name.startswith("objective.")}
        made = built(self.composed, config, state, needs_data=False)
        insist_on_same(made.model.network, network, self.candidates.example, "search")
        folder = self.found.path.with_name(f"{self.found.path.stem}-{number}")
        place = Namespace(ckpt_path=self.options.ckpt_path, output=folder, overwrite=True)
        print(f"{_told(judged, self.found.objectives)}: {write_checkpoint(place, config, state, Cost())}")

    def _configured(self, network: nn.Module, chosen: dict[str, Any]) -> dict[str, Any]:
        """The configuration that builds a candidate's network."""
        config = copy.deepcopy(self.config)
        said = config["model"]["init_args"].get("pruned") or {}
        if isinstance(self.candidates.parts, ElasticNetworks):
            self.candidates.parts.configure(config, chosen)
        else:
            config["model"]["init_args"]["pruned"] = self._pruned(network, removed_of(chosen)) or said or None
        if bits := bits_of(chosen, network):
            quantised = Quantised(bits, self.options.calibration)
            config["model"]["init_args"]["quantised"] = asdict(quantised)
        return config

    def _pruned(self, network: nn.Module, removed: list[str]) -> dict[str, Any]:
        """What a candidate has lost, nothing if that is nothing."""
        said = self.config["model"]["init_args"].get("pruned") or {}
        sizes = smaller(sizes_of(self.candidates.network), sizes_of(network))
        if not sizes and not removed:
            return {}
        options = self.options
        pruned = Pruned(
            {**said.get("sizes", {}), **sizes},
            options.criterion if sizes else None,
            calibration=options.calibration,
            epochs=options.epochs or None,
            lr_factor=options.lr_factor if options.epochs else None,
            after=Pruned(**said).told() if said else None,
            removed=[*said.get("removed", []), *removed] or None,
        )
        return {key: value for key, value in asdict(pruned).items() if value is not None}


def _told(judged: Judged, objectives: list[str]) -> str:
    texts = {
        "accuracy": "accuracy {0:.1%} [{1:.1%}, {2:.1%}]",
        "parameters": "{0:,.0f} parameters",
        "macs": "{0:,.0f} MACs",
        "bytes": "{0:,.0f} bytes",
        "latency": "{0:.3g} s a sample",
    }
    return ", ".join(texts[name].format(judged[name], judged["low"], judged["high"]) for name in objectives)


def _calibrated(objectives: list[str], calibration: list[dict[str, Any]]) -> Iterator[str]:
    """How well predictors did in the end on what they did not see, and on what they chose, over all trainings."""
    for number, name in enumerate(objectives):
        ranks = [one["chosen_rank"][number] for one in calibration if one["chosen_rank"][number] is not None]
        told = {
            "left out": (calibration[-1]["left_out"][number], calibration[-1]["left_out_rank"][number]),
            "chosen": (mean(one["chosen"][number] for one in calibration), mean(ranks) if ranks else None),
        }
        texts = []
        for what, (error, rank) in told.items():
            size = f"±{error:.3f}" if name == "accuracy" else f"a factor of {10**error:.2f}"
            texts.append(f"{what} {size}" + ("" if rank is None else f", rank correlation {rank:.2f}"))
        yield f"predicted {name}: {'; '.join(texts)}"

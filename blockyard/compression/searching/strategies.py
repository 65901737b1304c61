"""Strategies: which candidates are judged next. Chance, and evolution by pymoo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from blockyard.compression.searching.front import Values
from blockyard.compression.searching.history import BudgetSpentError, History
from blockyard.compression.searching.space import Code, Space

TOGETHER = 8
"""Candidates that chance asks for at once."""
PATIENCE = 20
"""Generations that may bring nothing new before evolution is over."""


class Strategy(ABC):
    """Spends the budget of a history.

    What it asks for depends on the seed and on what it was told, not on the budget: a larger one goes on.
    """

    paper: ClassVar[str] = ""
    """First author, title, venue and year."""

    def run(self, history: History, seed: int) -> None:
        """Search until the budget is spent, or nothing new is found."""
        with suppress(BudgetSpentError):
            self.search(history, seed)

    @abstractmethod
    def search(self, history: History, seed: int) -> None:
        """Ask for values until that ends in :class:`BudgetSpentError`."""


class Random(Strategy):
    """Chance, which every other has to beat: each candidate is as likely as any other, none comes twice."""

    def search(self, history: History, seed: int) -> None:
        """Draw one after the other."""
        codes = fresh(history, np.random.default_rng(seed))
        while some := list(islice(codes, TOGETHER)):
            history.values(some)


class NSGA2(Strategy):
    """Evolution by rank of fronts and crowding, by pymoo; the first generation holds the whole network.

    Args:
        population: Candidates of a generation.
    """

    paper = "Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE TEVC 2002"

    def __init__(self, population: int = 8) -> None:
        self.population = population

    def search(self, history: History, seed: int) -> None:
        """Judge generation after generation."""
        before, idle = len(history.found), 0
        first = [whole(history.space)]
        for _ in evolve(history.space, history.values, history.objectives, self.population, seed, first):
            idle = 0 if len(history.found) > before else idle + 1
            before = len(history.found)
            if idle >= PATIENCE:
                return


def fresh(history: History, draws: np.random.Generator) -> Iterator[Code]:
    """Candidates that have not been judged yet, by chance, until there are none."""
    small = history.space.candidates <= 4 * history.budget
    every = list(history.space.every()) if small else []
    for number in draws.permutation(len(every)):
        if every[number] not in history.found:
            yield every[number]
    given = set[Code]()
    while not small:
        if (code := history.space.draw(draws)) not in history.found and code not in given:
            given.add(code)
            yield code


def whole(space: Space) -> Code:
    """The candidate of all last values, which is nearest to the network itself."""
    return tuple(size - 1 for size in space.sizes)


def evolve(
    space: Space,
    judge: Callable[[Sequence[Code]], Sequence[Values]],
    objectives: int,
    population: int,
    seed: int,
    first: Sequence[Code] = (),
) -> Iterator[list[Code]]:
    """Generations of NSGA-II on integers, until there is no child that the generation does not hold already.

    Args:
        space: What may be chosen; what has one value stays.
        judge: The values of candidates.
        objectives: How many values there are of each.
        population: How many candidates a generation has.
        seed: Of chance.
        first: Candidates to begin with; chance adds what lacks of a generation.

    Yields:
        The candidates that are left of each.

    Raises:
        ValueError: If pymoo is not installed; one line.
    """
    library = _library()
    sizes = np.array(space.sizes)
    free = np.flatnonzero(sizes > 1)
    draws = np.random.default_rng(seed)
    begun = list(dict.fromkeys([*first, *(space.draw(draws) for _ in range(population - len(first)))]))
    if not len(free):
        judge(begun)
        return
    operators = {"repair": library.rounding.RoundingRepair(), "vtype": float}
    algorithm = library.nsga2.NSGA2(
        pop_size=population,
        sampling=np.array(begun, float)[:, free],
        crossover=library.sbx.SBX(prob=1.0, eta=8.0, **operators),
        mutation=library.pm.PM(prob=1.0, eta=8.0, **operators),
    )
    problem = library.problem.Problem(len(free), objectives, xl=np.zeros(len(free)), xu=sizes[free] - 1, vtype=int)
    algorithm.setup(problem, termination=library.never(), seed=seed, verbose=False)
    while (asked := algorithm.ask()) is not None and len(asked):
        values = np.array(judge(_codes(asked, free, len(sizes))), float)
        algorithm.evaluator.eval(library.static.StaticProblem(problem, F=values), asked)
        algorithm.tell(asked)
        yield _codes(algorithm.pop, free, len(sizes))


def _codes(population: Any, free: NDArray[np.intp], choices: int) -> list[Code]:
    whole = np.zeros((len(population), choices), int)
    whole[:, free] = np.rint(population.get("X").astype(float)).astype(int)
    return [tuple(row) for row in whole.tolist()]


def _library() -> Any:
    """The modules of pymoo that are needed."""
    try:
        from pymoo.algorithms.moo import nsga2
        from pymoo.core import problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover import sbx
        from pymoo.operators.mutation import pm
        from pymoo.operators.repair import rounding
        from pymoo.problems import static
    except ImportError as error:
        raise ValueError("search: pymoo is not installed: pip install 'blockyard[search]'") from error
    return SimpleNamespace(
        nsga2=nsga2, problem=problem, never=NoTermination, sbx=sbx, pm=pm, rounding=rounding, static=static
    )

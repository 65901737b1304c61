"""What a search has seen: each candidate is judged once, and a budget counts those."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from blockyard.compression.searching.front import Values
from blockyard.compression.searching.space import Code, Space


class BudgetSpentError(Exception):
    """No further candidate may be judged."""


class History:
    """Candidates and their values, in the order in which a strategy asked for them.

    A strategy is a function of a space, a seed and the values that it has been told, and of nothing else: what goes on
    after an interruption asks for the same candidates again, and ``judge`` answers from what it remembers.

    Args:
        space: What may be chosen.
        judge: The values of a candidate, to be minimised.
        budget: How many candidates may be judged.
        objectives: How many values each has.
        ahead: Told of candidates that will be judged next, so that several can be at a time.

    Attributes:
        found: Values by candidate.
    """

    def __init__(
        self,
        space: Space,
        judge: Callable[[Code], Values],
        budget: int,
        objectives: int = 2,
        ahead: Callable[[list[Code]], None] | None = None,
    ) -> None:
        self.space, self.judge, self.objectives, self.ahead = space, judge, objectives, ahead
        self.budget = min(budget, space.candidates)
        self.found: dict[Code, Values] = {}

    @property
    def left(self) -> int:
        """How many more may be judged."""
        return self.budget - len(self.found)

    def values(self, codes: Iterable[Code]) -> list[Values]:
        """The values of candidates; of those that have been judged before as they were.

        Raises:
            BudgetSpentError: If one more is asked for than the budget allows; those before it have been judged.
        """
        answers, codes = [], list(codes)
        if self.ahead:
            self.ahead([code for code in dict.fromkeys(codes) if code not in self.found][: self.left])
        for code in codes:
            if code not in self.found:
                if not self.left:
                    raise BudgetSpentError
                self.found[code] = self.judge(code)
            answers.append(self.found[code])
        return answers

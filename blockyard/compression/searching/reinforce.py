"""A policy that learns what to remove and what to shrink from what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from blockyard.compression.searching.history import History
from blockyard.compression.searching.space import Code, Space
from blockyard.compression.searching.strategies import PATIENCE, Strategy

REMOVAL = "units:"
"""What the names of choices begin with that take parts away."""


def reward(accuracy: float, whole: float, cost: float) -> float:
    """C (2 − C) · A / A_whole, of the compression C = 1 − cost: 0 without compression, A / A_whole if nothing is left.

    Args:
        accuracy: A, of the candidate.
        whole: That of the whole network.
        cost: The candidate's, in those of the whole network.
    """
    compression = 1 - cost
    return compression * (2 - compression) * accuracy / max(whole, 1e-12)


class Policy(nn.Module):
    """Chances of the values of choices, one choice after the other.

    What removes sees all choices from both sides and decides on each by itself; what shrinks goes from the first to the
    last and knows what it has chosen before.

    Args:
        space: What may be chosen.
        both_sides: Whether it is of the first kind.
        hidden: Width of its recurrent layer.
    """

    described: Tensor

    def __init__(self, space: Space, both_sides: bool, hidden: int = 32) -> None:
        super().__init__()
        self.sizes, self.both_sides = space.sizes, both_sides
        self.register_buffer("described", _described(space), persistent=False)
        width, outputs = self.described.shape[1], hidden
        self.recurrent: nn.Module
        if both_sides:
            self.recurrent, outputs = nn.LSTM(width, hidden, bidirectional=True), 2 * hidden
        else:
            self.recurrent = nn.LSTMCell(width + 1, hidden)
        self.heads = nn.ModuleList(nn.Linear(outputs, size) for size in self.sizes)

    def draw(self, count: int, generator: torch.Generator) -> tuple[list[Code], Tensor]:
        """Candidates by chance, and the logarithms of their probabilities, ``(count,)``."""
        codes, said = [], []
        states = self.recurrent(self.described[:, None])[0].expand(-1, count, -1) if self.both_sides else None
        memory: tuple[Tensor, Tensor] | None = None
        before = torch.zeros(count, 1)
        for number, head in enumerate(self.heads):
            if states is None:
                seen = torch.cat([self.described[number].expand(count, -1), before], 1)
                state, cell = self.recurrent(seen, memory)
                memory = state, cell
            else:
                state = states[number]
            chances = head(state).log_softmax(1)
            chosen = torch.multinomial(chances.detach().exp(), 1, generator=generator)
            said.append(chances.gather(1, chosen)[:, 0])
            codes.append(chosen[:, 0])
            before = (chosen + 1) / self.sizes[number]
        return [tuple(code) for code in torch.stack(codes, 1).tolist()], torch.stack(said).sum(0)


class Learner:
    """Makes what earned more than its like did lately likelier.

    Args:
        policy: What draws.
        seed: Of its draws.
        lr: Of Adam.
        decay: Of the mean of earlier rewards that a reward is compared with.
    """

    def __init__(self, policy: Policy, seed: int, lr: float = 0.02, decay: float = 0.7) -> None:
        self.policy, self.decay = policy, decay
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=lr)
        self.mean: float | None = None

    def round(self, count: int, earns: Callable[[list[Code]], list[float]]) -> tuple[list[Code], list[float]]:
        """Draw, and learn from what the candidates earn."""
        codes, said = self.policy.draw(count, self.generator)
        rewards = earns(codes)
        now = sum(rewards) / count
        mean = now if self.mean is None else self.mean
        loss = -((torch.tensor(rewards) - mean) * said).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.mean = self.decay * mean + (1 - self.decay) * now
        return codes, rewards


class Reinforce(Strategy):
    """REINFORCE: first on what takes units away, then, of the best that is left, on all other choices.

    The reward is of the first objective, which is the share of samples that are wrong, and the second, the decimal
    logarithm of a share of the whole's cost.

    Args:
        rollouts: Candidates between two steps of the policy.
    """

    paper = "Ashok et al., N2N Learning: Network to Network Compression via Policy Gradient RL, ICLR 2018"

    def __init__(self, rollouts: int = 5) -> None:
        self.rollouts = rollouts

    def search(self, history: History, seed: int) -> None:
        """Judge the whole network, then stage after stage."""
        whole = tuple(size - 1 for size in history.space.sizes)
        (values,) = history.values([whole])
        names = [choice.name for choice in history.space.choices]
        removing = [number for number, name in enumerate(names) if name.startswith(REMOVAL)]
        shrinking = [number for number in range(len(names)) if number not in removing]
        best, stages = whole, [places for places in (removing, shrinking) if places]
        for number, places in enumerate(stages, 1):
            most = history.budget * number // len(stages)
            best = self._stage(history, places, best, 1 - values[0], most, seed)

    def _stage(self, history: History, places: Sequence[int], begun: Code, whole: float, most: int, seed: int) -> Code:
        """The best candidate that differs from one in some places alone, until so many have been judged."""
        space = Space(tuple(history.space.choices[place] for place in places))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            policy = Policy(space, both_sides=space.choices[0].name.startswith(REMOVAL))
        learner, found, idle = Learner(policy, seed), dict[Code, float](), 0

        def earns(codes: list[Code]) -> list[float]:
            placed = [_placed(begun, places, code) for code in codes]
            rewards = [reward(1 - values[0], whole, 10 ** values[1]) for values in history.values(placed)]
            found.update(zip(placed, rewards, strict=True))
            return rewards

        while len(history.found) < most and idle < PATIENCE:
            before = len(history.found)
            learner.round(self.rollouts, earns)
            idle = 0 if len(history.found) > before else idle + 1
        return max(found, key=lambda code: found[code], default=begun)


def _placed(begun: Code, places: Sequence[int], values: Code) -> Code:
    code = list(begun)
    for place, value in zip(places, values, strict=True):
        code[place] = value
    return tuple(code)


def _described(space: Space) -> Tensor:
    """What is known of each choice, ``(choices, n)``: of what kind it is, how far along, and how many values it has."""
    kinds = sorted({choice.name.partition(":")[0] for choice in space.choices})
    rows = [
        [float(choice.name.partition(":")[0] == kind) for kind in kinds]
        + [number / len(space), math.log2(len(choice.values))]
        for number, choice in enumerate(space.choices)
    ]
    return torch.tensor(rows)

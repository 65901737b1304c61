"""Whose side does each member of a karate club take? Nodes of a graph are classified from the labels of a few.

DAGNN (Liu et al., Towards Deeper Graph Neural Networks, KDD 2020): an MLP, then a sum of hops that each node weighs for
itself, the suite's ``HopSum``. Beside it: the MLP alone, and graph convolutions. Features say who a node is, no more.

    python examples/graph.py --seed 0
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean, pstdev

import lightning
import networkx  # which torch depends on; it ships the club of Zachary, 1977
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from blockyard.blocks import HopSum
from blockyard.blocks.nonlocals.kernel_operators import spectral_normalisation
from blockyard.blocks.nonlocals.operators import Dense, Operator
from blockyard.mistakes import between


def karate_club() -> tuple[Operator, Tensor]:
    """D^-1/2 (E + I) D^-1/2 of who knows whom, ``(1, 34, 34)``, and which of two sides each member took, ``(34,)``."""
    graph = networkx.karate_club_graph()
    edges = torch.as_tensor(networkx.to_numpy_array(graph, weight=None), dtype=torch.float32)
    sides = torch.tensor([int(club == "Officer") for _, club in graph.nodes(data="club")])
    return spectral_normalisation(Dense((edges + torch.eye(len(edges)))[None])), sides


class Deep(nn.Module):
    """An MLP for each node, then a sum of ``order`` hops; of order 0 a gated MLP."""

    def __init__(self, nodes: int, classes: int, order: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv1d(nodes, 16, 1), nn.ReLU(), nn.Dropout(0.5), nn.Conv1d(16, classes, 1))
        self.hops = HopSum(classes, order)

    def forward(self, operator: Operator, x: Tensor) -> Tensor:
        """Logits ``(1, classes, N)`` of features ``(1, nodes, N)``."""
        return torch.as_tensor(self.hops(operator, self.mlp(x)))


class Convolutions(nn.Module):
    """relu(A H W) layer after layer, the last without the ReLU."""

    def __init__(self, nodes: int, classes: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(*shape, 1) for shape in pairwise([nodes, *[16] * (layers - 1), classes]))

    def forward(self, operator: Operator, x: Tensor) -> Tensor:
        """Logits ``(1, classes, N)`` of features ``(1, nodes, N)``."""
        for number, layer in enumerate(self.layers):
            x = operator.apply(layer(nn.functional.dropout(x.relu(), 0.5, self.training) if number else x))
        return x


class NodeClassification(lightning.LightningModule):
    """Learns the labels of known nodes, a mask ``(N,)``, of one graph; a step is the whole graph."""

    def __init__(self, network: nn.Module, operator: Operator, labels: Tensor, known: Tensor) -> None:
        super().__init__()
        self.network, self.operator, self.labels, self.known = network, operator, labels, known
        self.x = torch.eye(len(labels))[None]

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        """Cross entropy of the known nodes, a scalar."""
        return nn.CrossEntropyLoss()(self.network(self.operator, self.x)[0].T[self.known], self.labels[self.known])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=0.01, weight_decay=5e-3)

    def accuracy(self) -> float:
        """Of the nodes whose labels it has not seen."""
        found = self.eval().network(self.operator, self.x)[0].argmax(0)
        return float((found == self.labels)[~self.known].float().mean())


def main(arguments: Sequence[str] | None = None) -> dict[str, list[float]]:
    """Train each network on several draws of known labels; the accuracies of each."""
    operator, labels = karate_club()
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seed", type=between(0, 10**6), default=0, help="of what is known, and of weights")
    parser.add_argument("--draws", type=between(1, 1000), default=10, help="of known members")
    parser.add_argument("--known", type=between(1, int(labels.bincount().min()) - 1), default=2, help="of each side")
    parser.add_argument("--order", type=between(1, 100), default=10, help="hops, and layers of the deep convolutions")
    parser.add_argument("--steps", type=between(1, 10**6), default=200, help="of training")
    options = parser.parse_args(arguments)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    networks: dict[str, Callable[[], nn.Module]] = {
        "MLP": lambda: Deep(len(labels), 2, 0),
        "2 graph convolutions": lambda: Convolutions(len(labels), 2, 2),
        f"{options.order} graph convolutions": lambda: Convolutions(len(labels), 2, options.order),
        f"{options.order} adaptive hops": lambda: Deep(len(labels), 2, options.order),
    }
    scores: dict[str, list[float]] = {name: [] for name in networks}
    for draw in range(options.draws):
        lightning.seed_everything(options.seed * options.draws + draw, verbose=False)
        who = torch.randperm(len(labels))
        known = torch.isin(who.sort()[0], torch.cat([who[labels[who] == side][: options.known] for side in (0, 1)]))
        for name, make in networks.items():
            task = NodeClassification(make(), operator, labels, known)
            trainer = lightning.Trainer(max_epochs=1, barebones=True, accelerator="cpu")
            trainer.fit(task, DataLoader(TensorDataset(torch.arange(options.steps))))
            scores[name].append(task.accuracy())
    print(f"accuracy on the other members of {len(labels)}, {options.known} of each side known:")
    for name, of in scores.items():
        print(f"  {name:22} {100 * fmean(of):5.1f} % ± {100 * pstdev(of):4.1f} over {options.draws} draws")
    return scores


if __name__ == "__main__":
    main()

"""Which picture belongs to which words? Two branches map both into one space, where what belongs together is near.

After Deep Learning Applied to Image and Text Matching (arXiv 2015): convolutions, a recurrent network, a ranking loss
from both sides. Pictures are the suite's scenes, texts say what lies where; tested on digits never seen, by recall@k.

    python examples/img_text_match.py --seed 0
"""

from __future__ import annotations

import argparse
import logging

import lightning
import numpy as np
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import TripletMarginLoss
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.retrieval import RetrievalRecall

from blockyard.backbones import PreResNet
from blockyard.datamodules.segmentation.masks import IGNORE
from blockyard.mistakes import between
from blockyard.samples.scenes import draw_scene, read_material, scene_classes

NAMES = scene_classes(3)
WORDS = ["", "and", "top", "bottom", "left", "right", *dict.fromkeys(" ".join(NAMES[1:]).split())]
SIDE, LONGEST, BATCH, TEXTS = 32, 14, 64, 4 * 4 + 6 * 4**2 + 4 * 4**3  # texts of one to three kinds in corners


def caption(mask: np.ndarray) -> str:
    """What a mask ``(H, W)`` shows where, such as "digit 1 top left and flower bottom right"."""
    said = []
    for label in np.unique(mask[(mask > 0) & (mask != IGNORE)]):
        down, right = np.argwhere(mask == label).mean(0) / mask.shape
        said.append(f"{NAMES[label]} {'bottom' if down > 0.5 else 'top'} {'right' if right > 0.5 else 'left'}")
    return " and ".join(said)


def tokens(text: str) -> list[int]:
    """A text as words' numbers, zeros in front."""
    numbers = [WORDS.index(word) for word in text.split()]
    return [0] * (LONGEST - len(numbers)) + numbers


def scenes(split: str, count: int, seed: int, all_different: bool = False) -> TensorDataset:
    """Pictures ``(count, 3, 32, 32)``, texts ``(count, L)``, and which text that is, ``(count,)``."""
    material, random = read_material(split, len(NAMES) - 2), np.random.default_rng(seed)
    pictures, texts = [], list[str]()
    while len(texts) < count:
        picture, mask = draw_scene(random, material, (SIDE, SIDE))
        text = caption(mask)
        if text and not (all_different and text in texts):
            pictures.append(torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1)
            texts.append(text)
    said, which = (torch.tensor([of(text) for text in texts]) for of in (tokens, texts.index))
    return TensorDataset(torch.stack(pictures), said, which)


class Matching(lightning.LightningModule):
    """Two branches into one space of ``width`` dimensions."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.trunk = PreResNet(depth=8)
        self.from_picture = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.LazyLinear(width))
        self.from_picture(self.trunk.last_map(torch.zeros(2, 3, SIDE, SIDE)))
        self.words = nn.Embedding(len(WORDS), width)
        self.from_words = nn.GRU(width, width, batch_first=True)
        self.ranking = TripletMarginLoss(margin=0.2, distance=CosineSimilarity())

    def forward(self, pictures: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Both in one space, ``(B, width)`` each, of pictures ``(B, 3, H, W)`` and texts ``(B, L)``."""
        return self.from_picture(self.trunk.last_map(pictures)), self.from_words(self.words(texts))[1][0]

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """The ranking loss both ways, a scalar; pictures of equal texts are not held against each other."""
        pairs, same = self(*batch[:2]), batch[2]
        return torch.stack([self.ranking(a, same, ref_emb=b, ref_labels=same) for a, b in (pairs, pairs[::-1])]).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def recalls(seen: Tensor, said: Tensor, ks: tuple[int, ...] = (1, 5, 10)) -> dict[str, float]:
    """Of pairs ``(N, width)`` and ``(N, width)``, how many are among each other's k nearest, by the cosine."""
    # torchmetrics takes scores that are not positive for not found.
    cosines = 2 + nn.functional.normalize(seen, dim=1) @ nn.functional.normalize(said, dim=1).T
    query, partners = torch.arange(len(seen)).repeat_interleave(len(seen)), torch.eye(len(seen)).bool().flatten()
    found = {}
    for way, scores in {"picture to text": cosines, "text to picture": cosines.T}.items():
        for k in ks:
            found[f"{way}, recall@{k}"] = float(RetrievalRecall(top_k=k)(scores.flatten(), partners, indexes=query))
    return found


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train on scenes, and look for the partners of others."""
    most = between(1, TEXTS // 2, f"half of the {TEXTS} texts: the others are rare")
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seed", type=between(0, 10**6), default=0, help="of scenes and weights")
    parser.add_argument("--pictures", type=between(BATCH, 10**6), default=2000, help=f"to learn from, at least {BATCH}")
    parser.add_argument("--test_pictures", type=most, default=100, help="of different texts")
    parser.add_argument("--epochs", type=between(1, 10**6), default=10, help="of training")
    options = parser.parse_args(arguments)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(options.seed, verbose=False)
    task, test = Matching(), scenes("test", options.test_pictures, options.seed + 1, all_different=True)
    loader = DataLoader(scenes("train", options.pictures, options.seed), BATCH, shuffle=True, drop_last=True)
    lightning.Trainer(max_epochs=options.epochs, barebones=True, accelerator="cpu").fit(task, loader)
    found = recalls(*task.eval().requires_grad_(False)(*test.tensors[:2]))
    print(*(f"{name:28} {100 * of:5.1f} % of {options.test_pictures}" for name, of in found.items()), sep="\n")
    return found


if __name__ == "__main__":
    main()

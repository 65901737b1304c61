"""Plain references for few samples: a nearest neighbour, features with a forest, and a plain CNN.

Each is called with arrays and gives the labels of the test; none is tuned for any data. The CNN is three convolutions
with batch norm, each followed by a maximum over neighbours, and a linear classifier of the mean and the maximum; Adam
at 0.001, no augmentation, as many steps as the recipe it stands beside.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.retrieval import rank

Labels = NDArray[np.int64]
Inputs = NDArray[np.float32]
"""``(n, C, *S)``."""
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
TREES = 300
BATCH = 32


def nearest_neighbour(train: Inputs, labels: Labels, test: Inputs) -> Labels:
    """The label of the nearest training sample, all channels standardised together."""
    mean, std = train.mean(), train.std()
    flat = [((part - mean) / std).reshape(len(part), -1) for part in (train, test)]
    return KNeighborsClassifier(1).fit(flat[0], labels).predict(flat[1])


def forest(train: NDArray[np.float32], labels: Labels, test: NDArray[np.float32], seed: int) -> Labels:
    """A random forest on features ``(n, D)``."""
    return RandomForestClassifier(TREES, random_state=seed).fit(train, labels).predict(test)


def cnn(spatial_dims: int, channels: int, classes: int, width: int = 32) -> nn.Sequential:
    """The stages of the plain network, without its head, which sees 2 · 4 · ``width`` numbers."""
    layers: list[nn.Module] = []
    for out in (width, 2 * width, 4 * width):
        layers += [CONV[spatial_dims](channels, out, 3, padding=1), NORM[spatial_dims](out), nn.ReLU()]
        layers += [POOL[spatial_dims](2, ceil_mode=True)]
        channels = out
    return nn.Sequential(*layers, _Head(channels, classes))


class _Head(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return self.fc(torch.cat([flat.mean(2), flat.amax(2)], 1))


def plain_cnn(train: Inputs, labels: Labels, test: Inputs, steps: int, seed: int) -> Labels:
    """Train the plain network, and let it name the test samples."""
    torch.manual_seed(seed)
    mean, std = train.mean(), train.std()
    x, y, seen = (torch.as_tensor(part) for part in ((train - mean) / std, labels, (test - mean) / std))
    network = cnn(x.ndim - 2, x.shape[1], int(labels.max()) + 1)
    _train(network, x, y, steps, lambda logits, target: F.cross_entropy(logits, target))
    with torch.inference_mode():
        return torch.cat([network.eval()(part) for part in seen.split(100)]).argmax(1).numpy()


def _train(network: nn.Module, x: Tensor, y: Tensor, steps: int, loss: object) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(steps):
        rows = torch.randint(len(x), (BATCH,))
        optimizer.zero_grad()
        loss(network(x[rows]), y[rows]).backward()  # type: ignore[operator]
        optimizer.step()


def colour_histogram(train: Inputs, masks: Labels, test: Inputs) -> Labels:
    """The class that each colour, in 16 steps a channel, mostly is of; ``(n, 3, H, W)`` to ``(n, H, W)``."""
    bins = [
        ((part * 16).clip(0, 15).astype(int) * np.array([256, 16, 1])[:, None, None]).sum(1) for part in (train, test)
    ]
    classes = int(masks.max()) + 1
    counts = np.zeros((4096, classes))
    np.add.at(counts, (bins[0].ravel(), masks.ravel()), 1)
    counts += np.bincount(masks.ravel(), minlength=classes) / masks.size  # of a colour never seen, the commonest
    return counts.argmax(1)[bins[1]]


def pixel_forest(train: Inputs, masks: Labels, test: Inputs, seed: int) -> Labels:
    """A forest on colours, blurred at three widths, and their local deviations, of 20,000 pixels."""
    features = [np.stack([_around(picture) for picture in part]) for part in (train, test)]
    rows = np.random.default_rng(seed).permutation(masks.size)[:20_000]
    model = RandomForestClassifier(100, random_state=seed, class_weight="balanced")
    model.fit(features[0].reshape(masks.size, -1)[rows], masks.ravel()[rows])
    return model.predict(features[1].reshape(-1, features[1].shape[-1])).reshape(features[1].shape[:3])


def _around(picture: Inputs) -> NDArray[np.float32]:
    maps = [picture]
    for sigma in (1, 2, 4):
        mean = gaussian_filter(picture, (0, sigma, sigma))
        maps += [mean, np.sqrt(np.maximum(gaussian_filter(picture**2, (0, sigma, sigma)) - mean**2, 0))]
    return np.concatenate(maps).transpose(1, 2, 0)


def plain_fcn(train: Inputs, masks: Labels, test: Inputs, steps: int, seed: int) -> Labels:
    """Five convolutions of growing reach that keep the size, and a 1×1 classifier."""
    torch.manual_seed(seed)
    mean, std = train.mean(), train.std()
    layers: list[nn.Module] = []
    channels = train.shape[1]
    for reach in (1, 2, 4, 8, 1):
        layers += [nn.Conv2d(channels, 32, 3, padding=reach, dilation=reach), nn.BatchNorm2d(32), nn.ReLU()]
        channels = 32
    network = nn.Sequential(*layers, nn.Conv2d(channels, int(masks.max()) + 1, 1))
    x, y, seen = (torch.as_tensor(part) for part in ((train - mean) / std, masks, (test - mean) / std))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(steps):
        rows = torch.randint(len(x), (8,))
        optimizer.zero_grad()
        F.cross_entropy(network(x[rows]), y[rows]).backward()
        optimizer.step()
    with torch.inference_mode():
        return torch.cat([network.eval()(part) for part in seen.split(4)]).argmax(1).numpy()


def striped_colours(pictures: Inputs) -> NDArray[np.float32]:
    """Histograms of 4×4×4 colours in six stripes one above the other, ``(n, 384)``, under a square root."""
    colours = ((pictures * 4).clip(0, 3).astype(int) * np.array([16, 4, 1])[:, None, None]).sum(1)
    stripes = np.array_split(colours, 6, axis=1)
    counts = [np.stack([np.bincount(one.ravel(), minlength=64) for one in stripe]) for stripe in stripes]
    return np.sqrt(np.concatenate(counts, 1)).astype(np.float32)


def person_vectors(train: Inputs, labels: Labels, test: Inputs, steps: int, seed: int) -> NDArray[np.float32]:
    """Means and maxima of the plain network's last map, ``(n, D)``; it learns to tell the people to train on apart."""
    torch.manual_seed(seed)
    people = np.unique(labels[:, 0], return_inverse=True)[1]
    mean, std = train.mean(), train.std()
    x, seen = (torch.as_tensor((part - mean) / std) for part in (train, test))
    network = cnn(2, 3, int(people.max()) + 1)
    _train(network, x, torch.as_tensor(people), steps, lambda logits, target: F.cross_entropy(logits, target))
    with torch.inference_mode():
        maps = [network.eval()[:-1](part).flatten(2) for part in seen.split(100)]
        return torch.cat([torch.cat([flat.mean(2), flat.amax(2)], 1) for flat in maps]).numpy()


def mean_ap(vectors: NDArray[np.float32], labels: Labels) -> float:
    """Mean average precision by cosine; ``labels`` are person, camera and whether it is asked for, ``(n, 3)``."""
    asked = labels[:, 2] == 1
    x, y = torch.as_tensor(vectors), torch.as_tensor(labels)
    sides = (x[asked], x[~asked], y[asked, 0], y[~asked, 0], y[asked, 1], y[~asked, 1])
    return rank(*sides).mAP

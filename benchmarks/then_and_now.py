"""Another build of this package and today's beside the same peers: one table, three runs of each, in turns.

A run is a process of its own on one thread, which takes the suite from one of two trees and has every peer in turn with
it: medians of processor time, which other jobs on the machine move little. A row's ratio is the peer's time by the
suite's; more is better, and the three runs' least and most stand beside. Peers are made of the packages'
modules, or written out where no package has a form.

    git worktree add ../then 0d17497
    python benchmarks/then_and_now.py --then ../then
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import csv_files
import torch
from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results" / "then_and_now.csv"
Steps = dict[str, Callable[[], object]]


def turns(steps: Steps, rounds: int) -> dict[str, float]:
    """Median processor seconds of each step, in turns after two to warm up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            gc.collect()
            start = time.process_time()
            step()
            if turn >= 2:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def both_ways(network: nn.Module, x: Tensor) -> Callable[[], object]:
    """A step forward and backward, gates open."""
    for name, parameter in network.named_parameters():
        if parameter.ndim <= 1 and any(word in name for word in ("norm", ".bn", "gamma", "scale")):
            nn.init.ones_(parameter)
    return lambda: network(x).square().sum().backward()


def snl(side: int) -> dict[str, float]:
    """SNL, C = 256, batch 2; beside mmcv's and timm's nonlocal blocks and its own N×N form."""
    from mmcv.cnn.bricks.non_local import NonLocal2d
    from timm.layers import NonLocalAttn

    from blockyard.blocks import SpectralNonlocal

    x = torch.randn(2, 256, side, side, requires_grad=True)
    networks = {
        "blockyard": SpectralNonlocal(256),
        "mmcv": NonLocal2d(256, norm_cfg={"type": "BN"}),
        "timm": NonLocalAttn(256, use_scale=True, rd_ratio=0.5),
        "matrix": SpectralNonlocal(256, evaluation="dense"),
    }
    steps: Steps = {name: both_ways(network, x) for name, network in networks.items()}
    n, c = side * side, 128
    left, right = torch.randn(2, 3 * c, 256), torch.randn(2, 256, n)
    # What SNL has to multiply, forward and twice backward: three projections, Q, and their way back to C channels.
    flops = 3 * 2 * 2 * n * (256 * 3 * c + 2 * c * c + 256 * 3 * c)
    found = turns({**steps, "GEMM": lambda: torch.bmm(left, right)}, 15 if side < 56 else 5)
    rate = 2 * left.numel() * n / found.pop("GEMM")
    return found | {"of the GEMM rate": flops / found["blockyard"] / rate}


def small() -> dict[str, float]:
    """SNL as the small networks of studies have it, beside a 3×3 convolution: C = 32, 14×14, batch 64."""
    from blockyard.blocks import SpectralNonlocal

    x = torch.randn(64, 32, 14, 14, requires_grad=True)
    convolution = nn.Conv2d(32, 32, 3, padding=1)
    steps: Steps = {"blockyard": both_ways(SpectralNonlocal(32), x), "3×3 convolution": both_ways(convolution, x)}
    return turns(steps, 30)


def kept() -> dict[str, float]:
    """What SNL and mmcv's block keep for the backward pass at N = 3,136, in units of the input."""
    from mmcv.cnn.bricks.non_local import NonLocal2d

    from blockyard.blocks import SpectralNonlocal

    x = torch.randn(2, 256, 56, 56, requires_grad=True)
    networks = {"blockyard": SpectralNonlocal(256), "mmcv": NonLocal2d(256, norm_cfg={"type": "BN"})}
    return {name: kept_bytes(network, x) / x.nbytes for name, network in networks.items()}


def kept_bytes(network: nn.Module, x: Tensor) -> int:
    """Bytes of the storages that autograd keeps, each once, weights apart."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = network(x)
    del result
    return sum(found.values())


def relative(name: str, side: int) -> dict[str, float]:
    """Another block of the nonlocal family beside its packaged form."""
    import relatives

    block, peers = relatives.pairs()[name]
    x = torch.randn(2, 256, side, side, requires_grad=True)
    steps: Steps = {who: both_ways(network, x) for who, network in {"blockyard": block, **peers}.items()}
    return turns(steps, 9 if side < 56 else 3)


def ranking(queries: int, gallery: int, width: int, rounds: int = 1) -> dict[str, float]:
    """Queries ranked in a gallery; beside torchreid, where it is installed, and NumPy, up to 20,000.

    What no peer can do in reasonable memory has the other build for a peer.
    """
    import reid_eval

    case = reid_eval.scene(queries, gallery, width)
    names = ["blockyard"]
    if gallery <= 20_000:
        names += [name for name in reid_eval.installed() if name != "blockyard"]
    for name in names:
        reid_eval.CANDIDATES[name](*reid_eval.scene(8, 200, 8))
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            start = time.process_time()
            reid_eval.CANDIDATES[name](*case)
            found[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def pictures(kind: str) -> dict[str, float]:
    """A training epoch of JPEG files; beside torchvision on Pillow pictures."""
    import loader_images

    from blockyard.datamodules import ImageFolder

    at = loader_images.KINDS[kind]
    root = Path(os.environ["FILES"]) / kind
    make = partial(ImageFolder, str(root), size=224, val_fraction=1e-6, batch_size=at.batch_size, num_workers=0)
    try:
        data = make(decode="reduced").train_dataloader()
    except TypeError:  # a build that decodes every pixel
        data = make().train_dataloader()
    peer = loader_images.theirs(root, at.batch_size, "training", 0, tensors=False)
    return turns({"blockyard": lambda: list(map(len, data)), "torchvision": lambda: list(map(len, peer))}, 3)


def clips(every: int) -> dict[str, float]:
    """An epoch of clips of videos, by PyAV; beside pytorchvideo."""
    import video

    root = str(Path(os.environ["FILES"]) / f"videos-{every}")
    loaders = {"blockyard": video.ours(root, "pyav", 0)(), "pytorchvideo": video.theirs(root, 0)()}
    return turns({name: partial(_read, loader) for name, loader in loaders.items()}, 3)


def _read(loader: Any) -> int:
    return sum(len(batch["target"]) for batch in loader)


def study() -> dict[str, float]:
    """Fifteen short runs, imports included, beside a plain loop that trains the same networks."""
    import study as script

    return {name: script.spent(candidate) for name, candidate in {"blockyard": "study", "loop": "plain loop"}.items()}


def suite() -> dict[str, float]:
    """A test of the build's own, all of which run, in two processes."""
    import blockyard

    tree = Path(blockyard.__file__).parents[1]
    before = sum(os.times()[2:4])  # of children
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "tests"]
    said = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, text=True).stdout
    passed = re.findall(r"(\d+) passed", said.splitlines()[-1])
    return {"blockyard": (sum(os.times()[2:4]) - before) / int(passed[0])}


ROWS: dict[str, Callable[[], dict[str, float]]] = {
    **{f"SNL, N = {side**2:,}": partial(snl, side) for side in (8, 14, 28, 56, 64)},
    "SNL, C = 32, 14×14, batch 64": small,
    "SNL keeps, × its input": kept,
    **{
        f"{name}, N = {side**2:,}": partial(relative, name, side)
        for name in ("Nonlocal", "CrissCross, one pass", "CompactNonlocal", "DisentangledNonlocal", "DoubleAttention")
        for side in (14, 56)
    },
    "ranking 3,000 × 20,000, D = 2,048": partial(ranking, 3_000, 20_000, 2_048),
    "ranking 20,000 × 1,000,000, D = 128": partial(ranking, 20_000, 1_000_000, 128),
    "pictures of 500×375": partial(pictures, "500×375"),
    "pictures of 4000×3000": partial(pictures, "4000×3000"),
    "clips, a keyframe in 12": partial(clips, 12),
    "clips, a keyframe in 250": partial(clips, 250),
    "a study of 15 runs": study,
    "a test of the suite's own": suite,
}
OTHER = "the first build"
READ = ("pictures", "clips")
"""How rows begin that read files."""


def stand_in() -> None:
    """Give a build whose modules lay elsewhere the names that the peers' scripts import."""
    # What an editable install has found would stand in for modules that the build lacks.
    sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in getattr(finder, "__name__", "")]
    for name, old in {
        "blockyard.backbones.adapters.mmseg_import": "blockyard.backbones.mmseg_import",
        "blockyard.media.decoding": "blockyard.datamodules.video.decoding",
        "blockyard.samples.ucf_layout": "blockyard.datamodules.samples.ucf_layout",
        "blockyard.samples.photographs": "blockyard.datamodules.samples.photographs",
        "blockyard.backbones.adapters": "blockyard.backbones",
        "blockyard.samples": "blockyard.datamodules.samples",
        "blockyard.media": "blockyard.datamodules.video",
    }.items():
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            sys.modules[name] = importlib.import_module(old)


def measured(rows: list[str], tree: Path, files: Path) -> dict[str, dict[str, float]]:
    """Rows by the suite of a tree, in a process of its own."""
    paths = [str(tree), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "FILES": str(files)}
    environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, __file__, "--one", *rows]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = {}
        for line in process.stdout:
            if line.startswith("{"):
                found |= json.loads(line)
                print(tree.name, line, end="", flush=True)
    if process.returncode:
        raise RuntimeError(f"{tree} gave no more than {list(found)}")
    return found


def write_files(folder: Path) -> None:
    """The pictures and videos that are read."""
    import loader_images
    import video

    for name, kind in loader_images.KINDS.items():
        (folder / name).mkdir()
        kind.write(folder / name)
    for every in (12, 250):
        video.write_videos(folder / f"videos-{every}", 16, every)


def lines(row: str, found: dict[str, list[dict[str, dict[str, float]]]]) -> list[dict[str, object]]:
    """A line for each peer of a row: seconds of both builds, and the peer's ratio to each, with least and most.

    Where there is no peer, it is the other build.
    """
    builds = {build: [run[row] for run in runs] for build, runs in found.items()}
    if len(builds["now"][0]) == 1:
        for then, now in zip(builds["then"], builds["now"], strict=True):
            then[OTHER] = now[OTHER] = then["blockyard"]
    table = []
    for peer in [name for name in builds["now"][0] if name not in {"blockyard", "of the GEMM rate"}]:
        line: dict[str, object] = {"row": row, "peer": peer, "runs": len(builds["now"])}
        for build, runs in builds.items():
            ratios = [run[peer] / run["blockyard"] for run in runs]
            line[build] = f"{statistics.median(run['blockyard'] for run in runs):.4g}"
            line[f"{build}: ratio"] = f"{statistics.median(ratios):.2f}"
            line[f"{build}: spread"] = f"{min(ratios):.2f} – {max(ratios):.2f}"
            rates = [run["of the GEMM rate"] for run in runs if "of the GEMM rate" in run]
            line[f"{build}: of the GEMM rate"] = f"{statistics.median(rates):.2f}" if rates else ""
        table.append(line)
    return table


def main() -> None:
    """Measure in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--then", type=Path, help="the tree of the other build")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    parser.add_argument("--csv", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs="+", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        torch.manual_seed(0)
        stand_in()
        for row in options.one:
            print(json.dumps({row: ROWS[row]()}), flush=True)
        return
    trees = {"then": options.then.resolve(), "now": Path(__file__).parents[1]}
    with tempfile.TemporaryDirectory() as folder:
        if any(row.startswith(READ) for row in options.rows):
            write_files(Path(folder))
        builds: dict[str, list[dict[str, dict[str, float]]]] = {build: [] for build in trees}
        for _ in range(options.runs):
            for build, tree in trees.items():
                builds[build].append(measured(options.rows, tree, Path(folder)))
            csv_files.write(options.csv, [line for row in options.rows for line in lines(row, builds)])


if __name__ == "__main__":
    main()

"""What only a GPU tells, in one table: blocks, the kernels of SNL, training, looking at losses, exact resume.

Each part has its share of the minutes and stops at its end; a row has the median of its steps, its peer's in turn with
it, and the most memory that was taken. Bandwidth is that of a copy on the same device; the share of it says how far a
step is from what the least traffic would take: forward, the map is read and the result written; backward, the map and
the result's gradient are read and the map's gradient written.

    benchmarks/gpu.sh                       # on a machine with a GPU
    python benchmarks/gpu.py --device cpu --tiny --csv gpu.csv      # that it runs
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import csv_files
import torch
from torch import Tensor, nn

from blockyard import blocks
from blockyard.blocks import SpectralNonlocal
from blockyard.blocks.base import Block, Wrapper

Row = dict[str, Any]
KEYS = ("part", "what", "how", "dtype", "ms", "least", "most", "peer", "peer_ms", "times", "share", "peak_MB")
TESTS = ["tests/blocks/nonlocals/test_spectral_triton.py", "tests/tasks/test_finite_losses.py", "tests/plugging"]
COMPILED = ("SpectralNonlocal", "Nonlocal", "SqueezeExcitation", "SelfAttention")


class Bench:
    """A device, the sizes tried on it, and how long a part may take."""

    def __init__(self, device: str, tiny: bool) -> None:
        self.device, self.tiny = torch.device(device), tiny
        self.cuda = self.device.type == "cuda"
        self.channels, self.batch, self.side = (32, 2, 8) if tiny else (256, 64, 56)
        self.rounds = 2 if tiny else 20
        source = torch.empty(1 << (16 if tiny else 30), dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        self.bandwidth = 2 * source.nbytes / (1e-3 * self.turns({"copy": lambda: target.copy_(source)})["copy"][0])
        """Bytes a second, read and written."""

    def wait(self) -> None:
        """Until the device has done all it was given."""
        if self.cuda:
            torch.cuda.synchronize()

    def turns(self, steps: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float, float, float]]:
        """Median, least and most milliseconds of each step, in turns, and the megabytes at its peak."""
        times: dict[str, list[float]] = {name: [] for name in steps}
        peaks = dict.fromkeys(steps, 0.0)
        for turn in range(self.rounds + 3):
            for name, step in steps.items():
                if self.cuda:
                    torch.cuda.reset_peak_memory_stats()
                self.wait()
                start = time.perf_counter()
                step()
                self.wait()
                if turn >= 3:
                    times[name].append(1e3 * (time.perf_counter() - start))
                if self.cuda:
                    peaks[name] = torch.cuda.max_memory_allocated() / 1e6
        return {name: (statistics.median(found), min(found), max(found), peaks[name]) for name, found in times.items()}

    def row(self, what: str, steps: dict[str, Callable[[], object]], least: int = 0, **about: Any) -> Row:
        """A row of the first step beside the second, its peer; ``least`` bytes have to be moved."""
        found = list(self.turns(steps).items())
        (how, (ms, low, high, peak)), *others = found
        about = {"what": what, "how": how, "ms": ms, "least": low, "most": high, "peak_MB": peak, **about}
        if least:
            about["share"] = least / (1e-3 * ms * self.bandwidth)
        if others:
            about |= {"peer": others[0][0], "peer_ms": others[0][1][0], "times": others[0][1][0] / ms}
        return about


def both_ways(network: nn.Module, x: Tensor, dtype: torch.dtype) -> Callable[[], object]:
    """A step forward and backward, under autocast where the precision is less than float32."""
    device = x.device.type

    def step() -> None:
        with torch.autocast(device, dtype) if dtype != torch.float32 else nullcontext():
            result = network(x)
        result.float().square().mean().backward()

    return step


def opened(network: nn.Module) -> nn.Module:
    """With its gates open, so that every branch has a gradient."""
    for name, parameter in network.named_parameters():
        if parameter.ndim <= 1 and any(word in name for word in ("norm", ".bn", "gamma", "scale")):
            nn.init.ones_(parameter)
    return network


def tests(bench: Bench) -> Iterator[Row]:
    """The tests that a machine without a GPU skips."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *TESTS], capture_output=True, text=True, check=False)
    said = (done.stdout or done.stderr).strip().splitlines()
    print("\n".join(said[-15:] if done.returncode else said[-1:]), flush=True)
    yield {"what": "tests", "how": "failed" if done.returncode else "passed", "ms": 1e3 * (time.perf_counter() - start)}


def kernels(bench: Bench) -> Iterator[Row]:
    """SNL by Triton's kernels, composed, compiled, and mmcv's nonlocal block where it is installed."""
    b, c, side = bench.batch, bench.channels, bench.side
    for dtype in (torch.bfloat16, torch.float32):
        x = torch.randn(b, c, side, side, device=bench.device, dtype=dtype, requires_grad=True)
        network = opened(SpectralNonlocal(c)).to(bench.device, dtype)

        def by_triton(step: Callable[[], object]) -> None:
            os.environ["BLOCKYARD_TRITON"] = "1"
            step()
            os.environ["BLOCKYARD_TRITON"] = "0"

        forward = partial(network, x)
        step = both_ways(network, x, torch.float32)
        about = {"dtype": str(dtype)[6:]}
        # As the kernels say it: the map read, T, P and Z written once and read twice, the result written, c = C / 2.
        yield bench.row("SNL forward", {"Triton": partial(by_triton, forward), "composed": forward},
                        int(6.5 * x.nbytes), **about)  # fmt: skip
        yield bench.row("SNL", {"Triton": partial(by_triton, step), "composed": step}, 5 * x.nbytes, **about)
        if not bench.tiny:
            compiled = both_ways(torch.compile(network), x, torch.float32)
            yield bench.row("SNL", {"compiled": compiled, "composed": step}, 5 * x.nbytes, **about)


def every_block(bench: Bench) -> Iterator[Row]:
    """Each block of the suite, both ways; beside itself compiled for a few, beside mmcv's and timm's for nonlocal."""
    from timm.layers import NonLocalAttn

    c = bench.channels
    for dtype in (torch.float32, torch.bfloat16):
        for kind in blocks.list_blocks():
            if issubclass(kind, Wrapper) or kind is Block:
                continue
            x = torch.randn(bench.batch, c, bench.side, bench.side, device=bench.device, requires_grad=True)
            try:
                network = opened(kind(c)).to(bench.device)
                steps = {"eager": both_ways(network, x, dtype)}
                if kind.__name__ == "Nonlocal":
                    peer = opened(NonLocalAttn(c, use_scale=True, rd_ratio=0.5)).to(bench.device)
                    steps["timm"] = both_ways(peer, x, dtype)
                elif kind.__name__ in COMPILED and not bench.tiny:
                    steps["compiled"] = both_ways(torch.compile(network), x, dtype)
                yield bench.row(kind.__name__, steps, 5 * x.nbytes, dtype=str(dtype)[6:])
            except (torch.OutOfMemoryError, ValueError, TypeError, RuntimeError) as error:
                yield {
                    "what": kind.__name__,
                    "how": f"{type(error).__name__}: {error!s:.60}",
                    "dtype": str(dtype)[6:],
                }


def training(bench: Bench) -> Iterator[Row]:
    """ResNet-50 in bf16, channels last, compiled: a fit of the suite, and the loop of timm's training script."""
    import timm

    module, batches, name = _task(bench)
    size, count = len(batches[0]["input"]), len(batches)
    stock = timm.create_model(name, num_classes=10).to(bench.device, memory_format=torch.channels_last).train()
    learner = stock if bench.tiny else torch.compile(stock)
    optimizer = torch.optim.SGD(stock.parameters(), 0.1, momentum=0.9)
    loss = nn.CrossEntropyLoss()

    def timm_way() -> None:
        for batch in batches:
            x = batch["input"].to(bench.device, non_blocking=True, memory_format=torch.channels_last)
            target = batch["target"].to(bench.device, non_blocking=True)
            with torch.autocast(bench.device.type, torch.bfloat16):
                found = loss(learner(x), target)
            optimizer.zero_grad()
            found.backward()
            optimizer.step()

    bench.rounds = min(bench.rounds, 5)  # each of them 20 steps
    fit = partial(_fit, bench, module, batches, precision="bf16-mixed")
    row = bench.row(f"{name}, batch {size}", {"blockyard": fit, "timm": timm_way}, dtype="bfloat16")
    yield {**row, "ms": row["ms"] / count, "peer_ms": row["peer_ms"] / count}


def losses(bench: Bench) -> Iterator[Row]:
    """Steps whose losses are looked at one step late, beside ones whose host waits for each."""
    module, batches, name = _task(bench)
    late = module.looks_late

    def fit(looks_late: Callable[[Tensor], bool]) -> None:
        module.looks_late = looks_late
        _fit(bench, module, batches)

    yield bench.row(f"losses of {name}", {"late": partial(fit, late), "waiting": partial(fit, lambda _: False)})


def resume(bench: Bench) -> Iterator[Row]:
    """Whether a training that was stopped and goes on leaves the weights, bit for bit, of one that was not."""
    from lightning.pytorch import seed_everything

    from blockyard.runs.exact_resume import ExactResume

    torch.use_deterministic_algorithms(True, warn_only=True)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for stops in ((), (1,)):
            checkpoint = None
            for end in (*stops, 2):
                seed_everything(0)
                module, batches, name = _task(bench)
                trainer = _fit(bench, module, batches[:2], ckpt_path=checkpoint, max_epochs=end, extra=[ExactResume()])
                checkpoint = f"{folder}/{len(stops)}-{end}.ckpt"
                trainer.save_checkpoint(checkpoint)
            found.append(module.network.state_dict())
    torch.use_deterministic_algorithms(False)
    same = all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    yield {"what": f"resume of {name}", "how": "bit for bit" if same else "DIFFERS"}


def _task(bench: Bench) -> tuple[Any, list[dict[str, Tensor]], str]:
    """A task, batches of noise on the host, and the network's name."""
    from blockyard.backbones import TimmBackbone
    from blockyard.tasks import ImageClassification

    name, side, size, count = ("resnet10t", 32, 2, 4) if bench.tiny else ("resnet50", 224, 256, 20)
    backbone = partial(TimmBackbone, name=name)
    optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    module = ImageClassification(backbone, 10, (3, side, side), optimizer=optimizer, channels_last=True)
    if not bench.tiny:
        module.network.compile()
    batches = []
    for _ in range(count):
        batch = {"input": torch.randn(size, 3, side, side), "target": torch.randint(10, (size,))}
        batches.append({key: value.pin_memory() if bench.cuda else value for key, value in batch.items()})
    return module, batches, name


def _fit(
    bench: Bench,
    module: Any,
    batches: list[dict[str, Tensor]],
    ckpt_path: str | None = None,
    extra: list[Any] | None = None,
    **options: Any,
) -> Any:
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    options = {"accelerator": "gpu" if bench.cuda else "cpu", "max_epochs": 1, **silent, **options}
    trainer = Trainer(devices=1, limit_val_batches=0, callbacks=extra, **options)
    trainer.fit(module, DataLoader(batches, batch_size=None), ckpt_path=ckpt_path)
    return trainer


PARTS = {tests: 1.0, kernels: 2.0, every_block: 2.5, training: 2.0, losses: 0.5, resume: 0.5}
"""With the minutes that each may begin rows in."""


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes that a CPU can try")
    parser.add_argument("--parts", nargs="*", default=[part.__name__ for part in PARTS])
    options = parser.parse_args()
    torch.manual_seed(0)
    bench = Bench(options.device, options.tiny)
    label = torch.cuda.get_device_name() if bench.cuda else "CPU"
    print(f"{label}; torch {torch.__version__}; {bench.bandwidth / 1e9:.0f} GB/s")
    table: list[Row] = []
    for part, minutes in PARTS.items():
        end = time.perf_counter() + 60 * minutes
        for row in part(bench) if part.__name__ in options.parts else ():
            row = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
            table.append(
                {"device": label, "torch": torch.__version__, **dict.fromkeys(KEYS), "part": part.__name__, **row}
            )
            print(row, flush=True)
            csv_files.write(options.csv, table)
            if time.perf_counter() > end:
                print(f"{part.__name__}: the rest is left out, its minutes are over", flush=True)
                break


if __name__ == "__main__":
    main()

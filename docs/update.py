"""Write the tables of the README and the pictures of the docs from what is committed; ``make docs`` runs it."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from blockyard.leaderboard.page import page
from blockyard.leaderboard.record import read_all
from blockyard.leaderboard.render import markdown
from blockyard.leaderboard.tables import tables

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RECORDS = ROOT / "leaderboard" / "records"
TIMES = ROOT / "benchmarks" / "results" / "nonlocal.csv"
PICTURE = ROOT / "docs" / "nonlocal.png"
PAGE = ROOT / "docs" / "leaderboard.png"
PEERS = {"SNL materialised": "the N×N matrix", "NL mmcv": "mmcv's NonLocal2d"}
SHOWN = (64, 196, 784, 3136, 4096, 16384)


def leaderboard() -> str:
    """The tables made from the committed records.

    Raises:
        ValueError: If a record is damaged.
    """
    records, damaged = read_all([RECORDS])
    if damaged:
        raise ValueError(damaged[0])
    return markdown(tables(records))


def times() -> list[dict[str, str]]:
    """Rows of the committed benchmark."""
    with TIMES.open(newline="") as file:
        return list(csv.DictReader(file))


def benchmark() -> str:
    """Time and memory of the spectral block beside its peers, a few sizes."""
    rows = {(int(row["N"]), row["block"]): row for row in times()}
    hardware = f"{times()[0]['hardware']}, torch {times()[0]['torch']}"
    lines = [
        "| N | SNL, ms | "
        + " | ".join(f"× {name}" for name in PEERS.values())
        + " | SNL keeps, MB | matrix keeps, MB |",
        "| --: " * (4 + len(PEERS)) + "|",
    ]
    for n in SHOWN:
        ours = rows[n, "SNL"]
        ratios = [f"{float(rows[n, peer]['times_SNL']):.1f}" for peer in PEERS]
        kept = [ours["saved_MB"], rows[n, "SNL materialised"]["saved_MB"]]
        lines.append(f"| {n:,} | {float(ours['ms']):.1f} | {' | '.join(ratios)} | {' | '.join(kept)} |")
    what = "forward and backward, float32, C = 256, c = 128, batch 2 (1 at the last size), medians within one run"
    return "\n".join([*lines, "", f"{what}; {hardware}. ×: how many times as long as SNL."])


def draw(path: Path) -> None:
    """Plot time and memory against N."""
    rows = [row for row in times() if row["block"] != "SNL associative" and int(row["batch"]) == 2]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, key, label in ((left, "ms", "time, ms"), (right, "saved_MB", "kept for backward, MB")):
        for name in dict.fromkeys(row["block"] for row in rows):
            points = [(int(row["N"]), float(row[key])) for row in rows if row["block"] == name]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        axes.set(xscale="log", yscale="log", xlabel="positions N", ylabel=label)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def photograph(path: Path, chromium: str) -> None:
    """Picture of the leaderboard's page, made from the committed records, as a browser shows it."""
    records, _ = read_all([RECORDS])
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "leaderboard.html"
        source.write_text(page(tables(records, [RECORDS])), encoding="utf-8")
        # our own page, from disk: the sandbox is off because it does not start in containers
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={name}"]
        flags += ["--window-size=1280,1180", f"--screenshot={path}", source.as_uri()]
        subprocess.run([chromium, *flags], check=True, capture_output=True, timeout=60)


def updated(text: str) -> str:
    """The README with its generated sections as they should be."""
    for name, make in (("leaderboard", leaderboard), ("benchmark", benchmark)):
        section = f"<!-- {name}: written by make docs -->\n{make().strip()}\n<!-- end of {name} -->"
        text = re.sub(rf"<!-- {name}: .*?<!-- end of {name} -->", lambda _, s=section: s, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
    draw(PICTURE)
    if chromium := shutil.which("chromium"):
        photograph(PAGE, chromium)
    else:
        print(f"{PAGE.relative_to(ROOT)} is left as it is: no Chromium")

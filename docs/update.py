"""Write the tables of the README and the pictures of the docs from what is committed; ``make docs`` runs it."""

from __future__ import annotations

import csv
import inspect
import json
import re
from pathlib import Path

import picture_tables
from lightning.pytorch import Trainer
from matplotlib.figure import Figure

from blockyard.commands.catalogue import entries, published
from blockyard.commands.catalogue import markdown as catalogue
from blockyard.composing.resuming import on_resume
from blockyard.leaderboard.columns import with_interval
from blockyard.leaderboard.identity import IGNORED
from blockyard.leaderboard.record import read_all
from blockyard.leaderboard.render import markdown
from blockyard.leaderboard.statistics import Estimate
from blockyard.leaderboard.tables import Table, tables
from blockyard.metrics import Metric

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RECORDS = ROOT / "leaderboard" / "records"
TABLES = ROOT / "docs" / "leaderboards.md"
PAGES = (
    README,
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("costs", "picture-files", "plugging", "resume", "scaling", "segmentation", "suggest")
    ),
)
"""Those with sections that are made."""
BLOCKS = ROOT / "docs" / "blocks.md"
SHAPE = (256, 28, 28)
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "nonlocal.png"
STUDIES = {
    "digits-blocks": """\
# Every block at one place

`blockyard study studies/digits-blocks.yaml` trains one small network with each block after the only unit of its second
stage (32 channels, 14×14), or in place of a convolution or an activation there, with five seeds.

It shows that every block trains there, what it costs, and effects that would have to be large. It cannot say which
block is better:

- 3,500 training images of digits and three epochs: most runs have not converged, and what converges faster is not what
  ends higher.
- 1,000 test images: half a percent is five images. The intervals over test items tell that part of the uncertainty.
- One place with the default options, chosen for none of them: blocks of many channels, large maps or deep networks are
  out of their element. Blocks that stand in place of a convolution take its weights away, others add theirs.
- Five seeds: with Holm's correction over all rows, a difference is significant only where its mean is several times its
  standard deviation over the seeds. No significance is no equality.
- MixStyle is made for domains that differ, GSoP and the nonlocal blocks for scenes: digits have neither.
""",
    "digits-mixers": """\
# Every block as the only way that information moves

`blockyard study studies/digits-mixers.yaml` trains a MetaFormer of four units on patches of 4×4 pixels that do not
overlap, 7×7 of them, whose mixers are the block, with five seeds. Nothing else moves anything from patch to patch:
without a block the network sees a bag of patches. No vector says where a patch lies, so that blocks that treat
positions as a set can move what patches hold, but not where.

- Learned weights for offsets carry the network, in whatever form: convolutions, also cheap or depthwise ones, local
  attention with relative positions, an MLP along each axis.
- Attention and gates over a set of patches, all nonlocal blocks without positions among them, end a few points above
  the bag of patches or beside it: to know what is elsewhere is little where the question is how strokes meet.
- RelativeAttention and SampledAttention, which reads where it chooses, know offsets too, and are far ahead of other
  global attention, but what they reach differs from seed to seed; GatedPositionalAttention, made for long trainings,
  has not moved in six epochs.
- Not one of these numbers says how good a block is in the network it was made for.
""",
    "digits-networks": """\
# The suite's networks, small

`blockyard study studies/digits-networks.yaml` trains every network of the suite at a size for 28×28 pixels, three
epochs and three seeds each, to show that each learns. The sizes, the optimiser and its rate were chosen for none of
them, so the order says nothing of the published networks: those without convolutions at the start, of patches alone,
have only begun.
""",
    "motions-networks": """\
# The suite's networks in one dimension

`blockyard study studies/motions-networks.yaml` trains the same networks, in one dimension, on how joints bend in
thirteen actions (64 samples of motion capture), ten epochs and three seeds each: guessing gives 8 %. The order says
nothing of the published networks, which are of pictures.
""",
    "spoken-networks": """\
# The suite's networks on sound

`blockyard study studies/spoken-networks.yaml` trains the same networks, in one dimension, on ten words by synthetic
voices under noise, the 40 bands of a spectrogram as channels: five epochs and three seeds each, where guessing gives
10 %. Short training tells how fast they learn, not how far they get.
""",
    "clips-networks": """\
# The suite's networks on videos

`blockyard study studies/clips-networks.yaml` trains the same networks, in three dimensions, on clips of eight frames
and 32×32 pixels of handwritten digits that move, ten epochs and three seeds each: 27 to 92 %, where guessing gives
10 %. What it shows is that each learns there; patches of 4×4×4 leave little to look at in so small a clip.
""",
    "digits-stages": """\
# What is done to whole stages

`blockyard study studies/digits-stages.yaml` runs every stage of a PreResNet-20 in another way, with five seeds.
""",
    "transport-mixers": """\
# Every block as what carries a sign across a picture

`blockyard study studies/transport-mixers.yaml` asks each position of the right half of a canvas which digit stands
framed at its far left ([diagnostics](diagnostics.md)), of a MetaFormer of four units on patches of 4×4 pixels whose
mixers are the block, with three seeds. Without a block, and with most blocks of narrow kernels, the mean IoU is about
that of guessing.

- Here the set of what is elsewhere is an answer: all attention and all nonlocal blocks get far above none, which they
  did not on the digits. So do GlobalContext, which looks where it has learned to, and GSoP, by second moments.
- Kernels of seven and more positions in each of four units reach across, and end ahead of attention without positions:
  LSConvolution, RaftMixer, NASNetCell, SMixer, DepthwiseConvolution, DilatedReparam. Attention that knows offsets
  (RelativeAttention, GatedPositionalAttention) is between the two.
- A few runs stay at chance while others of the same block get far: CMixer's third seed, GhostModule's second and
  third. RecursiveGatedConvolution has a kernel of seven and never left it in five epochs.
- Blocks that gate channels by means (SqueezeExcitation, ECA) carry nothing where the mean is of a bag of patches.
""",
}
"""What stands above the leaderboard of each study, by its folder."""
PEERS = {"SNL materialised": "the N×N matrix", "NL mmcv": "mmcv's NonLocal2d"}
SHOWN = (64, 196, 784, 3136, 4096, 16384)


def committed(folder: Path = RECORDS) -> list[Table]:
    """The tables made from the committed records.

    Raises:
        ValueError: If a record is damaged.
    """
    records, damaged = read_all([folder])
    if damaged:
        raise ValueError(damaged[0])
    return tables(records, [folder])


def leaderboard() -> str:
    """One row a task: the primary metric of its networks, with and without blocks."""
    made = committed()
    families = list(dict.fromkeys(row.family for table in made for row in table.rows))
    lines = [f"| task | data | metric | {' | '.join(families)} |", "| --- | --- | --- |" + " --: |" * len(families)]
    for table in made:
        scores = {row.family: row.score for row in table.rows}
        cells = [_score(scores.get(family), table.primary) for family in families]
        name = table.primary.name if table.primary.is_fraction else table.primary.heading
        lines.append(f"| {table.task} | {table.data} | {name} | {' | '.join(cells)} |")
    counts = sorted({row.score.n for table in made for row in table.rows})
    seeds = " or ".join(map(str, counts))
    runs = f"mean over {seeds} seeds ± half its 95 % interval (Student t), % where no unit is said, on small test sets"
    return "\n".join(
        [*lines, "", f"{runs}; costs, differences and notes: [docs/leaderboards.md](docs/leaderboards.md)."]
    )


def _score(score: Estimate | None, metric: Metric) -> str:
    if score is None:
        return "–"
    if not metric.is_fraction:
        return with_interval(score, metric)
    return f"{100 * score.mean:.1f}" + ("" if score.half_width is None else f" ± {100 * score.half_width:.1f}")


def leaderboards() -> str:
    """The whole tables, as ``blockyard leaderboard --markdown`` writes them."""
    title = "# The leaderboards of the demos\n\nWritten by `make docs` from `leaderboard/records`."
    return f"{title}\n\n{markdown(committed())}"


def blocks() -> str:
    """The catalogue of this package's blocks and of what else has a paper, and how the blocks fare in their study."""
    own = [kind for kind in published() if kind.__module__.startswith("blockyard.")]
    title = (
        "# The blocks\n\nWritten by `make docs` from the classes and the configurations, as "
        "`blockyard blocks --format markdown` does for any glob and shape.\n"
    )
    return "\n".join([title, catalogue(entries(own, SHAPE), SHAPE), studies()]).strip() + "\n"


def studies() -> str:
    """The leaderboards of the studies that have been carried out, and what they cannot say."""
    folders = {ROOT / "leaderboard" / name: text for name, text in STUDIES.items()}
    return "\n\n".join(f"{text}\n{markdown(committed(folder))}" for folder, text in folders.items() if folder.exists())


def peers() -> str:
    """What else is timed beside a peer, a line each."""
    video, audio, reid, skeletons = (rows_of(name) for name in ("video", "audio", "reid_eval", "skeletons"))
    of_video = {
        decoder: [
            row["times pytorchvideo"] for row in video if row["library"] == "blockyard" and row["decoder"] == decoder
        ]
        for decoder in ("pyav", "torchcodec")
    }
    of_audio = [row["times torchaudio"] for row in audio if row["library"] == "blockyard"]
    of_reid = [row["times_blockyard"] for row in reid if row["evaluator"] == "torchreid"]
    lines = ["| what | beside | times as fast |", "| --- | --- | --: |"]
    lines += [f"| clips of videos, by {name} | pytorchvideo | {_range(times)} |" for name, times in of_video.items()]
    lines += [f"| {case} | {_range(times)} |" for case, times in _of_pictures().items()]
    lines.append(f"| clips of Speech Commands | torchaudio | {_range(of_audio)} |")
    lines.append(f"| ranking of a gallery | torchreid | {_range(of_reid)} |")
    steps = [row["speed_to_timm"] for row in skeletons if row["by"] == "blockyard"]
    lines.append(f"| training steps of {len(steps)} published networks, by the skeletons | timm | {_range(steps, 2)} |")
    return "\n".join(lines)


def _of_pictures() -> dict[str, list[str]]:
    """How many times as fast as each of torchvision's ways a core is, for each size and way of decoding."""
    speed: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows_of("loader_images"):
        case = (row["pictures"], row["use"], row["workers"])
        speed.setdefault(case, {})[row["loader"]] = 1 / float(row["CPU ms a picture"])
    times: dict[str, list[str]] = {}
    for (pictures, *_), loaders in speed.items():
        for way, told in (("blockyard", ""), ("blockyard, reduced", ", `decode: reduced`")):
            for peer in ("torchvision, Pillow", "torchvision, tensors"):
                case_and_peer = f"pictures of {pictures}{told} | {peer}"
                times.setdefault(case_and_peer, []).append(str(loaders[way] / loaders[peer]))
    return times


def _range(times: list[str], digits: int = 1) -> str:
    ordered = sorted(map(float, times))
    return f"{ordered[0]:.{digits}f} – {ordered[-1]:.{digits}f}"


def rows_of(name: str) -> list[dict[str, str]]:
    """Rows of a committed benchmark."""
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def benchmark() -> str:
    """Time and memory of the spectral block beside its peers, a few sizes."""
    rows = {(int(row["N"]), row["block"]): row for row in rows_of("nonlocal")}
    hardware = f"{rows_of('nonlocal')[0]['hardware']}, torch {rows_of('nonlocal')[0]['torch']}"
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


def startup() -> str:
    """CPU time from the command line to the end of a trial of one batch, and of what needs no network."""
    rows = rows_of("startup")
    lines = ["| line | CPU s | × the import |", "| --- | --: | --: |"]
    lines += [f"| `{row['line']}` | {row['cpu_seconds']} | {row['ratio']} |" for row in rows if row["kind"] != "answer"]
    answers = [float(row["cpu_seconds"]) for row in rows if row["kind"] == "answer"]
    where = f"{rows[0]['hardware']}, lightning {rows[0]['lightning']}, torch {rows[0]['torch']}"
    said = f"Medians of user and system time; {where}. The {len(answers)} answers took {max(answers):.2f} s at most."
    return "\n".join([*lines, "", said])


def relatives() -> str:
    """A row for each block and packaged form, times and bytes at three sizes."""
    rows = rows_of("relatives")
    sizes = ("196", "784", "3136")
    lines = [f"| block | beside | {' | '.join(f'N = {int(n):,}' for n in sizes)} | keeps | peer keeps |"]
    lines.append("| --- | --- |" + " --: |" * (len(sizes) + 2))
    for block, peer in dict.fromkeys((row["block"], row["peer"]) for row in rows):
        found = {row["N"]: row for row in rows if (row["block"], row["peer"]) == (block, peer)}
        times = " | ".join(f"{found[n]['times']} ({found[n]['least']} – {found[n]['most']})" for n in sizes)
        lines.append(f"| {block} | {peer} | {times} | {found['3136']['kept']} | {found['3136']['peer_kept']} |")
    return "\n".join(lines)


def scaling() -> str:
    """How time and memory grow with each size, between the two largest."""
    cases: dict[str, list[dict[str, str]]] = {}
    for row in rows_of("scaling"):
        cases.setdefault(row["case"], []).append(row)
    lines = ["| of | sizes | seconds | exponent | MB | exponent |", "| --- | --- | --- | --: | --- | --: |"]
    for case, rows in cases.items():
        each = [
            ", ".join(f"{float(row[key]):,.{digits}f}" for row in rows)
            for key, digits in (("size", 0), ("seconds", 3), ("MB", 0))
        ]
        sizes, seconds, megabytes = each
        grows = [rows[-1][key] and f"{float(rows[-1][key]):.2f}" for key in ("time_exponent", "memory_exponent")]
        lines.append(f"| {case} | {sizes} | {seconds} | {grows[0]} | {megabytes} | {grows[1]} |")
    return "\n".join(lines)


def tokens_that_leave() -> str:
    """What a threshold costs and saves, a row each."""
    lines = ["| threshold | mIoU, % | MMACs: mean | 5 % | 50 % | 95 % of the pictures | ms |"]
    lines.append("| --- |" + " --: |" * 6)
    for row in rows_of("dtop"):
        counts = " | ".join(f"{float(row[f'MMACs, {which}']):.0f}" for which in ("mean", "5 %", "50 %", "95 %"))
        lines.append(f"| {row['threshold']} | {100 * float(row['mIoU']):.1f} | {counts} | {float(row['ms']):.1f} |")
    return "\n".join(lines)


def computed_again() -> str:
    """Bytes, time and error of reversible columns and stages at three depths."""
    lines = ["| network | depth | keeps | kept, kB | time of a step, to all | error of gradients, float32 |"]
    lines.append("| --- | --: | --- | --: | --: | --: |")
    for row in rows_of("reversible"):
        if row["depth"] in ("4", "16", "64"):
            error = "" if row["keeps"] == "all" else row["gradient_error"]
            about = f"{row['network']} | {row['depth']} | {row['keeps']} | {float(row['saved_kB']):,}"
            lines.append(f"| {about} | {row['time_to_all']} | {error} |")
    return "\n".join(lines)


def few_samples() -> str:
    """What is suggested for small sets beside plain references, the best of each row in bold."""
    record = json.loads((RESULTS / "few_samples.json").read_text())
    names = list(next(iter(record["sets"].values()))["scores"])
    lines = [f"| set | of | classes | to train on | tested | {' | '.join(names)} | steps | seeds |"]
    lines.append("| --- | --- | --: | --: | --: |" + " --: |" * (len(names) + 2))
    for title, row in record["sets"].items():
        scores = row["scores"]
        means = {name: f"{sum(scores[name]) / len(row['seeds']):.3f}" if name in scores else "–" for name in names}
        best = max(mean for mean in means.values() if mean != "–")
        cells = [f"**{mean}**" if mean == best else mean for mean in means.values()]
        counts = f"{row['classes']} | {row['train']:,} | {row['test']:,}"
        cells += [str(row["steps"]), str(len(row["seeds"]))]
        lines.append(f"| {title} ({row['source']}) | {row['kind']} | {counts} | {' | '.join(cells)} |")
    said = "Share of the test that is right, of masks mean IoU, of people mAP; means over as many seeds"
    taught = "; ".join(f"{one['set']} {one['before']:.3f} by {one['by']}" for one in record["taught"])
    said = f"{said} as the last columns say, torch {record['torch']}. Before a set changed a rule: {taught}."
    return "\n".join([*lines, "", said])


def draw(path: Path) -> None:
    """Plot time and memory against N."""
    rows = [row for row in rows_of("nonlocal") if row["block"] != "SNL associative" and int(row["batch"]) == 2]
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


def options() -> str:
    """One row a set of options that a resumed run may or may not have changed."""
    sections = {"trainer": list(inspect.signature(Trainer).parameters), "data": ["batch_size"]}
    listed = ["seed_everything", *(f"{section}.{name}" for section, names in sections.items() for name in names)]
    free = [option.replace(".init_args", "") for option in IGNORED]
    listed += [option for option in free if option.startswith(("model.", "data."))]
    verdicts: dict[str, list[str]] = {}
    for option in [*listed, "model.OPTION", "data.OPTION"]:
        verdicts.setdefault(on_resume(option), []).append(option)
    others = {"model.OPTION": "every other of `model.`", "data.OPTION": "every other of `data.`"}
    lines = ["| option | on resume |", "| --- | --- |"]
    for verdict, names in verdicts.items():
        told = ", ".join(others.get(name, f"`{name}`") for name in names)
        lines.append(f"| {told} | {verdict} |")
    return "\n".join(lines)


def updated(text: str) -> str:
    """A page with its generated sections as they should be."""
    sections = {
        "leaderboard": leaderboard,
        "benchmark": benchmark,
        "peers": peers,
        "options": options,
        "startup": startup,
        "few samples": few_samples,
        "relatives": relatives,
        "computed again": computed_again,
        "reduced": picture_tables.reduced,
        "scaling": scaling,
        "tokens that leave": tokens_that_leave,
    }
    for name, make in sections.items():
        section = f"<!-- {name}: written by make docs -->\n{make().strip()}\n<!-- end of {name} -->"
        text = re.sub(rf"<!-- {name}: .*?<!-- end of {name} -->", lambda _, s=section: s, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for page_of_text in PAGES:
        page_of_text.write_text(updated(page_of_text.read_text()))
    TABLES.write_text(leaderboards())
    BLOCKS.write_text(blocks())
    draw(PICTURE)

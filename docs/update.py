"""Write the tables of the README and the pictures of the docs from what is committed; ``make docs`` runs it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import measured
import objective_tables
import picture_tables
import pruning_tables
import search_tables
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
    *(ROOT / "docs" / f"{name}.md" for name in ("costs", "detection", "objectives", "picture-files", "plugging")),
    *(ROOT / "docs" / f"{name}.md" for name in ("pruning", "resume", "scaling", "search", "segmentation", "suggest")),
)
"""Those with sections that are made."""
BLOCKS = ROOT / "docs" / "blocks.md"
SHAPE = (256, 28, 28)
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
    "scenes-heads": """\
# Decode heads on one trunk

`blockyard study studies/scenes-heads.yaml` trains seven decode heads on the maps of one small trunk (PreResNet-8), on
540 scenes of digits and flowers before photographs, fifteen epochs and five seeds each. FCN's head is that of SNL
without the block.

- FFNet's up-head and FCN's are ahead, and five seeds do not tell them apart; fifteen epochs are short.
- SNL's head ends no higher than FCN's, which is the same without the block.
- UNet's and UNet++'s end below, with most multiplications.
- 150 test pictures, and options chosen for none of them: it shows that each trains there and what it costs.
""",
    "boxed_scenes-detectors": """\
# Detectors, necks and a head on one trunk

`blockyard study studies/boxed_scenes-detectors.yaml` trains torchvision's detectors over the maps of one small trunk
(PreResNet-8) on 540 composed pictures, twelve epochs each, with necks and with RelationNet++'s head.

- The options were chosen for none of them. RetinaNet, whose towers have no norms here, has hardly begun after twelve
  epochs from random weights.
- 150 test pictures, and few seeds, told in the table: it shows that each trains and what it costs.
""",
    "digits-objectives": """\
# What a step minimises, on pictures

`blockyard study studies/digits-objectives.yaml` trains one small network with each objective, five seeds;
[objectives.md](objectives.md#side-by-side) puts the rows beside the task's own loss.
""",
    "spoken-objectives": """\
# What a step minimises, on sounds

`blockyard study studies/spoken-objectives.yaml` does the same with spoken words.
""",
    "digits-pretraining": """\
# What pretexts leave, on pictures

`blockyard study studies/digits-pretraining.yaml`: two pretexts, a probe of what they learned, and a training that
begins with it, by the number of labels; [objectives.md](objectives.md#side-by-side) has the table.
""",
    "spoken-pretraining": """\
# What pretexts leave, on sounds

`blockyard study studies/spoken-pretraining.yaml` does the same with spoken words.
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


def draw(path: Path) -> None:
    """Plot time and memory against N."""
    rows = [row for row in measured.rows_of("nonlocal") if row["block"] != "SNL associative" and int(row["batch"]) == 2]
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
        "benchmark": measured.benchmark,
        "peers": measured.peers,
        "options": options,
        "startup": measured.startup,
        "few samples": measured.few_samples,
        "relatives": measured.relatives,
        "then_and_now": measured.then_and_now,
        "computed again": measured.computed_again,
        "reduced": picture_tables.reduced,
        "scaling": measured.scaling,
        "long series": measured.long_series,
        "tokens that leave": measured.tokens_that_leave,
        "plain detection": measured.plain_detection,
        "tiles": measured.tiles,
        "objectives": objective_tables.side_by_side,
        "pretraining": objective_tables.labels_left,
        "criteria": pruning_tables.criteria,
        "budgets": search_tables.budgets,
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
    pruning_tables.draw(ROOT / "docs" / "pruning.png")
    search_tables.draw(ROOT / "docs" / "search-front.png")

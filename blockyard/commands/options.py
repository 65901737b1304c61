"""The options of the verbs, and what ``--help`` says of them; no torch, so that it answers at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from blockyard.analysis.verdict import METHODS
from blockyard.commands.parser import OTHERS, SECTIONS, Parser, configured
from blockyard.composing.run_directories import checkpoint_at
from blockyard.leaderboard.record import RECORDS

UNSAID = ("config", "seed_everything", "trust_config")
"""What belongs to a configuration and can't be said for all runs of a study: it says why."""

CHECKPOINT = "runs/…/checkpoints/best.ckpt"
"""In examples."""
RULES = ("z_plus", "alpha_beta", "epsilon")
"""How relevance is shared."""
fit = configured(
    "fit",
    "Train a network. Everything that the run writes goes into a folder of its own below runs/.",
    "go on from a checkpoint: a file, a run's folder, or last",
    "blockyard fit --config image_classification/digits.yaml --model.block SpectralNonlocal --model.at stage2.1",
)
validate = configured(
    "validate",
    "Evaluate a checkpoint on the validation split.",
    example=f"blockyard validate --ckpt_path {CHECKPOINT}",
)
test = configured(
    "test",
    "Evaluate a checkpoint on the test split, and write the record of the run for the leaderboard."
    " With --ckpt_path FILE no other option is needed.",
    example=f"blockyard test --ckpt_path {CHECKPOINT}",
)


def predict() -> Parser:
    """The parser of ``predict``."""
    parser = configured(
        "predict",
        "Write what a checkpoint says of new samples: classes as a table, masks or restored pictures as PNG, rankings"
        " of a gallery. With --ckpt_path FILE and --input no other option is needed. What can't be read is named and"
        " left out: that is a warning, and exit code 0; if nothing could be read nothing is written, and it is 2.",
        example=f"blockyard predict --ckpt_path {CHECKPOINT} --input photos --output found.csv",
    )()
    parser.add_argument(
        "--input",
        metavar="PATH",
        nargs="+",
        action="extend",
        default=[],
        help="files, and folders whose files are read at any depth; of re-identification, who is looked for (default:"
        " what the data module has for predict, or its test split)",
    )
    parser.add_argument(
        "--gallery",
        metavar="PATH",
        nargs="+",
        action="extend",
        default=[],
        help="of re-identification: what is searched",
    )
    parser.add_argument(
        "--output",
        metavar="PATH",
        type=Path,
        help="a folder that what is written goes to, or of classes and rankings also a file, .csv or .jsonl (a JSON"
        " object a line) (default: the run's folder)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are there already, which is refused otherwise"
    )
    return parser


def describe() -> Parser:
    """The parser of ``describe``."""
    parser = configured(
        "describe",
        "Show where blocks can go in a configured network, and what they would add there in parameters and MACs. Places"
        " are stages, their units, what lies outside of them, and what --model.at names; of one that takes no block the"
        " reason is said. --model.block without --model.at tries every place. Neither data nor pretrained"
        " weights are needed.",
        example="blockyard describe --config image_classification/digits.yaml --model.block SpectralNonlocal",
    )()
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--all", action="store_true", help="lists every place")
    chosen.add_argument("--places", metavar="GLOB", help="lists those whose path or alias matches, such as 'stage3.*'")
    return parser


def check_data() -> Parser:
    """The parser of ``check-data``."""
    parser = Parser(
        "check-data",
        "Read every sample of the training, validation and test splits once, decoding videos whole, and list those that"
        " are damaged or missing: split, name, problem; and, as notes, what may surprise: pictures turned upright by a"
        " tag, files of several pictures, classes that no mask shows. What lies in the folders but is not read is"
        " counted, by suffix. --data.num_workers N reads in N processes.",
        "Exit code: 0 if all is well, 1 if something is bad or missing. A test without data to train on is checked as"
        " such: --ckpt_path FILE says its classes, otherwise its folders or labels do."
        f" {OTHERS.format('fit')}",
        example="blockyard check-data --config image_classification/image_folder.yaml --data.root DIR",
        sections=SECTIONS,
    )
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        type=Path,
        help="writes down each sample's size, SHA-256, shape and problem as CSV; if FILE is there already, what has"
        " changed since is listed too (and makes the exit code 1), and FILE stays as it is: remove it for a new one",
    )
    return parser


def suggest() -> Parser:
    """The parser of ``suggest``."""
    parser = Parser(
        "suggest",
        "Read a folder of your own, and write the configuration that a good practitioner would start from: sample rate"
        " or size of pictures, normalisation, class weights, batch, epochs by a budget of steps, augmentation, a"
        " network of fitting size; every choice has its reason above it. blockyard fit --config FILE trains by it.",
        "docs/suggest.md says which layouts are known, and how far the suggestions go beside plain references.",
        example="blockyard suggest --data.root photos",
    )
    parser.usage = "%(prog)s --data.root DIR [options]"
    parser.add_argument("--data.root", metavar="DIR", type=Path, dest="root", required=True, help="the folder")
    parser.add_argument("--task", metavar="NAME", help="such as ImageClassification, where a folder may be of several")
    parser.add_argument("--weights", metavar="FILE", type=Path, help="trained weights to start from, on this machine")
    parser.add_argument("--network", metavar="NAME", help="which network of timm they are of (default: by FILE's name)")
    parser.add_argument(
        "--steps", metavar="N", type=int, default=1500, help="optimiser steps of the run (default: %(default)s)"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, default=Path("suggested.yaml"), help="a new file (default: %(default)s)"
    )
    return parser


def off_the_shelf() -> Parser:
    """The parser of ``off-the-shelf``."""
    parser = Parser(
        "off-the-shelf",
        "Judge the features of a network that stays as it is (Razavian et al., CNN Features off-the-shelf: an"
        " Astounding Baseline for Recognition, CVPRW 2014). linear: logistic regression on standardised features, its"
        " L2 regularisation chosen by the cross-entropy of the validation split. knn: the k nearest training samples"
        " vote, weighed by exp(cosine / 0.07). retrieval: every test sample ranks all others by cosine, those of its"
        " class are matches; re-identification keeps to the protocol of its data. Of segmentation, a linear classifier"
        " of positions of the last map, enlarged to the masks. Training samples are read without augmentation.",
        f"{OTHERS.format('test')} Without a checkpoint the weights are those that the network is built with, such as a"
        " stock network's (--model.backbone.pretrained true).",
        example=f"blockyard off-the-shelf --ckpt_path {CHECKPOINT}",
        sections=SECTIONS,
    )
    parser.add_argument("--methods", help=f"of {','.join(METHODS)} (default: all that make sense for the task)")
    parser.add_argument("--k", type=int, default=20, help="neighbours that vote (default: %(default)s)")
    parser.add_argument("--strength", type=float, help="of the regularisation, instead of choosing it")
    parser.add_argument(
        "--positions", type=int, default=100, help="of a picture to learn from, for segmentation (default: %(default)s)"
    )
    return parser


def inspect() -> Parser:
    """The parser of ``inspect``."""
    parser = Parser(
        "inspect",
        "Draw what a trained network does. --what graphs: where chosen positions of its nonlocal blocks"
        " look (rows of the affinity, as heat over the picture), and each block as a filter (its gain at each frequency"
        " of the picture's graph, from the learnt weights); writes PLACE-maps.png and PLACE-response.png. --what"
        " affine: the affine map that a classifier is at a picture, all its activations held (what each pixel adds to a"
        " class's logit); writes affine.png and affine.json. --what ntk: the tangent kernel of a classifier between the"
        " samples, inner products of their gradients, and its spectrum; writes ntk.png and ntk.json. --what landscape:"
        " how the loss and its gradient change along steps against the gradient, of training batches; writes"
        " landscape.png and landscape.json. --what parallel: what is lost when the units of a stage all read the same"
        " map; writes parallel.json. --what relevance: what each pixel has contributed to a class's logit, handed down"
        " layer by layer; writes relevance.png and relevance.json. --what evidence: what each channel of a series adds"
        " to a class's logit at each time, exactly, of an InterpretableCNN; writes evidence.png and evidence.json.",
        OTHERS.format("test"),
        example=f"blockyard inspect --ckpt_path {CHECKPOINT} --images a.png --query 6,14",
        sections=SECTIONS,
    )
    parser.add_argument("--ckpt_path", metavar="X", type=_checkpoint, required=True, help="the checkpoint")
    parser.add_argument(
        "--what",
        choices=("graphs", "affine", "ntk", "landscape", "parallel", "relevance", "evidence"),
        default="graphs",
        metavar="WHAT",
        help="one of %(choices)s (default: %(default)s)",
    )
    parser.add_argument("--images", metavar="FILE", nargs="+", type=Path, default=[], help="picture files")
    parser.add_argument("--samples", metavar="N", nargs="+", type=int, default=[], help="samples of the test split")
    parser.add_argument(
        "--query", metavar="Y,X", nargs="+", type=_pixel, help="positions in pixels of the network's input (default: 4)"
    )
    parser.add_argument("--rule", choices=RULES, help="of relevance: how it is shared (default: z_plus)")
    parser.add_argument("--batches", metavar="N", type=int, help="of landscape: the first N of a training (default: 4)")
    parser.add_argument(
        "--steps", metavar="ETA", nargs="+", type=float, help="of landscape: factors of the gradient (default: 0.01 …)"
    )
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("inspect"), help="default: %(default)s")
    return parser


def _checkpoint(text: str) -> Path:
    return checkpoint_at(Path(text))


def _pixel(text: str) -> tuple[int, int]:
    try:
        y, x = (int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no position such as 14,10: row, column") from error
    return y, x


def export() -> Parser:
    """The parser of ``export``."""
    parser = Parser(
        "export",
        "Write a trained network for other programs, after comparing what was written with the network.",
        "The data need not be there; of a checkpoint too old to name its classes, --data.root DIR says where. "
        "Pixels go in from 0 to 1: the normalisation is inside. docs/export.md says more.",
        example=f"blockyard export --ckpt_path {CHECKPOINT} --format onnx",
        sections=SECTIONS,
    )
    parser.add_argument(
        "--ckpt_path", metavar="X", type=_checkpoint, required=True, help="a checkpoint of blockyard fit"
    )
    parser.add_argument(
        "--format",
        choices=("onnx", "torch", "huggingface"),
        default="onnx",
        help="ONNX, a program of torch.export (.pt2), or a folder for the Hugging Face hub (default: %(default)s)",
    )
    parser.add_argument("--output", metavar="F", type=Path, help="file or folder (default: beside the checkpoint)")
    parser.add_argument(
        "--records",
        metavar="DIR",
        type=Path,
        nargs="+",
        default=[RECORDS],
        help=f"folders of records, whose scores the README of --format huggingface has (default: {RECORDS})",
    )
    return parser


def verify() -> Parser:
    """The parser of ``leaderboard verify``."""
    parser = Parser(
        "leaderboard verify",
        "Test the checkpoint of a record again, with the record's configuration, and compare.",
        "Further options say where the data lie and what to run on: --data.root DIR, --data.num_workers N, "
        "--trainer.accelerator cpu, --trust_config.",
        example=f"blockyard leaderboard verify runs/records/RECORD.json --ckpt_path {CHECKPOINT}",
        sections=SECTIONS,
    )
    parser.usage = "%(prog)s RECORD --ckpt_path X [options]"
    parser.add_argument("record", metavar="RECORD", type=Path, help="a record, .json")
    parser.add_argument(
        "--ckpt_path", metavar="X", type=_checkpoint, required=True, help="the checkpoint it was made from"
    )
    return parser


def study() -> Parser:
    """The parser of ``study``; options of SLURM and of the configuration are left to it."""
    parser = Parser(
        "study",
        "Train and test every plug of a list with every backbone and every seed over one base configuration. Runs that"
        " have a record are skipped; in the end the leaderboard of its runs is printed.",
        "Options of the configuration go to every run and win over what the study file says, but for what it varies:"
        " --data.root DIR, --trainer.max_epochs 3, --model.optimizer.lr 0.05. docs/studies.md has the file's format.",
        example="blockyard study studies/digits-blocks.yaml --dry-run",
        sections=("slurm", "trainer", "model", "data", *UNSAID),
    )
    parser.usage = "%(prog)s STUDY.yaml [options]"
    parser.add_argument(
        "study", metavar="STUDY.yaml", help="yours or the package's, such as studies/digits-blocks.yaml"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and what it would cost")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time, each in its own process")
    parser.add_argument("--launcher", choices=("local", "slurm"), default="local", help="where runs are carried out")
    parser.add_argument("--slurm", metavar="FILE.yaml", help="what a SLURM job asks for, such as cluster/submit.yaml")
    text = "one such option, such as --slurm.partition gpu --slurm.time 240"
    parser.add_argument("--slurm.OPTION", metavar="VALUE", dest="_", help=text)
    text = "an option of the configuration, a section trainer, model or data"
    parser.add_argument("--SECTION.OPTION", metavar="VALUE", dest="_", help=text)
    return parser


def profile() -> Parser:
    """The parser of ``profile``."""
    parser = Parser(
        "profile",
        "Find out what a block is for. A small network is trained with it and without, on each of the diagnostics,"
        " small sets on which one ability decides; its accuracies are printed with their significance. Minutes; runs"
        " that have a record are skipped. Without a block: the profile of all blocks that there are records of.",
        "docs/diagnostics.md has the abilities. Options of the block are --model.block.NAME VALUE, such as"
        " --model.block.order 2; a block of your own needs BLOCKYARD_ALLOW=mypkg in the environment.",
        example="blockyard profile SpectralNonlocal --jobs 2",
        sections=("model",),
    )
    parser.usage = "%(prog)s [BLOCK] [options]"
    parser.add_argument("block", metavar="BLOCK", nargs="?", help="such as SpectralNonlocal, mypkg.blocks.Mine")
    parser.add_argument("--at", metavar="PLACE", help="where it goes (default: by its slot, stage2.0 or inside it)")
    parser.add_argument("--mode", choices=("after", "replace", "around"), help="how (default: by its slot)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="significance takes 5 (default: %(default)s)")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one for each CPU core, at most 4)")
    parser.add_argument(
        "--records",
        metavar="DIR",
        type=Path,
        nargs="+",
        help="folders of records: what is shown; with a block, runs that have one there are not done again",
    )
    parser.add_argument("--svg", metavar="FILE", type=Path, help="the picture (default: profile-BLOCK.svg)")
    return parser

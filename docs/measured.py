"""The tables of README and docs that are made of committed benchmarks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PEERS = {"SNL materialised": "the N×N matrix", "NL mmcv": "mmcv's NonLocal2d"}
SHOWN = (64, 196, 784, 3136, 4096, 16384)


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


def then_and_now() -> str:
    """A row for each measurement and peer: the peer's time by an earlier build's, and by today's."""
    lines = [
        "| what | beside | runs | the first build | now | of the GEMM rate |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    for row in rows_of("then_and_now"):
        builds = [row[f"{build}: ratio"] + " (" + row[f"{build}: spread"] + ")" for build in ("then", "now")]
        rate = row["now: of the GEMM rate"] or "–"
        lines.append(f"| {row['row']} | {row['peer']} | {row['runs']} | {' | '.join(builds)} | {rate} |")
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


def long_series() -> str:
    """Time and memory of mixers on long series, forward and backward."""
    lines = ["| mixer | steps | forward, s | backward, s | forward, MB | both, MB |", "| --- |" + " --: |" * 5]
    for row in rows_of("long_series"):
        seconds = " | ".join(f"{float(row[key]):.3f}" for key in ("forward s", "backward s"))
        megabytes = " | ".join(f"{float(row[key]):,.0f}" for key in ("forward MB", "both MB"))
        lines.append(f"| {row['mixer']} | {int(row['steps']):,} | {seconds} | {megabytes} |")
    return "\n".join(lines)


def tokens_that_leave() -> str:
    """What a threshold costs and saves, a row each."""
    lines = ["| threshold | mIoU, % | MMACs: mean | 5 % | 50 % | 95 % of the pictures | ms |"]
    lines.append("| --- |" + " --: |" * 6)
    for row in rows_of("dtop"):
        counts = " | ".join(f"{float(row[f'MMACs, {which}']):.0f}" for which in ("mean", "5 %", "50 %", "95 %"))
        lines.append(f"| {row['threshold']} | {100 * float(row['mIoU']):.1f} | {counts} | {float(row['ms']):.1f} |")
    return "\n".join(lines)


def plain_detection() -> str:
    """A detector trained by the suite and by a plain loop, a row a seed."""
    by: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows_of("detection"):
        by.setdefault(row["seed"], {})[row["way"]] = row
    lines = ["| seed | mAP, %: blockyard | plain loop | an epoch, s: blockyard | plain loop | times as fast |"]
    lines.append("| --- |" + " --: |" * 5)
    for seed, ways in by.items():
        ours, plain = ways["blockyard"], ways["plain loop"]
        scores = " | ".join(f"{100 * float(each['mAP']):.2f}" for each in (ours, plain))
        times = [float(each["CPU s an epoch"]) for each in (ours, plain)]
        lines.append(f"| {seed} | {scores} | {times[0]:.2f} | {times[1]:.2f} | {times[1] / times[0]:.2f} |")
    return "\n".join(lines)


def examples() -> str:
    """What the examples find, the mean over seeds, a row each."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows_of("examples"):
        found.setdefault((row["example"], row["of"], row["what"]), []).append(float(row["value"]))
    lines = ["| script | what | of | mean | lowest | highest |", "| --- | --- | --- | --: | --: | --: |"]
    for (script, of, what), values in found.items():
        told = " | ".join(f"{value:.4g}" for value in (sum(values) / len(values), min(values), max(values)))
        lines.append(f"| {script} | {what} | {of} | {told} |")
    return "\n".join(lines)


def tiles() -> str:
    """Memory and time of a prediction by the side of the picture, and what the seams change."""
    lines = ["| picture | way | seconds | peak, MB | pixels with another label |", "| --- | --- | --: | --: | --: |"]
    for row in rows_of("tiled"):
        side = f"{int(row['side']):,}"
        share = f"{float(row['differing']):.3%}" if row["differing"] else ""
        lines.append(f"| {side}×{side} | {row['way']} | {row['seconds']} | {int(row['peak_MB']):,} | {share} |")
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

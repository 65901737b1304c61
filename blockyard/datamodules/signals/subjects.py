"""Splits by person: nobody is in two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from blockyard.mistakes import DataError

SPLITS = ("train", "val", "test")
Rows = dict[str, list[int]]
"""By split, positions of its recordings, ascending."""


def draw_subjects(subjects: Sequence[str], order: Sequence[str], shares: Mapping[str, float], seed: int) -> Rows:
    """Splits of whole subjects, drawn by a seed.

    Args:
        subjects: Of each recording.
        order: The different ones, in an order that does not depend on that of the recordings.
        shares: Of all subjects, by split, those that are drawn for it, rounded, one at least; 0 draws none. The others
            are for training.
        seed: The same seed draws the same.

    Raises:
        DataError: If nobody would stay for training.
    """
    counts = {name: max(1, round(share * len(order))) if share else 0 for name, share in shares.items()}
    if sum(counts.values()) >= len(order):
        wanted = " and ".join(f"{count} for {name}" for name, count in counts.items() if count)
        raise DataError(f"{len(order)} subjects: {wanted} leave none to train on")
    drawn = [order[place] for place in np.random.default_rng(seed).permutation(len(order))]
    split_of = dict.fromkeys(order, "train")
    for name, count in counts.items():
        split_of.update(dict.fromkeys(drawn[:count], name))
        del drawn[:count]
    return rows_of([split_of[subject] for subject in subjects])


def leave_one_out(subjects: Sequence[str], order: Sequence[str], fold: int) -> Rows:
    """Splits that test on one subject, and validate on the one after it, after the last one the first.

    Args:
        subjects: Of each recording.
        order: The different ones, whose places are the folds, from 1.
        fold: Which.

    Raises:
        DataError: If there is no such fold, or nobody would stay for training.
    """
    if not 1 <= fold <= len(order) or len(order) < 3:
        raise DataError(f"fold={fold} must be 1 to {len(order)}, the number of subjects, of which there must be 3")
    split_of = {order[fold - 1]: "test", order[fold % len(order)]: "val"}
    return rows_of([split_of.get(subject, "train") for subject in subjects])


def rows_of(splits: Sequence[str]) -> Rows:
    """Positions by split, of the split of each."""
    return {name: [row for row, split in enumerate(splits) if split == name] for name in SPLITS}

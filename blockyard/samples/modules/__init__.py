"""Data modules of the sample sets, which are written on first use."""

from blockyard.samples.modules.boxed_scenes import BoxedScenes
from blockyard.samples.modules.human_actions import HumanActions
from blockyard.samples.modules.motions import Motions
from blockyard.samples.modules.moving_digits import MovingDigits
from blockyard.samples.modules.scenes import Scenes
from blockyard.samples.modules.spoken_commands import SpokenCommands
from blockyard.samples.modules.walkers import Walkers, WalkersVideo
from blockyard.samples.modules.windowed_digits import WindowedDigits

__all__ = [
    "BoxedScenes",
    "HumanActions",
    "Motions",
    "MovingDigits",
    "Scenes",
    "SpokenCommands",
    "Walkers",
    "WalkersVideo",
    "WindowedDigits",
]

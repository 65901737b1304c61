"""How timm calls what the skeletons hold."""

from __future__ import annotations

import re

from blockyard.backbones.layouts import State

_COMMON = (
    (r"^stem\.conv\.", "stem.0."),
    (r"^stem\.norm\.", "stem.1."),
    (r"downsample\.norm\.", "downsample.0."),
    (r"downsample\.conv\.", "downsample.1."),
    (r"^stages\.(\d+)\.downsample\.", lambda found: f"downsample{int(found[1]) + 1}."),
    (r"^stages\.(\d+)\.blocks\.", lambda found: f"layer{int(found[1]) + 1}."),
    (r"\.conv_dw\.", ".mixer.conv."),
    (r"\.token_mixer\.", ".mixer."),
    (r"\.mixer\.pwconv1\.", ".mixer.expand."),
    (r"\.mixer\.act1\.", ".mixer.act."),
    (r"\.mixer\.dwconv\.", ".mixer.depthwise."),
    (r"\.mixer\.pwconv2\.", ".mixer.project."),
    (r"\.mixer\.proj\.", ".mixer.project."),
    (r"\.mixer\.dwconv_hw\.", ".mixer.convs.0."),
    (r"\.mixer\.dwconv_w\.", ".mixer.convs.1."),
    (r"\.mixer\.dwconv_h\.", ".mixer.convs.2."),
    (r"\.res_scale([12])\.", r".residual_scale\1."),
    (r"\.gamma$", ".layer_scale.scale"),
)
_HIDDEN = ((r"^head\.fc1\.", "neck.hidden.0."), (r"^head\.norm\.", "neck.hidden.2."), (r"^head\.fc2\.", "fc."))
_HEAD = (
    (r"^head\.norm\.", "neck.norm1."),
    (r"^head\.fc\.fc1\.", "neck.hidden.0."),
    (r"^head\.fc\.norm\.", "neck.hidden.2."),
    (r"^head\.fc\.fc2\.", "fc."),
    (r"^head\.fc\.", "fc."),
)


def own_names(file: State, own: State) -> State:
    """The tensors of a file by the names that a skeleton has for them; a file that is not timm's stays as it is.

    Args:
        file: The tensors of the file by name.
        own: Those of the skeleton; a 1×1 convolution of the file may be a linear map here.
    """
    if "stages.0.blocks.0.norm.weight" not in file and "stages.0.blocks.0.norm1.weight" not in file:
        return file
    rules = (*_COMMON, *(_HIDDEN if "head.fc1.weight" in file else _HEAD))
    found = State()
    for key, value in file.items():
        for pattern, name in rules:
            key = re.sub(pattern, name, key)
        fits = key in own and value.numel() == own[key].numel()
        found[key] = value.reshape(own[key].shape) if fits else value
    return found

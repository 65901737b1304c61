"""How timm, and published checkpoints of the networks themselves, call what the skeletons hold."""

from __future__ import annotations

import re
from collections.abc import Callable

from blockyard.backbones.layouts import State

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
"""Pattern and what stands for it."""
_COMMON: Rules = (
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
_HIDDEN: Rules = ((r"^head\.fc1\.", "neck.hidden.0."), (r"^head\.norm\.", "neck.hidden.2."), (r"^head\.fc2\.", "fc."))
_HEAD: Rules = (
    (r"^head\.norm\.", "neck.norm1."),
    (r"^head\.fc\.fc1\.", "neck.hidden.0."),
    (r"^head\.fc\.norm\.", "neck.hidden.2."),
    (r"^head\.fc\.fc2\.", "fc."),
    (r"^head\.fc\.", "fc."),
)


_PUBLISHED: Rules = (
    (r"^downsample_layers\.0\.", "stem."),
    (r"^downsample_layers\.(\d+)\.", lambda found: f"downsample{int(found[1]) + 1}."),
    (r"^stages\.(\d+)\.", lambda found: f"layer{int(found[1]) + 1}."),
    (r"\.gnconv\.dwconv\.dw\.", ".mixer.context.local."),
    (r"\.gnconv\.dwconv\.complex_weight$", ".mixer.context.filter"),
    (r"\.gnconv\.dwconv\.pre_norm\.", ".mixer.context.norm1."),
    (r"\.gnconv\.dwconv\.post_norm\.", ".mixer.context.norm2."),
    (r"\.gnconv\.dwconv\.", ".mixer.context."),
    (r"\.gnconv\.proj_in\.", ".mixer.expand."),
    (r"\.gnconv\.pws\.", ".mixer.widen."),
    (r"\.gnconv\.proj_out\.", ".mixer.project."),
    (r"\.dwconv\.lk_origin\.", ".mixer.conv."),
    (r"\.dwconv\.origin_bn\.", ".mixer.norm."),
    (r"\.dwconv\.dil_conv_k\d_(\d)\.", lambda found: f".mixer.branches.{int(found[1]) - 1}.0."),
    (r"\.dwconv\.dil_bn_k\d_(\d)\.", lambda found: f".mixer.branches.{int(found[1]) - 1}.1."),
    (r"\.se\.down\.", ".mlp.gate.squeeze."),
    (r"\.se\.up\.", ".mlp.gate.excite."),
    (r"\.act\.1\.gamma$", ".mlp.response.weight"),
    (r"\.act\.1\.beta$", ".mlp.response.bias"),
    (r"\.pwconv2\.2\.", ".mlp.norm."),
    (r"\.pwconv1\.1\.", ".mlp.fc1."),
    (r"\.pwconv2\.0\.", ".mlp.fc2."),
    (r"\.dwconv\.", ".mixer.conv."),
    (r"\.pwconv([12])\.", r".mlp.fc\1."),
    (r"\.gamma([12]?)$", r".layer_scale\1.scale"),
    (r"^norm\.", "neck.norm1."),
    (r"^head\.", "fc."),
)


_UNIFORMER: Rules = (
    (r"^(model_state|backbone)\.", ""),
    (r"^cls_token$", "token"),
    (r"^cls_upsample\.", "token_widen."),
    (r"^norm_cls\.", "token_norm."),
    (r"^head_cls\.", "token_fc."),
    (r"^(head|cls_head\.fc_cls)\.", "fc."),
    (r"^patch_embed1\.proj\.(\d)\.", r"stem.\1."),
    (r"^patch_embed1\.proj\.", "stem.0."),
    (r"^patch_embed1\.norm\.", "stem.1."),
    (r"^patch_embed(\d)\.proj\.(\d)\.", r"downsample\1.\2."),
    (r"^patch_embed(\d)\.proj\.", r"downsample\1.0."),
    (r"^patch_embed(\d)\.norm\.", r"downsample\1.1."),
    (r"^blocks(\d)\.", r"layer\1."),
    (r"\.pos_embed\.", ".positions.encode.conv."),
    (r"\.conv1\.", ".mixer.value."),
    (r"\.conv2\.", ".mixer.project."),
    (r"\.attn\.(weight|bias)$", r".mixer.affinity.\1"),
    (r"\.attn\.proj\.", ".mixer.project."),
    (r"\.attn\.", ".mixer."),
    (r"^norm\.", "map_norm."),
)


_ISOTROPIC: Rules = (
    (r"^cls_token$", "class_token"),
    (r"^pos_embed(ding)?$", "positions.table"),
    (r"^patch_embed\.proj\.", "patches.project."),
    (r"^to_patch_embedding\.1\.", "patches.norm1."),
    (r"^to_patch_embedding\.2\.", "patches.project."),
    (r"^to_patch_embedding\.3\.", "patches.norm2."),
    (r"^mlp_head\.0\.", "neck.norm1."),
    (r"^mlp_head\.1\.", "fc."),
    (r"^transformer\.layers\.", "blocks."),
    (r"^(blocks\.\d+)\.([01])\.norm\.", lambda found: f"{found[1]}.norm{int(found[2]) + 1}."),
    (r"\.0\.fn\.qkv\.", ".mixer.subspaces."),
    (r"\.0\.fn\.to_out\.0\.", ".mixer.project."),
    (r"\.1\.fn\.weight$", ".mlp.dictionary"),
    (r"\.attn\.proj\.", ".mixer.project."),
    (r"\.attn\.v\.", ".mixer.value."),
    (r"\.attn\.pos_proj\.", ".mixer.position."),
    (r"\.attn\.gating_param$", ".mixer.gate"),
    (r"\.attn\.", ".mixer."),
    (r"^norm\.", "neck.norm1."),
    (r"^head\.", "fc."),
)

_BRANCH = ("small", "large")
_TWO_SIZES: Rules = (
    (r"^cls_token[._](\d)$", lambda found: f"{_BRANCH[int(found[1])]}.class_token"),
    (r"^pos_embed[._](\d)$", lambda found: f"{_BRANCH[int(found[1])]}.positions.table"),
    (r"^patch_embed\.(\d)\.proj\.", lambda found: f"{_BRANCH[int(found[1])]}.patches.project."),
    (r"^blocks\.(\d+)\.blocks\.(\d)\.", lambda found: f"{_BRANCH[int(found[2])]}.layer{int(found[1]) + 1}."),
    (r"^(\w+\.layer.*)\.attn\.proj\.", r"\1.mixer.project."),
    (r"^(\w+\.layer.*)\.attn\.", r"\1.mixer."),
    (r"^blocks\.(\d+)\.projs\.", r"exchanges.\1.there."),
    (r"^blocks\.(\d+)\.revert_projs\.", r"exchanges.\1.back."),
    (r"^blocks\.(\d+)\.fusion\.(\d)\.norm1\.", r"exchanges.\1.attention.\2.norm."),
    (r"^blocks\.(\d+)\.fusion\.(\d)\.attn\.", r"exchanges.\1.attention.\2."),
    (r"\.wq\.", ".query."),
    (r"\.wk\.", ".key."),
    (r"\.wv\.", ".value."),
    (r"(attention\.\d)\.proj\.", r"\1.project."),
    (r"^norm\.(\d)\.", r"fc.\1.0."),
    (r"^head\.(\d)\.", r"fc.\1.1."),
)
_PARTS = ("unit", "projections.0", "unit", "projections.1")
_RECURSIVE: Rules = (
    (r"^patch_embed\.conv(\d)\.", lambda found: f"stem.{3 * int(found[1]) - 3}."),
    (r"^patch_embed\.bn(\d)\.", lambda found: f"stem.{3 * int(found[1]) - 2}."),
    (r"^pos_embed$", "stem.9.table"),
    (r"^pools\.(\d+)\.conv\.", lambda found: f"downsample{int(found[1]) + 2}."),
    # a unit stands there for each time that it runs
    (
        r"^transformers\.(\d+)\.blocks\.(\d+)\.",
        lambda found: f"layer{int(found[1]) + 1}.{int(found[2]) // 4}.{_PARTS[int(found[2]) % 4]}.",
    ),
    (r"(projections\.\d)\.norm1\.", r"\1.norm."),
    (r"(projections\.\d)\.mlp\.", r"\1."),
    (r"(projections\.\d)\.coefficient1\.bias$", r"\1.keep"),
    (r"(projections\.\d)\.coefficient2\.bias$", r"\1.add"),
    (r"\.coefficient1\.bias$", ".residual_scale1.scale"),
    (r"\.coefficient2\.bias$", ".layer_scale1.scale"),
    (r"\.coefficient3\.bias$", ".residual_scale2.scale"),
    (r"\.coefficient4\.bias$", ".layer_scale2.scale"),
    (r"\.attn\.qkv\.", ".mixer.qkv."),
    (r"\.attn\.proj\.", ".mixer.project."),
    (r"^norm\.", "neck.norm1."),
    (r"^head\.", "fc."),
)
_SPARTAN: Rules = (
    (r"^conv\.(\d)\.conv\.", lambda found: f"stem.{3 * int(found[1])}."),
    (r"^conv\.(\d)\.norm\.", lambda found: f"stem.{3 * int(found[1]) + 1}."),
    (r"^(downsample\d+)\.conv\.", r"\1.0."),
    (r"^(downsample\d+)\.norm\.", r"\1.1."),
    (r"\.norm_([12])\.", r".norm\1."),
    (r"\.scale_([12])$", r".layer_scale\1.scale"),
    (r"\.smixer\.gamma$", ".mixer.boost"),
    (r"\.smixer\.proj_in\.", ".mixer.reduce."),
    (r"\.smixer\.h_conv\.conv\.", ".mixer.near.0."),
    (r"\.smixer\.h_conv\.norm\.", ".mixer.near.1."),
    (r"\.smixer\.l_conv\.([01])\.conv\.", r".mixer.far.\1."),
    (r"\.smixer\.l_conv\.1\.norm\.", ".mixer.far.2."),
    (r"\.smixer\.h_attn\.", ".mixer.near_gate."),
    (r"\.smixer\.l_attn\.", ".mixer.far_gate."),
    (r"\.smixer\.", ".mixer."),
    (r"\.cmixer\.theta\.", ".mlp.gate."),
    (r"\.cmixer\.proj\.", ".mlp.value."),
    (r"\.cmixer\.complex$", ".mlp.turn"),
    (r"\.cmixer\.conv\.conv\.", ".mlp.conv."),
    (r"\.cmixer\.conv\.norm\.", ".mlp.norm."),
    (r"\.cmixer\.attn\.", ".mlp.excite."),
    (r"\.cmixer\.", ".mlp."),
    (r"\.proj_out\.", ".project."),
    (r"_gate\.expand\.", "_gate.excite."),
    (r"\.excite\.expand\.", ".excite.excite."),
    (r"^linear\.", "fc."),
)
_COLUMNS: Rules = (
    (r"^subnet(\d+)\.alpha(\d)$", r"columns.\1.\2.alpha"),
    (r"^subnet(\d+)\.level(\d)\.fusion\.up\.channel_reschedule\.", r"columns.\1.\2.up."),
    (r"^subnet(\d+)\.level(\d)\.fusion\.", r"columns.\1.\2."),
    (r"^subnet(\d+)\.level(\d)\.blocks\.", r"columns.\1.\2.units."),
    (r"\.dwconv\.", ".mixer.conv."),
    (r"\.pwconv([12])\.", r".mlp.fc\1."),
    (r"\.gamma$", ".layer_scale.scale"),
    (r"^cls(_blocks\.3)?\.classifier\.0\.", "neck.norm1."),
    (r"^cls(_blocks\.3)?\.classifier\.1\.", "fc."),
)
_SAMPLED: Rules = (
    (r"^patch_embed1\.conv(\d)\.", lambda found: f"stem.{3 * int(found[1]) - 3}."),
    (r"^patch_embed1\.norm(\d)\.", lambda found: f"stem.{3 * int(found[1]) - 2}."),
    (r"^patch_embed(\d)\.conv\.", r"downsample\1.0."),
    (r"^patch_embed(\d)\.norm\.", r"downsample\1.1."),
    (r"^block(\d)\.", r"layer\1."),
    (r"\.attn\.conv_offset\.", ".mixer.offset."),
    (r"\.attn\.proj\.", ".mixer.project."),
    (r"\.attn\.pos_emb\.rel_height$", ".mixer.tables.0"),
    (r"\.attn\.pos_emb\.rel_width$", ".mixer.tables.1"),
    (r"\.attn\.", ".mixer."),
    (r"^head\.", "fc."),
)
_SEARCHED: Rules = (
    (r"^conv0\.conv\.", "stem.0."),
    (r"^conv0\.bn\.", "stem.1."),
    (r"^cell_stem_(\d)\.", lambda found: f"downsample{int(found[1]) + 1}."),
    (r"^reduction_cell_(\d)\.", lambda found: f"downsample{int(found[1]) + 3}."),
    (r"^cell_(\d+)\.", lambda found: f"layer{int(found[1]) // 6 + 2}.{int(found[1]) % 6}."),
    (r"\.comb_iter_(\d)_left\.", lambda found: f".operations.{2 * int(found[1])}.0."),
    (r"\.comb_iter_(\d)_right\.", lambda found: f".operations.{2 * int(found[1]) + 1}.0."),
    (r"\.separable_(\d)\.(\w+)_conv2d\.", lambda found: f".{int(found[1]) - 1}.{found[2]}."),
    (r"\.bn_sep_(\d)\.", lambda found: f".{int(found[1]) - 1}.norm."),
    (r"\.conv_1x1\.conv\.", ".inputs.0.1."),
    (r"\.conv_1x1\.bn\.", ".inputs.0.2."),
    (r"\.conv_prev_1x1\.conv\.", ".inputs.1.1."),
    (r"\.conv_prev_1x1\.bn\.", ".inputs.1.2."),
    (r"\.path_(\d)\.conv\.", lambda found: f".inputs.1.paths.{int(found[1]) - 1}."),
    (r"\.final_path_bn\.", ".inputs.1.norm."),
    (r"^last_linear\.", "fc."),
)
_UNIT = re.compile(r"(layer\d+\.\d+|downsample\d+)(?=\.)")


def own_names(file: State, own: State) -> State:
    """The tensors of a file by the names that a skeleton has for them; a file of none that is known stays as it is.

    Args:
        file: The tensors of the file by name.
        own: Those of the skeleton; a 1×1 convolution of the file may be a linear map here.
    """
    if "downsample_layers.0.0.weight" in file:
        rules = _PUBLISHED
    elif "stages.0.blocks.0.norm.weight" in file or "stages.0.blocks.0.norm1.weight" in file:
        rules = (*_COMMON, *(_HIDDEN if "head.fc1.weight" in file else _HEAD))
    elif any(key.endswith("blocks1.0.pos_embed.weight") for key in file):
        rules = _UNIFORMER
    elif "transformers.0.blocks.0.norm1.weight" in file:
        rules = _RECURSIVE
    elif "subnet0.alpha0" in file:
        rules = _COLUMNS
    elif "cls_token_0" in file or "cls_token.0" in file:
        rules = _TWO_SIZES
    elif "cls_token" in file:
        rules = (*_ISOTROPIC, *_numbered("blocks", own))
    elif "patch_embed1.conv1.weight" in file:
        rules = _SAMPLED
    elif "cell_stem_0.conv_1x1.conv.weight" in file:
        rules = _SEARCHED
    elif "layers.0.smixer.gamma" in file:
        rules = (*_numbered("layers", own), *_SPARTAN)
    else:
        return file
    found = State()
    for key, value in file.items():
        for pattern, name in rules:
            key = re.sub(pattern, name, key)
        fits = key in own and value.numel() == own[key].numel()
        found[key] = value.reshape(own[key].shape) if fits else value
    return found


def _numbered(name: str, own: State) -> Rules:
    """Rules for a list of all units of a skeleton, with what stands between its stages."""
    units = dict.fromkeys(unit[0] for unit in map(_UNIT.match, own) if unit)
    return tuple((rf"^{name}\.{number}\.", f"{unit}.") for number, unit in enumerate(units))

"""Whole configs of mmsegmentation as segmentors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from blockyard.backbones import MMSegBackbone
from blockyard.backbones.adapters.mmseg_config import build, plain, registry, without_weights
from blockyard.backbones.adapters.mmseg_slots import check
from blockyard.backbones.weights import first_line
from blockyard.heads.decode_head import make_head, register_own_heads
from blockyard.heads.neck import neck_stages
from blockyard.heads.segmentor import Segmentor
from blockyard.mistakes import nearest

PARTS = {
    "backbone": "backbone",
    "neck": "neck",
    "decode_head": "decode_head",
    "auxiliary_head": "decode_head",
    "test_cfg": "layer",
}
"""What is used of a stock model, and the kind of each."""


def stock_segmentor(
    config: str, num_classes: int | None = None, trust: bool = False, weights: str | Path | None = None
) -> Segmentor:
    """The network of a config of mmsegmentation, with the same parameters by the same names.

    Nothing is downloaded: the weights that a config fetches are left out, and said in one line. Preprocessing is left
    to the data; how to test (``test_cfg``) is kept.

    Args:
        config: Name of a config that mmsegmentation ships, such as ``pspnet_r50-d8_4xb2-40k_cityscapes-512x1024``,
            or the path of a file of your own, which is a program.
        num_classes: Number of classes K; the config's own if None.
        trust: Whether to run a file of your own.
        weights: The backbone's weights from a file.

    Raises:
        ValueError: If there is no such config, it is a file of one's own without trust, or what it describes is not
            an EncoderDecoder or does not build.
    """
    register_own_heads()
    path = find_stock_config(config, trust)
    model = _read(path)
    fetched = model.get("pretrained") or _pretrained(model["backbone"])
    if fetched and weights is None:
        print(f"{path.stem}: {fetched} is not downloaded, the backbone starts anew; give a file of weights")
    model = without_weights(plain(model))
    for part, kind in PARTS.items():
        check(model.get(part), kind, part)
    head, auxiliary = model["decode_head"], model.get("auxiliary_head") or []
    auxiliary = auxiliary if isinstance(auxiliary, list | tuple) else [auxiliary]
    classes = head.get("num_classes") if num_classes is None else num_classes
    if classes is None:
        raise ValueError(f"{path.stem} does not say num_classes")
    options = model["backbone"]
    backbone = MMSegBackbone(0, options.get("in_channels", 3), options, weights)
    neck: nn.Module | None = None
    stages = backbone.stages
    if model.get("neck"):
        neck = build(model["neck"], "neck")
        stages = neck_stages(neck, stages)
    heads = [{**entry, "num_classes": classes} for entry in (head, *auxiliary)]
    decode, *others = (make_head(entry, stages, classes, auxiliary=i > 0) for i, entry in enumerate(heads))
    return Segmentor(backbone, decode, others, classes, model.get("test_cfg"), neck)


def find_stock_config(config: str, trust: bool = False) -> Path:
    """The file of a config: one that mmsegmentation ships, by name or relative path, or, trusted, one's own.

    Raises:
        ValueError: If there is neither, or a file of one's own is not trusted.
    """
    folder = _configs()
    shipped = {path.stem: path for path in folder.rglob("*.py") if "_base_" not in path.parts}
    name = config.removesuffix(".py")
    found = shipped.get(name.rsplit("/", 1)[-1])
    if found and name in (found.stem, found.relative_to(folder).with_suffix("").as_posix()):
        return found
    own = Path(config)
    if not own.is_file():
        raise ValueError(f"mmsegmentation ships no config {config!r}; {nearest(own.stem, shipped)}")
    if not trust:
        raise ValueError(
            f"{config} is a file of your own, and reading a config of mmsegmentation runs it as a program: "
            "if you trust it, say --trust_config"
        )
    return own


def _configs() -> Path:
    registry()
    import mmseg

    folder = Path(mmseg.__file__).parent / ".mim" / "configs"
    return folder if folder.is_dir() else Path(mmseg.__file__).parents[1] / "configs"


def _read(path: Path) -> Mapping[str, Any]:
    """The ``model`` of a config."""
    from mmengine.config import Config

    try:
        model = Config.fromfile(str(path), import_custom_modules=False).get("model")
    except Exception as error:  # a config is a program: anything can go wrong
        raise ValueError(f"{path} cannot be read as a config of mmsegmentation: {first_line(error)}") from error
    if not isinstance(model, Mapping) or "backbone" not in model or "decode_head" not in model:
        raise ValueError(f"{path} describes no model of backbone and decode_head")
    if model.get("type") != "EncoderDecoder" or not isinstance(model["decode_head"], Mapping):
        raise ValueError(f"{path.stem} is a {model.get('type')}; only an EncoderDecoder with one decode_head is taken")
    return model


def _pretrained(backbone: Any) -> str | None:
    """What a backbone's config would download."""
    cfg = backbone.get("init_cfg") if isinstance(backbone, Mapping) else None
    own = backbone.get("pretrained") if isinstance(backbone, Mapping) else None
    return own or (cfg.get("checkpoint") if isinstance(cfg, Mapping) and cfg.get("type") == "Pretrained" else None)

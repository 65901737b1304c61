"""OneFormerHead gives the numbers of transformers, from the same weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockyard.costs import count_parameters
from blockyard.heads.oneformer.head import OneFormerHead
from blockyard.heads.oneformer.losses import Target
from blockyard.heads.oneformer.text import TextEncoder
from blockyard.heads.oneformer.transformer_decoder import Prediction

WIDTHS, CLASSES, QUERIES, CONTEXTS = (8, 16, 32, 64), 5, 7, 2
TINY: dict[str, Any] = {
    "num_queries": QUERIES,
    "encoder_layers": 2,
    "query_layers": 2,
    "decoder_layers": 4,
    "text_layers": 2,
    "num_heads": 4,
    "contexts": CONTEXTS,
    "num_points": 64,
}
NAMES: dict[str, str] = {
    r"pixel_decoder\.entries": "pixel_level_module.decoder.input_projections",
    r"pixel_decoder\.level_embed": "pixel_level_module.decoder.level_embed",
    r"pixel_decoder\.layers": "pixel_level_module.decoder.encoder.layers",
    r"attention\.offsets": "self_attn.sampling_offsets",
    r"attention\.weights": "self_attn.attention_weights",
    r"attention\.value": "self_attn.value_proj",
    r"attention\.out(?=\.)": "self_attn.output_proj",
    r"(decoder\.encoder\.layers\.\d+)\.norm1": r"\1.self_attn_layer_norm",
    r"(decoder\.encoder\.layers\.\d+)\.norm2": r"\1.final_layer_norm",
    r"(decoder\.encoder\.layers\.\d+)\.feedforward\.0": r"\1.fc1",
    r"(decoder\.encoder\.layers\.\d+)\.feedforward\.3": r"\1.fc2",
    r"pixel_decoder\.lateral\.0": "pixel_level_module.decoder.adapter_1",
    r"pixel_decoder\.smooth\.0": "pixel_level_module.decoder.layer_1",
    r"pixel_decoder\.embed": "pixel_level_module.decoder.mask_projection",
    r"task_mlp": "task_encoder.task_mlp",
    r"^decoder\.query_embed": "transformer_module.queries_embedder.weight",
    r"^decoder\.level_embed": "transformer_module.level_embed.weight",
    r"^decoder\.query_entry": "transformer_module.decoder.query_input_projection",
    r"^decoder\.query_layers": "transformer_module.decoder.query_transformer.decoder.layers",
    r"^decoder\.query_norm": "transformer_module.decoder.query_transformer.decoder.norm",
    r"(query_transformer.*)\.among": r"\1.self_attn",
    r"(query_transformer.*)\.cross": r"\1.multihead_attn",
    r"(query_transformer.*)\.feedforward\.0": r"\1.linear1",
    r"(query_transformer.*)\.feedforward\.3": r"\1.linear2",
    r"^decoder\.(layers\.\d+)\.cross": r"transformer_module.decoder.\1.cross_attn.multihead_attn",
    r"^decoder\.(layers\.\d+)\.norm1": r"transformer_module.decoder.\1.cross_attn.norm",
    r"^decoder\.(layers\.\d+)\.among": r"transformer_module.decoder.\1.self_attn.self_attn",
    r"^decoder\.(layers\.\d+)\.norm2": r"transformer_module.decoder.\1.self_attn.norm",
    r"^decoder\.(layers\.\d+)\.feedforward\.0": r"transformer_module.decoder.\1.ffn.linear1",
    r"^decoder\.(layers\.\d+)\.feedforward\.3": r"transformer_module.decoder.\1.ffn.linear2",
    r"^decoder\.(layers\.\d+)\.norm3": r"transformer_module.decoder.\1.ffn.norm",
    r"^decoder\.norm": "transformer_module.decoder.decoder_norm",
    r"^decoder\.classify": "transformer_module.decoder.class_embed",
    r"^decoder\.mask_embed": "transformer_module.decoder.mask_embed",
    r"texts\.contexts": "text_mapper.prompt_ctx.weight",
    r"texts\.encoder\.project": "text_mapper.text_projector",
    r"texts\.encoder\.embed": "text_mapper.text_encoder.token_embedding",
    r"texts\.encoder\.position_embed": "text_mapper.text_encoder.positional_embedding",
    r"texts\.encoder\.norm": "text_mapper.text_encoder.ln_final",
    r"texts\.encoder\.layers": "text_mapper.text_encoder.transformer.layers",
    r"(text_encoder.*)\.norm": r"\1.layer_norm",
    r"(text_encoder.*)\.attention": r"\1.self_attn",
    r"(text_encoder.*)\.enter": r"\1.mlp.fc1",
    r"(text_encoder.*)\.leave": r"\1.mlp.fc2",
    r"(mlp|projector|mask_embed)\.(\d)\.": lambda m: f"{m[1]}.layers.{int(m[2]) // 2}.0.",  # type: ignore[dict-item]
}


def named_as_there(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under the names that transformers has."""
    found = {}
    for name, tensor in weights.items():
        if name == "texts.scale":
            found["criterion.logit_scale"] = tensor
            continue
        there = name
        for ours, theirs in NAMES.items():
            there = re.sub(ours, theirs, there)
        if ".self_attn.self_attn.in_proj_" in there:  # one matrix here, three there
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                found["model." + there.replace("in_proj_", f"{part}_proj.")] = piece
        else:
            found[f"model.{there}"] = tensor
    return found


def head(**options: Any) -> OneFormerHead:
    sizes = {"num_classes": CLASSES, "in_index": [0, 1, 2, 3]}
    return OneFormerHead(list(WIDTHS), 64, **(sizes | TINY | options))


def filled(fill_by_name: Callable[[nn.Module], None]) -> OneFormerHead:
    ours = head()
    fill_by_name(ours)
    return ours.double().eval()


@pytest.fixture
def maps(drawn_by_name: Callable[[str, list[int]], Tensor]) -> list[Tensor]:
    """Of two pictures of 64×96 pixels."""
    return [drawn_by_name(f"map{i}", [2, n, 16 >> i, 24 >> i]).double() * n**0.5 * 8 for i, n in enumerate(WIDTHS)]


@contextmanager
def in_double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def transformers_model(ours: OneFormerHead, maps: list[Tensor], vocabulary: int = 259) -> Any:
    """OneFormerForUniversalSegmentation with our weights, whose backbone gives these maps."""
    pytest.importorskip("transformers", "5.24.0")
    from transformers import OneFormerConfig, SwinConfig
    from transformers.models.oneformer.modeling_oneformer import OneFormerForUniversalSegmentation

    stages = [f"stage{i}" for i in range(1, 5)]
    config = OneFormerConfig(
        backbone_config=SwinConfig(embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, out_features=stages),
        id2label={i: str(i) for i in range(CLASSES)},
        num_queries=QUERIES,
        conv_dim=64,
        mask_dim=64,
        hidden_dim=64,
        text_encoder_width=64,
        text_encoder_vocab_size=vocabulary,
        text_encoder_num_layers=2,
        text_encoder_n_ctx=CONTEXTS,
        encoder_layers=2,
        decoder_layers=5,
        query_dec_layers=2,
        num_attention_heads=4,
        encoder_feedforward_dim=256,
        dim_feedforward=512,
        dropout=0.0,
        train_num_points=64,
        is_training=True,
    )
    theirs = OneFormerForUniversalSegmentation(config)

    class Maps(nn.Module):
        def forward(self, _: Tensor) -> Any:
            return SimpleNamespace(feature_maps=maps)

    theirs.model.pixel_level_module.encoder = Maps()
    theirs.load_state_dict(named_as_there(dict(ours.named_parameters())), strict=False)
    missing = {name for name, _ in theirs.named_parameters()} - named_as_there(dict(ours.named_parameters())).keys()
    assert not missing, sorted(missing)
    return theirs.double().eval()  # at first some of its tensors are single


def words(ours: OneFormerHead) -> tuple[Tensor, Tensor]:
    """Tokens of the task, and of the texts of a picture with classes 1 and 3 and one with 0, 2 and 4."""
    rows = [ours.texts._rows(torch.tensor(labels), "semantic") for labels in SHOWN]
    return ours.words[:1].expand(2, -1), ours.texts.phrases[torch.stack(rows)]


SHOWN = ([3, 1], [0, 2, 4])


def test_every_layer_and_the_texts_are_those_of_transformers(
    fill_by_name: Callable[[nn.Module], None], maps: list[Tensor]
):
    """In float64, to 1e-12 of numbers of the order of 1: roundings alone."""
    ours = filled(fill_by_name)
    with in_double(), torch.no_grad():
        theirs = transformers_model(ours, maps)
        task, texts = words(ours)
        out = theirs(torch.zeros(2, 3, 64, 96), task, text_inputs=texts)
        predictions, queries = ours._decoded(maps, ["semantic"])
    last = {"class_queries_logits": out.class_queries_logits, "masks_queries_logits": out.masks_queries_logits}
    every = (*out.transformer_decoder_auxiliary_predictions, last)
    for (classes, masks), expected in zip(predictions, every, strict=True):
        torch.testing.assert_close(classes, expected["class_queries_logits"], rtol=0, atol=1e-12)
        torch.testing.assert_close(masks, expected["masks_queries_logits"], rtol=0, atol=1e-12)
    torch.testing.assert_close(queries, out.transformer_decoder_contrastive_queries, rtol=0, atol=1e-12)
    encoded = ours.texts.encode([torch.tensor(labels) for labels in SHOWN], ["semantic"] * 2)
    torch.testing.assert_close(encoded, out.text_queries, rtol=0, atol=1e-12)


def test_losses_are_those_of_transformers_at_the_same_points(
    fill_by_name: Callable[[nn.Module], None], maps: list[Tensor]
):
    """With all pixels labelled; the points are the same random numbers, drawn in the same order."""
    ours = filled(fill_by_name)
    with in_double(), torch.no_grad():
        criterion = transformers_model(ours, maps).criterion
        predictions, queries = ours._decoded(maps, ["semantic"])
        classes, masks = predictions[-1]
        labels = [torch.tensor(each) for each in SHOWN]
        regions = [(torch.arange(24) * len(each) // 24)[None].expand(16, -1) for each in labels]
        sought = [
            (x == torch.arange(len(each))[:, None, None]).double() for x, each in zip(regions, labels, strict=True)
        ]
        torch.manual_seed(1)
        theirs = criterion(masks, classes, None, sought, labels, None, None, calculate_contrastive_loss=False)
        torch.manual_seed(1)
        targets = [Target(each, mask, torch.ones(16, 24)) for each, mask in zip(labels, sought, strict=True)]
        found = ours.set_loss(Prediction(classes, masks), targets)
        expected = [2 * theirs["loss_cross_entropy"], 5 * theirs["loss_mask"], 5 * theirs["loss_dice"]]
        torch.testing.assert_close(torch.stack(list(found.values())), torch.stack([x.squeeze() for x in expected]))
        texts = ours.texts.encode(labels, ["semantic"] * 2)
        contrast = criterion.loss_contrastive(queries, texts.float())["loss_contrastive"]  # which is single there
        torch.testing.assert_close(ours.texts(queries, labels, ["semantic"] * 2).float(), contrast)


NUMBERS: dict[str, list[float]] = {
    "classes": [
        *(2.985598765363473, -1.2356553920825477, 0.7510974595151263, 2.9888951441699927, -1.2286233301335376),
        *(0.7311097352401106, 2.782521303192751, -1.226991659770262, 0.8242523940963093, 2.767557044392987),
        *(-1.133948004289624, 0.6206291675868413, 2.7633030632129385, -1.133859569529065, 0.5919820332707318),
        *(2.7945487635479322, -1.1082642193429029, 0.7975766821161049),
    ],
    "masks": [
        *(-1.7047790052469098, -2.7673237427745088, -0.451668881244162, -0.6064410512885484, -1.7037159772950812),
        *(-2.7676462062018867, -0.4294603041125638, -0.5922758749910926, -1.8071527533238174, -2.4019720610866098),
        *(-0.9972242872925564, -0.7247313943143018, 2.625755724676756, 3.5807808892331714, -0.38428728916312854),
        *(0.1226367233428448, 2.6007699230751027, 3.5846109545488085, -0.38156698799721245, 0.05752984847924821),
        *(2.4871379384782504, 3.5782505611313455, -0.6831083098916513, 0.4602053559967214),
    ],
    "texts": [
        *(-0.12473394459519124, -0.4431572760685835, -0.2940314558997124, -0.27580372009918225),
        *(0.0385381244122982, -0.1497148871421814, -0.1019204389493327, -0.41203333426683475),
        *(-0.29403145589971325, -0.27580372009918214, 0.0385381244122982, -0.1497148871421814),
    ],
    "scores": [
        *(0.8419869704443088, 0.35137443197731527, 1.7347752482880376, 1.788988904008051, 0.045712286821741686),
        *(0.019233192243999407, 0.09008599527442009, 0.0954044003971638, 0.01464807684882381, 0.0061260099623276065),
        *(0.028829134196517652, 0.030495895962265856, 0.00798967708065369, 0.00335074352907537, 0.01564607760452927),
        *(0.016609866601197277, 0.09663109709459118, 0.04079545817054633, 0.19528117653748533, 0.2041983914538098),
    ],
}


def test_gives_the_numbers_of_transformers(fill_by_name: Callable[[nn.Module], None], maps: list[Tensor]):
    """Those of OneFormerForUniversalSegmentation, 5.24.0, whose tensors had these weights by the names that they have
    here, on these maps, in float64, and of its semantic post-processing; drawn on 30 November 2026."""
    ours = filled(fill_by_name)
    with torch.no_grad():
        prediction = ours._last(maps, "semantic")
        encoded = ours.texts.encode([torch.tensor(labels) for labels in SHOWN], ["semantic"] * 2)
        scores = ours(maps).exp()[0, :, 5::8, 7::16]
    found = {
        "classes": prediction.classes[:, ::3, ::2],
        "masks": prediction.masks[:, ::3, 5::8, 7::16],
        "texts": encoded[:, ::3, ::32],
        "scores": scores,
    }
    for name, numbers in found.items():
        torch.testing.assert_close(numbers.flatten(), torch.tensor(NUMBERS[name], dtype=torch.float64))


@pytest.mark.parametrize(("num_queries", "parameters"), [(150, 41_127_256), (250, 41_152_856)])
def test_has_the_parameters_of_transformers(num_queries: int, parameters: int):
    """Of OneFormerForUniversalSegmentation, 5.24.0, without its backbone, for 150 classes on the widths of Swin-L: by
    default, and with the 250 queries of the published network for ADE20K. CLIP's vocabulary has 49,408 tokens."""
    with torch.device("meta"):
        ours = OneFormerHead(
            [192, 384, 768, 1536], 256, num_classes=150, in_index=[0, 1, 2, 3], num_queries=num_queries
        )
        words = count_parameters(TextEncoder(256, 256, vocabulary=49_408)) - count_parameters(ours.texts.encoder)
    assert count_parameters(ours) + words == parameters

"""Tiny pipelines with random weights, saved to a folder: what ``clusca run`` is given."""

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    WanPipeline,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from families_image import PIXART
from families_video import wan
from test_pipeline import make_pipeline

WORDS = ("<pad>", "</s>", "<unk>", "a", "red", "fox")
LABELS = {"0": "tench, Tinca tinca", "1": "goldfish"}
TEXT = {
    "vocab_size": 16,
    "d_kv": 8,
    "d_ff": 16,
    "num_layers": 1,
    "num_heads": 2,
    "dropout_rate": 0.0,
}


def tokenizer():
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def save_dit(folder):
    """By class, two of which have names."""
    pipe = make_pipeline()
    pipe.register_to_config(id2label=LABELS)
    pipe.save_pretrained(folder)
    return folder


def save_pixart(folder):
    """By prompt: pictures of 256 by 256 pixels, or of as many in another shape."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        latent_channels=4,
        block_out_channels=(4,) * 4,
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    transformer = PixArtTransformer2DModel(**dict(PIXART.make().config) | {"sample_size": 32})
    PixArtAlphaPipeline(
        tokenizer=tokenizer(),
        text_encoder=T5EncoderModel(T5Config(d_model=32, **TEXT)).eval(),
        vae=vae.eval(),
        transformer=transformer.eval(),
        scheduler=DDIMScheduler(),
    ).save_pretrained(folder)
    return folder


def save_wan(folder):
    """By prompt: videos."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    WanPipeline(
        tokenizer=tokenizer(),
        text_encoder=UMT5EncoderModel(UMT5Config(d_model=16, **TEXT)).eval(),
        vae=vae.eval(),
        transformer=wan().make(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    ).save_pretrained(folder)
    return folder

"""The embedded model as a diffusers pipeline: a DiT that draws handwritten digits.

Its weights lie in ``digits/`` in diffusers' own format; ``tools/train_digits.py`` made them, and
``digits/report.json`` says from which data and how well it draws.
"""

import pathlib
from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DiTTransformer2DModel
from torch import Tensor

FOLDER = pathlib.Path(__file__).parent / "digits"
NUM_CLASSES = 10
GUIDANCE = 1.25

OnStep = Callable[[int, Tensor], None]


class DigitsPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Class-conditional sampling with classifier-free guidance, in pixels: there is no decoder."""

    transformer: DiTTransformer2DModel
    scheduler: DDIMScheduler

    def __init__(self, transformer: DiTTransformer2DModel, scheduler: DDIMScheduler) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        class_labels: Sequence[int],
        seeds: Sequence[int] | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = GUIDANCE,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Draw digits.

        Args:
            class_labels: The digit asked for, for each sample.
            seeds: Seed of each sample's noise, which does not depend on its batch; default: 0, 1, 2
                and so on.
            num_inference_steps: Steps of the sampler.
            guidance_scale: Weight of the conditional prediction; above 1 the unconditional one is
                computed in the same batch.
            on_step: Called after every step with its index and the samples so far.

        Returns:
            Images in [-1, 1]. [B, 1, 32, 32]
        """
        seeds = range(len(class_labels)) if seeds is None else seeds
        if len(seeds) != len(class_labels):
            raise ValueError(f"seeds must be {len(class_labels)} as class_labels, got {len(seeds)}")
        if any(not 0 <= label < NUM_CLASSES for label in class_labels):
            raise ValueError(f"class_labels must be digits 0 to 9, got {list(class_labels)}")
        device, dtype = self._execution_device, self.transformer.dtype
        size = self.transformer.config.sample_size
        noise = [
            torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
        images = torch.cat(noise).to(device, dtype)
        labels = torch.tensor(class_labels, device=device)
        guided = guidance_scale > 1
        if guided:
            labels = torch.cat([labels, torch.full_like(labels, NUM_CLASSES)])
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        for step, timestep in enumerate(self.scheduler.timesteps):
            rows = torch.cat([images, images]) if guided else images
            out = self.transformer(
                rows, timestep=timestep.expand(len(rows)), class_labels=labels
            ).sample
            if guided:
                cond, uncond = out.chunk(2)
                out = uncond + guidance_scale * (cond - uncond)
            images = self.scheduler.step(out, timestep, images).prev_sample
            if on_step is not None:
                on_step(step, images)
        self.maybe_free_model_hooks()
        return images.clamp(-1, 1)


def load_digits(folder: str | pathlib.Path = FOLDER) -> DigitsPipeline:
    """The embedded model, or one of its kind from another folder.

    Raises:
        ValueError: The folder does not hold such a model, or its files are damaged.
    """
    folder = pathlib.Path(folder)
    try:
        transformer = DiTTransformer2DModel.from_pretrained(
            folder / "transformer", use_safetensors=True, low_cpu_mem_usage=False
        )
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    except Exception as error:  # diffusers and safetensors raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{folder} must hold transformer/ and scheduler/: {reason}") from error
    if transformer.config.num_embeds_ada_norm != NUM_CLASSES:
        got = transformer.config.num_embeds_ada_norm
        raise ValueError(f"{folder} must hold a model of {NUM_CLASSES} classes, got {got}")
    return DigitsPipeline(transformer.eval(), scheduler)

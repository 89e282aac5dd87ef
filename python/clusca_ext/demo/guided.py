"""What the embedded models share: sampling with classifier-free guidance, and loading."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from diffusers import DiffusionPipeline, DiTTransformer2DModel
from torch import Tensor

OnStep = Callable[[int, Tensor], None]


class GuidedPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Class-conditional sampling with classifier-free guidance, in pixels: there is no decoder.

    A subclass says how many classes there are, what they are, and how strongly it guides.
    """

    num_classes: ClassVar[int]
    classes: ClassVar[str]
    guidance: ClassVar[float]
    transformer: DiTTransformer2DModel
    scheduler: Any

    @torch.no_grad()
    def __call__(
        self,
        class_labels: Sequence[int],
        seeds: Sequence[int] | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Draw samples.

        Args:
            class_labels: The class asked for, for each sample.
            seeds: Seed of each sample's noise, which does not depend on its batch; default: 0, 1, 2
                and so on.
            num_inference_steps: Steps of the sampler.
            guidance_scale: Weight of the conditional prediction; above 1 the unconditional one is
                computed in the same batch. Default: the weight the model was judged with.
            on_step: Called after every step with its index and the samples so far.

        Returns:
            Images in [-1, 1]. [B, C, H, W]

        Raises:
            ValueError: A class the model does not know, or other than one seed a sample.
        """
        seeds = range(len(class_labels)) if seeds is None else seeds
        if len(seeds) != len(class_labels):
            raise ValueError(f"seeds must be {len(class_labels)} as class_labels, got {len(seeds)}")
        if any(not 0 <= label < self.num_classes for label in class_labels):
            raise ValueError(f"class_labels must be {self.classes}, got {list(class_labels)}")
        guidance_scale = self.guidance if guidance_scale is None else guidance_scale
        device, dtype = self._execution_device, self.transformer.dtype
        channels, size = self.transformer.config.in_channels, self.transformer.config.sample_size
        made = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        noise = [torch.randn(1, channels, size, size, generator=g, device="cpu") for g in made]
        images = torch.cat(noise).to(device, dtype)
        labels = torch.tensor(class_labels, device=device)
        guided = guidance_scale > 1
        if guided:
            labels = torch.cat([labels, torch.full_like(labels, self.num_classes)])
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


Guided = TypeVar("Guided", bound=GuidedPipeline)


def load(pipeline: type[Guided], scheduler: Any, folder: str | pathlib.Path) -> Guided:
    """A pipeline of this kind from a folder of transformer/ and scheduler/, in float32.

    Raises:
        ValueError: The folder does not hold such a model, or its files are damaged.
    """
    folder = pathlib.Path(folder)
    for part in ("transformer", "scheduler"):  # else diffusers takes it for a name on the hub
        if not (folder / part).is_dir():
            raise ValueError(f"{folder} must hold transformer/ and scheduler/: no {part}/ is there")
    try:
        transformer = DiTTransformer2DModel.from_pretrained(
            folder / "transformer",
            use_safetensors=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
        )
        sampler = scheduler.from_pretrained(folder / "scheduler")
    except Exception as error:  # diffusers and safetensors raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{folder} must hold transformer/ and scheduler/: {reason}") from error
    if transformer.config.num_embeds_ada_norm != pipeline.num_classes:
        got = transformer.config.num_embeds_ada_norm
        raise ValueError(f"{folder} must hold a model of {pipeline.num_classes} classes, got {got}")
    return pipeline(transformer.eval(), sampler)

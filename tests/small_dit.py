"""A small DiT of diffusers with random weights, and a plain sampling loop: what cache tests run."""

import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel

CLASSES = 10


def make_dit(device="cpu", dtype=torch.float32, layers=3, **config):
    torch.manual_seed(0)
    options = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 1,
        "out_channels": 1,
        "num_layers": layers,
        "sample_size": 16,
        "patch_size": 2,
        "num_embeds_ada_norm": CLASSES,
        "norm_type": "ada_norm_zero",
    }
    model = DiTTransformer2DModel(**(options | config)).eval()
    with torch.no_grad():  # gates and updates small beside the stream, as in a trained model
        for block in model.transformer_blocks:
            block.norm1.linear.weight.mul_(0.3)
            block.norm1.linear.bias.mul_(0.3)
    return model.to(device, dtype)


def widen(model, by=10):
    """Wider gates and updates, for tests of what small ones hide."""
    with torch.no_grad():
        for block in model.transformer_blocks:
            block.norm1.linear.weight.mul_(by)
            block.norm1.linear.bias.mul_(by)
    return model


def scheduler_of(steps):
    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=True)
    scheduler.set_timesteps(steps)
    return scheduler


@torch.no_grad()
def sample(model, steps=12, samples=2, guidance=1.5, seed=0, size=16, on_step=None, label=0):
    """DDIM with guidance, rows [cond, uncond]; every sample's noise has a seed of its own."""
    scheduler = scheduler_of(steps)
    device = next(model.parameters()).device
    dtype = next(model.parameters()).dtype
    noise = [
        torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(seed + i))
        for i in range(samples)
    ]
    x = torch.cat(noise).to(device, dtype)
    labels = (label + torch.arange(samples, device=device)) % CLASSES
    labels = torch.cat([labels, torch.full_like(labels, CLASSES)])
    for step, timestep in enumerate(scheduler.timesteps):
        time = timestep.to(device).expand(2 * samples)
        out = model(torch.cat([x, x]), timestep=time, class_labels=labels).sample
        cond, uncond = out.chunk(2)
        x = scheduler.step(uncond + guidance * (cond - uncond), timestep, x).prev_sample
        if on_step is not None:
            on_step(step)
    return x


def options(steps=12):
    """What a bare model's cache must be told of ``sample``."""
    return {"cfg_rows": ("cond", "uncond"), "timesteps": scheduler_of(steps).timesteps}

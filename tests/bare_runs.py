"""Steps of a bare model one by one, and how each was done."""

import torch

from clusca_ext import ClusCaConfig, IntervalSchedule, summary

BARE = ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1))


def call(model, timestep, batch=2, size=16, dtype=torch.float32, device="cpu"):
    """One step of a bare model, without guidance."""
    rows = torch.randn(batch, 1, size, size, generator=torch.Generator().manual_seed(timestep))
    time = torch.full((batch,), timestep, device=device)
    labels = torch.arange(batch, device=device)
    with torch.no_grad():
        return model(rows.to(device, dtype), timestep=time, class_labels=labels).sample


def kinds(model, timesteps, **inputs):
    """How each of these steps was done: by what the summary counts after it."""
    done = []
    before = _counts(model)
    for timestep in timesteps:
        call(model, timestep, **inputs)
        counts = _counts(model)
        if sum(counts) == 1:  # a run began
            before = (0, 0, 0)
        changed = [a - b for a, b in zip(counts, before, strict=True)]
        done.append("fcp"[changed.index(1)])
        before = counts
    return "".join(done)


def _counts(model):
    now = summary(model)
    return now.full, now.cached, now.partial

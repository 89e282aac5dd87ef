"""What a cache will take and save, of every storage, before anything runs."""

import dataclasses
from dataclasses import dataclass

import torch

from clusca_ext.adapters import describe
from clusca_ext.config import ClusCaConfig
from clusca_ext.drawing.choice import STORAGES
from clusca_ext.estimate import Memory, estimate_memory
from clusca_ext.measuring.checkpoints import Described
from clusca_ext.measuring.operations import Operations, count
from clusca_ext.schedule import Mask, Step
from clusca_ext.schedule.decision import masked_by


@dataclass(frozen=True)
class StorageEstimate:
    """A storage.

    Attributes:
        storage: Its name.
        memory: What it takes for one branch of guidance; None where it cannot be.
        reason: Why it cannot; else empty.
    """

    storage: str
    memory: Memory | None
    reason: str = ""


@dataclass(frozen=True)
class Work:
    """Operations, of one branch of guidance.

    Attributes:
        full: Of a full step.
        cached: Of a cached one.
        full_steps: Full steps of the run.
        steps: Steps of the run.
        speedup: Operations of full steps only over those of this run, clustering included.
    """

    full: int
    cached: float
    full_steps: int
    steps: int
    speedup: float


def storages(
    described: Described, config: ClusCaConfig, steps: int, only: str | None = None
) -> list[StorageEstimate]:
    """Every storage, or one, with a configuration's other parts."""
    found = []
    inputs = described.at_size.inputs(_empty)
    shapes = {name: inputs[name] for name in ("encoder_hidden_states",) if name in inputs}
    names = STORAGES if only is None else [only]
    for name in names:
        try:
            made = dataclasses.replace(config, storage=STORAGES[name])
            memory = estimate_memory(
                described.model, described.at_size.latents, made, num_steps=steps, **shapes
            )
            found.append(StorageEstimate(name, memory))
        except ValueError as error:  # this storage does not go with this model or configuration
            found.append(StorageEstimate(name, None, str(error)))
    return found


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta", dtype=torch.bfloat16)


def full_steps(config: ClusCaConfig, steps: int, modules: Mask) -> int | None:
    """Full steps of a run; None where they depend on what is drawn or on timesteps, or steps are
    full in part.

    Args:
        config: Whose schedule decides.
        steps: Of the run.
        modules: All modules of the model, as a schedule is told of them.
    """
    schedule = config.schedule
    by_timesteps = getattr(schedule, "between_timesteps", None) is not None
    masked = masked_by(schedule, dict.fromkeys(modules, True))
    if hasattr(schedule, "signal") or masked or by_timesteps:
        return None
    decide = config.schedule.start(steps)
    decisions, last = [], None
    for index in range(steps):
        decision = decide(Step(index, steps, last, modules=modules))
        if not isinstance(decision, bool):
            return None
        decisions.append(decision)
        last = index if decision else last
    return sum(decisions)


def work(described: Described, config: ClusCaConfig, steps: int) -> Work | str:
    """Counted operations, or why they are not counted."""
    blocks = describe(described.model).blocks
    modules = frozenset((i, each.name) for i, b in enumerate(blocks) for each in b.modules)
    full = full_steps(config, steps, modules)
    if full is None:
        return "which steps are full is decided as a run goes, or they are full in part"
    try:
        counted: Operations = count(described.at_size, described.model)
    except (RuntimeError, TypeError, AttributeError) as error:
        name = type(described.model).__name__
        return f"{name} does not run without memory: {str(error).splitlines()[0]}"
    return Work(
        full=counted.full,
        cached=counted.cached(config),
        full_steps=full,
        steps=steps,
        speedup=counted.speedup(config, full, steps - full),
    )

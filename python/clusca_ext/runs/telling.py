"""How the runs and branches of a cache are told: of a pipeline's model, and of a bare one."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from clusca_ext.adapters import original
from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.beginning import Rows
from clusca_ext.runs.callers import ByScheduler, Teller
from clusca_ext.runs.conditions import ByConditions
from clusca_ext.runs.context import Context
from clusca_ext.runs.counting import ContextRuns, KnownTimesteps, PipelineRuns, RisingTimestep, Runs
from clusca_ext.runs.course import Direction
from clusca_ext.runs.pipelines import Part, Pipelines


def of_pipelines(
    pipelines: Pipelines, description: ModelDescription
) -> tuple[Callable[[], Runs], Teller, Rows]:
    """How the runs, branches and paired rows of pipelines that share a model are told."""

    def pairs(args: Args, kwargs: Kwargs) -> tuple[str, ...]:
        found = description.pairs
        return () if found is None else found(pipelines.only(), args, kwargs)

    teller = ByScheduler(pipelines, otherwise=ByConditions(description))
    return lambda: PipelineRuns(pipelines, description), teller, pairs


def part_of(pipeline: Any, transformer: nn.Module) -> Part:
    """Which timesteps are a transformer's: of Wan 2.2's two, each has one side of a boundary."""
    ratio = getattr(getattr(pipeline, "config", None), "boundary_ratio", None)
    if ratio is None:
        return lambda timesteps: timesteps
    boundary = ratio * pipeline.scheduler.config.num_train_timesteps
    if transformer is original(getattr(pipeline, "transformer_2", None)):
        return lambda timesteps: timesteps[timesteps < boundary]
    return lambda timesteps: timesteps[timesteps >= boundary]


def of_bare(
    description: ModelDescription,
    timesteps: Sequence[float] | Tensor | None,
    context: Context,
) -> tuple[Callable[[], Runs], Teller]:
    """How a bare model's runs and branches are told."""
    if timesteps is not None:
        first = KnownTimesteps(timesteps, description)
        teller = ByConditions(description, Direction(first.ascend))
        return lambda: KnownTimesteps(timesteps, description), teller
    if description.timestep is None:
        raise ValueError(
            "the cache cannot tell where a run begins: give timesteps to enable_cache, or name the "
            "timestep of the model in its BlockAdapter"
        )
    direction = Direction()

    def runs() -> Runs:
        return ContextRuns(context, RisingTimestep(description, direction))

    return runs, ByConditions(description, direction)

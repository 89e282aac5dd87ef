"""Published methods whose schedules decide by what steps show, or by kinds of modules."""

import warnings

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.forecast import ReuseForecaster, TaylorForecaster
from clusca_ext.schedule import (
    TEACACHE_CHECKPOINTS,
    TEACACHE_POLYNOMIALS,
    TEACACHE_THRESHOLDS,
    AdaCacheSchedule,
    FirstBlockSchedule,
    PyramidSchedule,
    Schedule,
    SpeCaSchedule,
    TeaCacheSchedule,
)
from clusca_ext.storage.lean.description import LeanStorage


def _residual(schedule: Schedule) -> ClusCaConfig:
    """What all blocks add to the stream is reused as one tensor."""
    return ClusCaConfig(
        schedule=schedule,
        forecaster=ReuseForecaster(),
        corrector=NoCorrection(),
        storage=LeanStorage(basis="gated"),
    )


def teacache_of(model_class: str, checkpoint: str) -> TeaCacheSchedule | None:
    """TeaCache as published for a class of models or a checkpoint; None: it is for neither."""
    if checkpoint in TEACACHE_CHECKPOINTS:
        return TEACACHE_CHECKPOINTS[checkpoint]
    if model_class not in TEACACHE_POLYNOMIALS:
        return None
    threshold, polynomial = TEACACHE_THRESHOLDS[model_class], TEACACHE_POLYNOMIALS[model_class]
    return TeaCacheSchedule(threshold=threshold, polynomial=polynomial)


def teacache(model_class: str = "", checkpoint: str = "") -> ClusCaConfig:
    """TeaCache (arXiv 2411.19108): the residual is reused until the input has changed enough.

    Polynomial and threshold are the published ones of the model's class (``TEACACHE_POLYNOMIALS``,
    ``TEACACHE_THRESHOLDS``: the first that is printed) or of its checkpoint, of Wan 2.1 and
    CogVideoX (``TEACACHE_CHECKPOINTS``). Of another model, of which a warning tells, and where none
    is named, changes are taken as they are, with the threshold of FLUX.1-dev, which is not made for
    that: ``fit_polynomial`` fits one to your model. What differs: each sample of a batch decides
    for itself.
    """
    published = teacache_of(model_class, checkpoint)
    if model_class and published is None:
        warnings.warn(
            f"TeaCache is not published for this {model_class}: changes of its input are taken as "
            "they are, with a threshold of 0.25 that was not found for it; "
            "clusca_ext.learning.fit_polynomial fits a polynomial to a model",
            stacklevel=3,
        )
    return _residual(TeaCacheSchedule(threshold=0.25) if published is None else published)


def first_block() -> ClusCaConfig:
    """FirstBlockCache (ParaAttention, diffusers): the first block decides for the others.

    The threshold is diffusers' default. What differs: each sample of a batch decides for itself.
    """
    return _residual(FirstBlockSchedule(threshold=0.05))


# Of its code: a schedule and the order of forecasts, by the model's class; DiT's has no name.
_SPECA: dict[str, tuple[SpeCaSchedule, int]] = {
    "": (SpeCaSchedule(min_skips=3), 4),
    "FluxTransformer2DModel": (
        SpeCaSchedule(
            threshold=7.0, decay=0.3, floor=0.1, min_skips=3, max_skips=8, compared="output"
        ),
        2,
    ),
    "HunyuanVideoTransformer3DModel": (
        SpeCaSchedule(
            threshold=1.0,
            decay=0.1,
            floor=0.1,
            min_skips=5,
            max_skips=12,
            warmup=1,
            compared="output",
        ),
        1,
    ),
}


def speca(model_class: str = "") -> ClusCaConfig:
    """SpeCa (arXiv 2509.11628): Taylor forecasts, the last block verified.

    Order 4, threshold 0.1 that falls to 0.01, the third cached step verified first, five in a row
    at most: the settings of its code for DiT (``min_taylor_steps`` 2, ``max_taylor_steps`` 5). On
    FLUX.1 and HunyuanVideo those of its code for these, of what the last block's output projection
    returns: order 2, a threshold of 7 that falls to 2.1 (decay 0.3), the third verified first,
    eight at most; and order 1, a threshold of 1 that falls to 0.1, the fifth first, twelve at most.
    What differs:

    - Each sample of a batch decides for itself.
    - The threshold falls by ``i / (n - 1)`` of n steps, where the code for DiT takes
      ``(i + 1) / n``, which with its settings is 9 % lower at the start of 50 steps and the same at
      the end, and that for the others ``i / n``.
    - The text that a verified block of two streams is given is that of the last full step.
    - On FLUX.1 and HunyuanVideo the error is that of the image's tokens alone; the code's
      single-stream blocks hold the text's, too.
    """
    schedule, order = _SPECA.get(model_class, _SPECA[""])
    return ClusCaConfig(
        schedule=schedule,
        forecaster=TaylorForecaster(order=order, bounded=False),
        corrector=NoCorrection(),
    )


def adacache() -> ClusCaConfig:
    """AdaCache (arXiv 2411.02397): a codebook says how many steps reuse every module's output.

    Its fast codebook for 30 steps; a run of 100 takes ``schedule.CODEBOOK_100``. What
    differs from its code for Open-Sora:

    - What the middle block adds is looked at, not its temporal attention alone; motion is not
      regarded.
    - Outputs are reused before their gates, which are those of the step; the code reuses what they
      were multiplied by.
    - The code computes the last two steps, too.
    - Changes beyond the codebook's last bound make the next step full; the code takes the last
      interval, which is another one only for 100 steps.
    """
    return ClusCaConfig(
        schedule=AdaCacheSchedule(), forecaster=ReuseForecaster(), corrector=NoCorrection()
    )


def pab() -> ClusCaConfig:
    """PAB (arXiv 2408.12588): attention every second step, attention to text every sixth.

    Between timesteps 800 and 100. What differs: the code counts steps from the run's first, ours
    from the first of these; where a block's MLP is fused with its attention, it waits as well; and
    CogVideoX, whose MLPs need more than their block's stream, is refused by ``enable_cache``.
    """
    return ClusCaConfig(
        schedule=PyramidSchedule(between_timesteps=(100, 800)),
        forecaster=ReuseForecaster(),
        corrector=NoCorrection(),
    )

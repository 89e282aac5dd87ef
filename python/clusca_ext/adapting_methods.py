"""Published methods whose schedules decide by what steps show, or by kinds of modules."""

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.forecast import ReuseForecaster, TaylorForecaster
from clusca_ext.schedule import (
    TEACACHE_CHECKPOINTS,
    TEACACHE_POLYNOMIALS,
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


def teacache(model_class: str = "", checkpoint: str = "") -> ClusCaConfig:
    """TeaCache (arXiv 2411.19108): the residual is reused until the input has changed enough.

    The threshold of 0.25 is the first of its FLUX.1-dev table, the polynomial the published one of
    the model's class (``TEACACHE_POLYNOMIALS``). Of a checkpoint of Wan 2.1 or CogVideoX threshold,
    polynomial and what it is of are published together (``TEACACHE_CHECKPOINTS``). Of another
    model, or where none is named, changes are taken as they are, for which the threshold is not
    made: ``fit_polynomial`` fits one to your model. What differs: each sample of a batch decides
    for itself.
    """
    if checkpoint in TEACACHE_CHECKPOINTS:
        return _residual(TEACACHE_CHECKPOINTS[checkpoint])
    polynomial = TEACACHE_POLYNOMIALS.get(model_class, TeaCacheSchedule.polynomial)
    return _residual(TeaCacheSchedule(threshold=0.25, polynomial=polynomial))


def first_block() -> ClusCaConfig:
    """FirstBlockCache (ParaAttention, diffusers): the first block decides for the others.

    The threshold is diffusers' default. What differs: each sample of a batch decides for itself.
    """
    return _residual(FirstBlockSchedule(threshold=0.05))


def speca(model_class: str = "") -> ClusCaConfig:
    """SpeCa (arXiv 2509.11628): Taylor forecasts, the last block verified.

    Order 4, threshold 0.1 that falls to 0.01, the third cached step verified first, five in a row
    at most: the settings of its code for DiT (``min_taylor_steps`` 2, ``max_taylor_steps`` 5). On
    FLUX.1 those of its code for that: order 2, a threshold of 7 that falls to 2.1 (decay 0.3) of
    what the last block's output projection returns, the third verified first, eight at most. What
    differs:

    - Each sample of a batch decides for itself.
    - The threshold falls by ``i / (n - 1)`` of n steps, where the code takes ``(i + 1) / n``: with
      the settings of DiT it is 9 % lower at the start of 50 steps, and the same at the end.
    - The text that a verified block of two streams is given is that of the last full step.
    - On FLUX.1 the error is that of the image's tokens alone; the code's single-stream blocks hold
      the text's, too.
    - On HunyuanVideo, where the code compares as on FLUX.1, the settings of DiT are taken: take
      ``SpeCaSchedule(compared="output")`` with a threshold of yours.
    - Its errors that divide by nothing, and the cosine, there are not.
    """
    schedule, order = SpeCaSchedule(min_skips=3), 4
    if model_class == "FluxTransformer2DModel":
        schedule, order = (
            SpeCaSchedule(
                threshold=7.0, decay=0.3, floor=0.1, min_skips=3, max_skips=8, compared="output"
            ),
            2,
        )
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

    Of the middle of a run. What differs: fractions of a run stand for its timesteps 800 to 100;
    where a block's MLP is fused with its attention, it waits as well; and CogVideoX, whose MLPs
    need more than their block's stream, is refused by ``enable_cache``.
    """
    return ClusCaConfig(
        schedule=PyramidSchedule(), forecaster=ReuseForecaster(), corrector=NoCorrection()
    )

"""Published methods that choose tokens, as far as this cache can follow them.

All compute only MLPs of the tokens they choose; attention, which the papers compute for these
tokens too, is reused until the next full step.
"""

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import CATScores, RandomScores, ToCaScores, TokenCorrector
from clusca_ext.forecast import ReuseForecaster
from clusca_ext.schedule import IntervalSchedule

# Of ToCa on DiT: a share of 0.07, moved from attention to MLPs by a factor of 1 + 0.6 * 2.5.
TOCA_RATIO, TOCA_INTERVAL = 0.175, 3


def toca() -> ClusCaConfig:
    """ToCa (arXiv 2410.05317): every third step is full, between them tokens of high score.

    Interval 3, staleness weight 0.25 and 17.5 % of the tokens in MLPs are those of the method's
    repository for DiT with 50 steps of DDIM. What differs:

    - The code counts steps down, so that the last one is always full, and its ``force_scheduler``
      stretches the interval: 5 at the noisy end, 2 at the clean one. Ours is 3 throughout, from
      the first step on.
    - Importance is how far a token moved between the last two full steps, where ToCa's is the
      attention it is given; and it is scaled to a largest value of 1, not to a length of 1.
    - Every layer and step has the same share and the same tokens, where ToCa's share falls with
      both, and scores are each layer's.
    """
    return ClusCaConfig(
        schedule=IntervalSchedule(interval=TOCA_INTERVAL, warmup=1),
        forecaster=ReuseForecaster(),
        corrector=TokenCorrector(
            ratio=TOCA_RATIO,
            scores=ToCaScores(staleness_weight=0.25, interval=TOCA_INTERVAL),
            persistent=True,
        ),
    )


def duca() -> ClusCaConfig:
    """DuCa (arXiv 2412.18911): of an interval's cached steps the odd compute tokens, at random.

    The even ones compute none. Interval and share are ToCa's here; tokens are drawn at random,
    which the paper found good enough, and which goes with fused attention. What differs: an even
    step of the paper is aggressive, it reuses the features of the whole model from the step before;
    ours reuses each module's output behind the gates of its own step.
    """
    return ClusCaConfig(
        schedule=IntervalSchedule(interval=TOCA_INTERVAL, warmup=1),
        forecaster=ReuseForecaster(),
        corrector=TokenCorrector(ratio=TOCA_RATIO, scores=RandomScores(), persistent=True, every=2),
    )


def cat() -> ClusCaConfig:
    """CAT Pruning (arXiv 2502.00433): after eight full steps 30 % of the tokens, by cluster.

    The eight steps and 30 % are those of the method's example for 28 steps of SD3. What differs:

    - The paper has no full step after these eight, for its tokens attend. Here attention is
      reused, so that every fifth step is full.
    - Change is that of the last block's output between full steps, not that of predicted noise;
      clusters are of features, not of positions. Their number and the staleness weight are ours.
    """
    interval = 5
    return ClusCaConfig(
        schedule=IntervalSchedule(interval=interval, warmup=8),
        forecaster=ReuseForecaster(),
        corrector=TokenCorrector(ratio=0.3, scores=CATScores(interval=interval), persistent=True),
    )

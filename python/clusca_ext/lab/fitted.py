"""TeaCache with the polynomials of the embedded models.

What ``clusca calibrate MODEL --polynomial --seeds 16`` fits at 50 steps of the digits, where it
explains 61 % of how much the output changes, and at 25 of the pictures, 77 %. Thresholds are those
with which the changes it was fitted to come to as many full steps as at that interval.
"""

from collections.abc import Callable

from clusca_ext.schedule import Schedule, TeaCacheSchedule

POLYNOMIALS = {
    "digits": (
        4022.9838557645458,
        -1480.5187291030607,
        173.41722557543244,
        -6.364039589628795,
        0.10572729788166459,
    ),
    "pictures": (
        -7142.3638353684155,
        3399.375008113269,
        -518.8414202275903,
        31.626000201293014,
        -0.6087521262791763,
    ),
}
THRESHOLDS = {"digits": 0.035, "pictures": 0.058}  # by interval


def teacache_of(model: str) -> Callable[[int], Schedule]:
    """The schedule that was fitted to a model, of an interval."""
    polynomial, threshold = POLYNOMIALS[model], THRESHOLDS[model]
    return lambda interval: TeaCacheSchedule(threshold=threshold * interval, polynomial=polynomial)

"""WHEN: which modules of which block are computed at a step, and which are forecast.

``decision.py`` says what a schedule is; ``fixed.py`` has those that know their full steps before a
run.
"""

from clusca_ext.schedule.decision import Bounded, ByIndex, Decision, Mask, Schedule, Step
from clusca_ext.schedule.fixed import EvenSchedule, ExplicitSchedule, IntervalSchedule

__all__ = [
    "Bounded",
    "ByIndex",
    "Decision",
    "EvenSchedule",
    "ExplicitSchedule",
    "IntervalSchedule",
    "Mask",
    "Schedule",
    "Step",
]

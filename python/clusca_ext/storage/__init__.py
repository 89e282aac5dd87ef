"""WHERE: what is cached of modules, and what cached steps read of it.

``per_block.py`` keeps the last outputs of every module (``feature.py``) and, where coming steps are
known, what they forecast (``ahead.py``). ``lean/`` keeps sums over all modules instead.
``constants.py`` has small tensors on a device.
"""

from clusca_ext.storage.constants import DeviceConstants, autocast_dtype, moved
from clusca_ext.storage.feature import Clock, EditableFeature, Feature, Kept

__all__ = [
    "Clock",
    "DeviceConstants",
    "EditableFeature",
    "Feature",
    "Kept",
    "autocast_dtype",
    "moved",
]

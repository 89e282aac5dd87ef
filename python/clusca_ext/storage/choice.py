"""Which storage a configuration asks for."""

from functools import partial

from clusca_ext.branch import Storage
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.installation import Installation
from clusca_ext.storage.feature import EditableFeature, Feature
from clusca_ext.storage.lean.description import LeanStorage
from clusca_ext.storage.lean.store import Lean
from clusca_ext.storage.per_block import PerBlock


def storage_of(config: ClusCaConfig, installed: Installation) -> Storage:
    """A branch's storage."""
    if config.storage != "per_block":
        asked = config.storage if isinstance(config.storage, LeanStorage) else LeanStorage()
        return Lean(installed, config, asked)
    corrector, forecaster = config.corrector, config.forecaster
    edits = not isinstance(corrector, NoCorrection) and corrector.persistent
    make = partial(EditableFeature if edits else Feature, forecaster.order)
    return PerBlock(installed, forecaster, make)

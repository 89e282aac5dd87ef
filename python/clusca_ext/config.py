"""The configuration of a cache: its parts, and how they are saved."""

import json
import pathlib
from dataclasses import dataclass
from typing import Any

from clusca_ext import adapters, config_format, mixin
from clusca_ext.checks import flag, integer, part
from clusca_ext.correction import (
    CORRECTION_PARTS,
    ClusterCorrector,
    Corrector,
)
from clusca_ext.correction.selection import GivenTokens, Nearest, RandomPerLayer, RandomPerStep
from clusca_ext.forecast import (
    DampedForecaster,
    Forecaster,
    FrequencyForecaster,
    HermiteForecaster,
    NewtonForecaster,
    ReuseForecaster,
    SpacedHermiteForecaster,
    TaylorForecaster,
    require_forecaster,
)
from clusca_ext.schedule import (
    AdaCacheSchedule,
    EvenSchedule,
    ExplicitSchedule,
    FirstBlockSchedule,
    IntervalSchedule,
    MaskSchedule,
    PlacedSchedule,
    PyramidSchedule,
    Schedule,
    SpeCaSchedule,
    TeaCacheSchedule,
)
from clusca_ext.storage.lean.demands import require_lean
from clusca_ext.storage.lean.description import LeanStorage

_PARTS = {
    cls.__name__: cls
    for cls in (
        IntervalSchedule,
        EvenSchedule,
        ExplicitSchedule,
        PlacedSchedule,
        PyramidSchedule,
        TeaCacheSchedule,
        FirstBlockSchedule,
        SpeCaSchedule,
        AdaCacheSchedule,
        MaskSchedule,
        ReuseForecaster,
        TaylorForecaster,
        HermiteForecaster,
        SpacedHermiteForecaster,
        NewtonForecaster,
        DampedForecaster,
        FrequencyForecaster,
        *CORRECTION_PARTS,
        RandomPerStep,
        RandomPerLayer,
        Nearest,
        GivenTokens,
        LeanStorage,
    )
}


@dataclass(frozen=True, kw_only=True)
class ClusCaConfig:
    """What a cache does. Every part can be exchanged for another of its kind.

    Attributes:
        schedule: When modules are computed.
        forecaster: How their outputs are predicted in between.
        corrector: What is computed of a cached step.
        storage: Where cached features lie. ``"per_block"``: the last outputs of every module;
            ``"lean"``: sums over all modules, ``LeanStorage()``.
        seed: Sample seed of the random choices, the same for every row.
        cuda_graph: Whether a cached step is captured as one CUDA graph and replayed from then on,
            where it can be; a summary says whether it is, or why not.
    """

    schedule: Schedule = EvenSchedule()
    forecaster: Forecaster = TaylorForecaster()
    corrector: Corrector = ClusterCorrector()
    storage: str | LeanStorage = "per_block"
    seed: int = 0
    cuda_graph: bool = True

    def __post_init__(self) -> None:
        part("schedule", self.schedule, "start")
        require_forecaster("forecaster", self.forecaster)
        if not isinstance(self.corrector, Corrector):
            raise ValueError(
                "corrector must be a ClusterCorrector, a TokenCorrector or NoCorrection, got "
                f"{self.corrector!r}"
            )
        if isinstance(self.storage, LeanStorage) or self.storage == "lean":
            asked = self.storage if isinstance(self.storage, LeanStorage) else LeanStorage()
            require_lean(asked, self.forecaster, self.corrector)
        elif self.storage != "per_block":
            raise ValueError(
                f'storage must be "per_block", "lean" or a LeanStorage, got {self.storage!r}'
            )
        integer("seed", self.seed, -(2**63), 2**63 - 1)
        flag("cuda_graph", self.cuda_graph)

    @classmethod
    def paper(cls, family: str) -> "ClusCaConfig":
        """The settings of ClusCa's released code (arXiv 2509.10312).

        Args:
            family: ``"dit"``, ``"flux"`` or ``"hunyuan_video"``.

        Raises:
            ValueError: The paper has no such family.
        """
        # interval, warm-up, order, clusters, gamma, k-means iterations, source
        settings = {
            "dit": (4, 2, 4, 16, 0.005, 100, "last"),
            "flux": (5, 3, 1, 16, 0.005, 10, "last_double"),
            "hunyuan_video": (5, 1, 1, 32, 0.01, 10, "last_double"),
        }
        if family not in list(settings):
            raise ValueError(f"family must be one of {list(settings)}, got {family!r}")
        interval, warmup, order, num_clusters, gamma, max_iters, source = settings[family]
        return cls(
            schedule=IntervalSchedule(interval=interval, warmup=warmup),
            forecaster=TaylorForecaster(order=order, bounded=False),
            corrector=ClusterCorrector(
                num_clusters=num_clusters,
                gamma=gamma,
                rule="value",
                persistent=True,
                metric="l1",
                max_iters=max_iters,
                share_cfg=False,
                source=source,
                selection=RandomPerLayer(),
            ),
        )

    @classmethod
    def for_model(cls, model: Any) -> "ClusCaConfig":
        """A preset for a model or a pipeline: the paper's settings where it has them, else ours.

        ``print(clusca_ext.supported())`` says which; ours are untested on those checkpoints.

        Raises:
            ValueError: The model is of no class that is supported.
        """
        model = getattr(model, "transformer", model)
        model = getattr(model, "_orig_mod", model)
        name = adapters.known_name(model)
        if name is None:
            raise ValueError(
                f"model must be one of {list(adapters.supported())}, got {type(model).__name__}"
            )
        return cls.paper(adapters.PAPERS[name]) if name in adapters.PAPERS else cls()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them.

        Raises:
            ValueError: A part is of a class that is not clusca_ext's.
        """
        return config_format.written(self, _PARTS)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ClusCaConfig":
        """The configuration that ``to_dict`` wrote, of this release or an older one.

        Missing keys take their defaults.

        Raises:
            ValueError: A key, class or value is not known, or a newer release wrote them.
        """
        config: ClusCaConfig = config_format.read(cls, values, _PARTS)
        return config

    def save(self, path: str | pathlib.Path) -> None:
        """Write the configuration to a JSON file."""
        text = json.dumps(self.to_dict(), indent=2)
        pathlib.Path(path).write_text(text + "\n")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "ClusCaConfig":
        """Read a configuration from a JSON file.

        Raises:
            ValueError: The file is not JSON, or ``from_dict`` refuses what it holds.
        """
        try:
            values = json.loads(pathlib.Path(path).read_text("utf-8"))
        except ValueError as error:  # neither JSON nor UTF-8
            raise ValueError(f"{path} must be a JSON file: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
        return cls.from_dict(values)


# Later is too late: `model.enable_cache(ClusCaConfig())` looks its method up before it makes what
# is given to it.
mixin.register()

"""Which cache is used: a file, a published method or a preset, and another storage on request."""

import dataclasses
import pathlib
from dataclasses import dataclass

from clusca_ext.config import ClusCaConfig
from clusca_ext.methods import METHODS, method
from clusca_ext.presets import load_mask, mask_presets
from clusca_ext.presets.placements import load_placement, placement_presets
from clusca_ext.storage.lean.description import LeanStorage

STORAGES: dict[str, str | LeanStorage] = {
    "per_block": "per_block",
    "lean": LeanStorage(),
    "window": LeanStorage(basis="window"),
    "exact": LeanStorage(basis="exact"),
    "shared-emb": LeanStorage(basis="shared-emb"),
    "gated": LeanStorage(basis="gated"),
    "lean-host": LeanStorage(offload=True),
}
PAPERS = {"paper-dit": "dit", "paper-flux": "flux", "paper-hunyuan-video": "hunyuan_video"}


@dataclass(frozen=True)
class Choice:
    """A cache, by the name it was chosen by.

    Attributes:
        name: What pictures and rows call it.
        config: Its configuration.
        steps: Steps of the runs it was made for; None: of any.
        method: The published method that it is; None: none.
    """

    name: str
    config: ClusCaConfig
    steps: int | None = None
    method: str | None = None

    def on(self, pipeline: object) -> "Choice":
        """The same with what the method has published for that model, if anything."""
        if self.method is None:
            return self
        config = dataclasses.replace(method(self.method, pipeline), storage=self.config.storage)
        return dataclasses.replace(self, config=config)


def presets() -> list[str]:
    """Names of what ships with the package."""
    return [*mask_presets(), *placement_presets(), *PAPERS]


def chosen(
    config: pathlib.Path | None = None,
    method_name: str | None = None,
    preset: str | None = None,
    storage: str | None = None,
) -> Choice:
    """The cache of at most one of a file, a method and a preset; the default of none.

    Raises:
        ValueError: More than one is given, or there is no such thing.
    """
    given = {"--config": config, "--method": method_name, "--preset": preset}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"give one of --config, --method and --preset, got {' and '.join(names)}")
    choice = Choice("ClusCa, default", ClusCaConfig())
    if config is not None:
        if not config.is_file():
            raise ValueError(f"--config must be a file of a configuration, got {config}")
        choice = Choice(config.stem, ClusCaConfig.load(config))
    elif method_name is not None:
        choice = by_name(method_name)
    elif preset is not None:
        choice = _preset(preset)
    if storage is None:
        return choice
    if storage not in STORAGES:
        raise ValueError(f"--storage must be one of {list(STORAGES)}, got {storage!r}")
    changed = dataclasses.replace(choice.config, storage=STORAGES[storage])
    return dataclasses.replace(choice, name=f"{choice.name}, {storage}", config=changed)


def by_name(name: str) -> Choice:
    """``"default"``, ``"lean"`` or a published method."""
    if name == "default":
        return Choice(name, ClusCaConfig())
    if name == "lean":
        return Choice(name, ClusCaConfig(storage="lean"))
    if name not in METHODS:
        raise ValueError(f"method must be one of {['default', 'lean', *METHODS]}, got {name!r}")
    return Choice(name, method(name), method=name)


def _preset(name: str) -> Choice:
    if name in mask_presets():
        mask = load_mask(name)
        return Choice(name, ClusCaConfig(schedule=mask), mask.num_steps)
    if name in placement_presets():
        placement = load_placement(name)
        return Choice(name, placement.config(), placement.settings.num_steps)
    if name in PAPERS:
        return Choice(name, ClusCaConfig.paper(PAPERS[name]))
    raise ValueError(f"--preset must be one of {presets()}, got {name!r}")

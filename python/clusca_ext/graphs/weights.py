"""A model's weights, and what else a graph of its forward holds for as long as it stays."""

from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from clusca_ext.graphs.hooks import hooked, require_fit
from clusca_ext.graphs.values import Unfit
from clusca_ext.installation import Installation

_ADAPTERS = ("_active_adapter", "_disable_adapters", "merged_adapters")  # of a layer with LoRAs


class State(NamedTuple):
    """Of a model: equal as long as a graph of it may be replayed.

    Attributes:
        places: Of weights and all else.
        hooked: Names of the modules within it that have forward hooks.
    """

    places: tuple[Hashable, ...]
    hooked: tuple[str, ...]


def state_of(model: nn.Module) -> State:
    """
    Raises:
        Unfit: No graph of it may be replayed.
    """
    found: list[Hashable] = [_settings()]
    names: list[str] = []
    for name, module in model.named_modules():
        own = vars(module)
        require_fit(name, module)
        names += hooked(name, module)
        found += [place for tensor in _tensors_in(own) for place in _places(tensor)]
        found.append((type(module), module.training))
        scaling = own.get("scaling")
        if isinstance(scaling, dict):
            adapters = [str(own.get(attribute)) for attribute in _ADAPTERS]
            found.append((*scaling.items(), *adapters))
    return State(tuple(found), tuple(names))


class States:
    """The states that a model has been in, numbered. It is looked at once a run, and again where
    hooks were registered or weights moved since."""

    def __init__(self) -> None:
        self._numbers: dict[State, int] = {}
        self.begin_run()

    def begin_run(self) -> None:
        self._now: State | None = None
        self._why: str | None = None  # it is in none
        self._weights: list[Tensor] = []  # one of every block: what moves a model moves them
        self._seen: tuple[int, ...] = ()

    def clear(self) -> None:
        self._numbers.clear()
        self.begin_run()

    def __len__(self) -> int:
        return len(self._numbers)

    def now(self, installed: Installation) -> int:
        """The number of the state it is in.

        Raises:
            Unfit: No graph of it may be replayed.
        """
        if self._sight() != self._seen or not self._weights:
            self._look(installed)
        if self._now is None:
            raise Unfit(self._why)
        return self._numbers.setdefault(self._now, len(self._numbers))

    def hooked(self) -> tuple[str, ...]:
        return () if self._now is None else self._now.hooked

    def require_still(self, model: nn.Module) -> None:
        """
        Raises:
            Unfit: It is in another state by now.
        """
        if state_of(model) != self._now:
            raise Unfit("weights move while the model runs")

    def _sight(self) -> tuple[int, ...]:
        return RemovableHandle.next_id, *(weight.data_ptr() for weight in self._weights)

    def _look(self, installed: Installation) -> None:
        model = installed.description.model
        owners = [model, *(block.block for block in installed.blocks)]
        first = [next(owner.parameters(), None) for owner in owners]
        self._weights = [weight for weight in first if weight is not None]
        self._seen = self._sight()
        try:
            self._now = state_of(model)
        except Unfit as why:
            self._now, self._why = None, f"{why}"


def _tensors_in(own: dict[str, Any]) -> Iterator[Tensor]:
    """Parameters, buffers, and what a module keeps beside them, as tables of positions."""
    for value in own.values():
        parts = value.values() if isinstance(value, dict) else value
        for part in parts if isinstance(value, (dict, list, tuple)) else (value,):
            if isinstance(part, Tensor):
                yield part


def _places(tensor: Tensor) -> Iterator[Hashable]:
    """Of its memory; of quantised weights, of all they consist of."""
    parts = getattr(tensor, "__tensor_flatten__", None)
    if parts is None:
        yield tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.device
        return
    for name in parts()[0]:
        yield from _places(getattr(tensor, name))


def _settings() -> Hashable:
    """Of torch, on which it depends which kernel an operator launches."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return (
        torch.get_float32_matmul_precision(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        cuda.matmul.allow_fp16_reduced_precision_reduction,
        cuda.matmul.allow_bf16_reduced_precision_reduction,
        (cudnn.enabled, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic),
        (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()),
        cuda.cudnn_sdp_enabled(),
    )


def modes() -> Hashable:
    """What of torch may change from call to call."""
    devices = ("cpu", "cuda")
    autocast = [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in devices]
    return torch.is_inference_mode_enabled(), *autocast

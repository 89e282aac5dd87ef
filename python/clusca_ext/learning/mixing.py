"""A model whose modules return a mixture of what they compute and what a cache would forecast.

``out = beta * f(x) + (1 - beta) * forecast``, before the gate (Learning-to-Cache, arXiv
2406.01733, section 3): at beta 1 the model itself, at beta 0 a cached step, differentiable in beta
in between. Where blocks attend to a stream of text, which cached steps do not update, they are
given that of the last full step, as a mask gives it to them. Everything here is plain PyTorch;
forecasts are ``clusca_ext.reference``'s.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription, ModuleDescription
from clusca_ext.block_inputs import OtherStream
from clusca_ext.cache import Cache
from clusca_ext.forecast import Forecaster, FrequencyForecaster, ReuseForecaster
from clusca_ext.learning.calls import Call, prediction
from clusca_ext.learning.history import History
from clusca_ext.learning.recomputing import in_backward, recomputed_within
from clusca_ext.schedule import Key


class Mixer:
    """Runs a described model fully, keeping what its modules return, or mixed with forecasts.

    Args:
        description: The model's.
        forecaster: How modules are forecast, each by itself.

    Attributes:
        keys: All modules, in order.
        learnt: Those of them that a step may compute while others are forecast. Others are only
            ever forecast on such a step.

    Raises:
        ValueError: The model is in training mode, where its outputs are random, or has a cache;
            the forecaster splits frequencies, which the cache does with what is kept of a step.
    """

    def __init__(self, description: ModelDescription, forecaster: Forecaster | None = None) -> None:
        self.description = description
        self.model: nn.Module = description.model
        self.forecaster = ReuseForecaster() if forecaster is None else forecaster
        if isinstance(self.forecaster, FrequencyForecaster):
            raise ValueError(
                "forecaster must forecast what a module returned as it is, got "
                f"{self.forecaster!r}: train with {self.forecaster.forecaster!r} alone"
            )
        if self.model.training:
            raise ValueError("the model must be in eval mode, got one in training mode")
        require_no_cache(self.model)
        self._parts = {
            (index, part.name): part
            for index, block in enumerate(description.blocks)
            for part in block.modules
        }
        self.keys = tuple(self._parts)
        self.learnt = tuple(key for key, part in self._parts.items() if part.computable)
        self._history: History | None = None
        self._betas: Mapping[Key, Tensor] | None = None
        self._refresh: float | None = None
        self._step, self._tokens = 0, [0] * len(description.blocks)
        self._others = [OtherStream(block) for block in description.blocks]
        self._call, self._own_text = Call(), True

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put the hooks into the model, whose parameters take no gradients meanwhile."""
        handles = [
            part.module.register_forward_hook(partial(self._hook, key, part))
            for key, part in self._parts.items()
        ]
        handles += [
            block.block.register_forward_pre_hook(partial(self._enter, index), with_kwargs=True)
            for index, block in enumerate(self.description.blocks)
            if block.other is not None
        ]
        wanted = [p for p in self.model.parameters() if p.requires_grad]
        for parameter in wanted:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for parameter in wanted:
                parameter.requires_grad_(True)

    def full(self, call: Call, step: int, history: History) -> Any:
        """The model's own output; the history keeps what its modules return."""
        with torch.no_grad(), self._during(call, step, history):
            return call.of(self.model)

    def target(self, call: Call) -> Tensor:
        """The model's own prediction."""
        with torch.no_grad():
            return prediction(call.of(self.model))

    def mixed(
        self,
        call: Call,
        step: int,
        history: History,
        betas: Mapping[Key, Tensor],
        refresh: float | None = None,
    ) -> Any:
        """The output of the model whose modules are mixed with their forecasts.

        Args:
            call: The inputs.
            step: Its index in the run.
            history: What the modules returned before.
            betas: How much of each module is computed, 0-dim; missing: nothing.
            refresh: Modules of a larger beta are kept as computed at this step, as a cache does,
                and where all have one, so is text, which is the step's own then; None: none is, as
                in Learning-to-Cache.
        """
        full = refresh is not None and all(
            key in betas and betas[key].item() > refresh for key in self.keys
        )
        before = history.as_it_is()
        again = partial(self._during, call, step, before, betas, own_text=full)  # without refresh
        with (
            recomputed_within(self.model, again),
            self._during(call, step, history, betas, refresh, own_text=full),
        ):
            return call.of(self.model)

    @contextmanager
    def _during(
        self,
        call: Call,
        step: int,
        history: History,
        betas: Mapping[Key, Tensor] | None = None,
        refresh: float | None = None,
        own_text: bool = False,
    ) -> Iterator[None]:
        shapes = self.description.shapes(call.args, call.kwargs)
        if shapes is not None:
            self._tokens = [shape[1] for shape in shapes]
        self._step, self._history, self._betas, self._refresh = step, history, betas, refresh
        self._call, self._own_text = call, own_text or betas is None
        try:
            yield
        finally:
            self._history = self._betas = None
            self._call = Call()

    def _enter(self, index: int, block: nn.Module, args: Args, kwargs: Kwargs) -> Any:
        """Pre-hook of a block with another stream: keep that, or give it what was kept."""
        history, other = self._history, self._others[index]
        if history is None:
            return None
        beside = self.description.tokens_beside(self.description.blocks[index], *self._call)
        if not self._own_text:
            return other.given(history.texts.get(index), args, kwargs, beside)
        text = other.of(args, kwargs, beside)
        if text is not None:
            history.texts[index] = text.detach()
        return None

    def _hook(
        self, key: Key, part: ModuleDescription, module: nn.Module, args: Args, output: Any
    ) -> Any:
        history, betas, N = self._history, self._betas, self._tokens[key[0]]
        if history is None:
            if in_backward():
                raise ValueError(
                    "gradient checkpointing must be that of the model's "
                    f"enable_gradient_checkpointing, got another one of block {key[0]}"
                )
            return None
        feature = part.feature(output, N)
        if betas is None:
            history.keep(key, feature.detach(), self._step, self.forecaster.order)
            return None
        if key not in history.factors:
            raise ValueError(f"a full step must come before step {self._step}, got none")
        forecast = history.forecast(key, self._step, self.forecaster)
        beta = betas.get(key)
        if beta is None:
            return _replaced(key, part, output, forecast, N)
        if self._refresh is not None and beta.item() > self._refresh:
            history.keep(key, feature.detach(), self._step, self.forecaster.order)
        # In float32 at least, so that the gradient of beta, too, is summed in it.
        wide = torch.promote_types(feature.dtype, torch.float32)
        mixture = forecast.to(wide).lerp(feature.to(wide), beta.to(feature.device, wide))
        return _replaced(key, part, output, mixture.to(feature.dtype), N)


def require_no_cache(model: nn.Module) -> None:
    """What a cached model's modules return is not all its own.

    Raises:
        ValueError: It has a cache.
    """
    if Cache.of(model) is not None:
        raise ValueError("the model must have no cache, got one that has: call disable_cache first")


def _replaced(key: Key, part: ModuleDescription, output: Any, feature: Tensor, N: int) -> Any:
    """The module's output with the stream's part of it exchanged."""
    if part.feature(output, N) is output:
        return feature
    whole: Any = (
        output.clone()
        if isinstance(output, Tensor)
        else tuple(each.clone() if isinstance(each, Tensor) else each for each in output)
    )
    place = part.feature(whole, N)
    tensors = (whole,) if isinstance(whole, Tensor) else whole
    memory = {t.untyped_storage().data_ptr() for t in tensors if isinstance(t, Tensor)}
    if place.untyped_storage().data_ptr() not in memory:
        raise ValueError(
            f"module {key[1]!r} of block {key[0]} must return what is cached of it as a part, "
            "which can be exchanged; it computes that from what it returns"
        )
    place.copy_(feature)
    return whole

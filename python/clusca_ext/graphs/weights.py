"""A model's weights, and what else a graph of its forward holds for as long as it stays."""

from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as everywhere

from clusca_ext.executor import ModuleExecutor
from clusca_ext.graphs.values import Unfit
from clusca_ext.installation import Installation

_ADAPTERS = ("_active_adapter", "_disable_adapters", "merged_adapters")  # of a layer with LoRAs


def state_of(model: nn.Module) -> Hashable:
    """Equal as long as a graph of the model may be replayed.

    Raises:
        Unfit: A replay would leave something out, or weights do not stay where they are.
    """
    if everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks:
        raise Unfit("a forward hook on all modules would not run")
    found: list[Hashable] = [_settings()]
    for name, module in model.named_modules():
        own = vars(module)
        _require_fit(module, own, name, model)
        found += [place for tensor in _tensors_in(own) for place in _places(tensor)]
        found.append((type(module), module.training))
        scaling = own.get("scaling")
        if isinstance(scaling, dict):
            adapters = [str(own.get(attribute)) for attribute in _ADAPTERS]
            found.append((*scaling.items(), *adapters))
    return tuple(found)


def watched(model: nn.Module, blocks: list[Any]) -> list[Tensor]:
    """One weight of every block: what moves a model moves them."""
    owners = [model, *(block.block for block in blocks)]
    first = [next(owner.parameters(), None) for owner in owners]
    return [weight for weight in first if weight is not None]


def _require_fit(module: nn.Module, own: dict[str, Any], name: str, model: nn.Module) -> None:
    where = repr(name) if name else "the model"
    diffusers = getattr(own.get("_diffusers_hook"), "hooks", None)
    if "_hf_hook" in own or diffusers and "group_offloading" in diffusers:
        raise Unfit("weights may be offloaded: they come when their module is called")
    if diffusers:
        raise Unfit(f"hooks of diffusers, as {next(iter(diffusers))!r} on {where}, would not run")
    hooks = (*own["_forward_pre_hooks"].values(), *own["_forward_hooks"].values())
    if module is not model and not all(map(_is_ours, hooks)):
        raise Unfit(f"a forward hook on {where} would not run")


def _is_ours(hook: Any) -> bool:
    return isinstance(getattr(hook, "__self__", None), (ModuleExecutor, Installation))


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

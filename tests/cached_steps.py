"""What a step of a cached model calls: of our operators, and of torch's within its blocks."""

from collections import Counter
from dataclasses import replace

from torch.utils._python_dispatch import TorchDispatchMode

from clusca_ext import ClusterCorrector, NoCorrection, cache
from clusca_ext.cache import Cache
from families_image import FLUX
from small_dit import make_dit, options, sample
from test_families import TIMES, config, run

STEPS = len(TIMES)
# How each is made and run, and what its cache is told of that run.
MODELS = {
    "DiT": (make_dit, lambda model: sample(model, STEPS), options(STEPS)),
    "FLUX": (FLUX.make, lambda model: run(FLUX, model), {"timesteps": TIMES}),
}
CONFIGS = {
    "NoCorrection": config(NoCorrection()),
    "ClusterCorrector": config(ClusterCorrector(num_clusters=8)),
    "persistent": config(ClusterCorrector(num_clusters=8, rule="value", persistent=True)),
    "lean": replace(config(ClusterCorrector(num_clusters=8)), storage="lean"),
    "lean, NoCorrection": replace(config(NoCorrection()), storage="lean"),
}


class Calls(TorchDispatchMode):
    """Counts calls by step; and what ``launches`` says of an operator of ours and its arguments.

    Torch's operators count where they write a tensor: views launch nothing.
    """

    def __init__(self, launches=None):
        super().__init__()
        self.launches, self.step, self.in_blocks = launches, -1, False
        self.ours = [Counter() for _ in range(STEPS)]
        self.torchs = [Counter() for _ in range(STEPS)]
        self.launched = [0] * STEPS

    def watch(self, model):
        """Follow a cached model's steps, and when its blocks run."""
        blocks = [each.block for each in Cache.of(model).blocks]
        model.register_forward_pre_hook(lambda *_: setattr(self, "step", self.step + 1))
        blocks[0].register_forward_pre_hook(lambda *_: setattr(self, "in_blocks", True))
        blocks[-1].register_forward_hook(lambda *_: setattr(self, "in_blocks", False))

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name = op._schema.name
        if name.startswith("clusca::"):
            self.ours[self.step][name.removeprefix("clusca::")] += 1
            if self.launches is not None:
                self.launched[self.step] += len(self.launches(op, args))
        elif self.in_blocks and writes(op):
            self.torchs[self.step][name.removeprefix("aten::")] += 1
        return op(*args, **(kwargs or {}))


def writes(op):
    returned = [each.alias_info for each in op._schema.returns]
    return any(alias is None or alias.is_write for alias in returned)


def calls_of_steps(model_name, config_name, launches=None):
    """The calls of a run whose timesteps are known beforehand."""
    make, go, known = MODELS[model_name]
    model, calls = make(), Calls(launches)
    with cache(model, CONFIGS[config_name], **known):
        calls.watch(model)
        with calls:
            go(model)
    return calls

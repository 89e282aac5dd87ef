"""What schedules that adapt look at and reuse on a family, by plain hooks on its model's blocks.

Nothing of clusca_ext is used here. Steps are told from outside: ``at`` before every call.
"""

import copy
import inspect

import torch
from torch import Tensor

from plain_adapting import relative_l1

ATTENTIONS = ("attn1", "attn", "attention")


def blocks_of(family):
    """Names of its blocks, in order."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in family.modules))


def chains_of(family, blocks):
    """Blocks between whose first and last nothing but they themselves adds to the stream."""
    if family.name.startswith("WanVACE"):  # hints are made of one stream and added to the other
        return [[name] for name in blocks]
    if family.name.startswith("Flux2"):  # text joins the stream before the second kind
        return [[name for name in blocks if name.startswith(of)] for of in ("trans", "single")]
    return [blocks]


def named(block, args, kwargs):
    """A call's inputs by name."""
    return inspect.signature(block.forward).bind(*args, **kwargs).arguments


def entering(block, args, kwargs):
    """The stream that a block is given."""
    given = named(block, args, kwargs)
    if "control_hidden_states" not in given:
        return given["hidden_states" if "hidden_states" in given else "x"]
    x = given["control_hidden_states"]
    return x if block.proj_in is None else block.proj_in(x) + given["hidden_states"]


def place_of(family, output):
    """Where the stream is in what a block returns: it alone has so many tokens."""
    tokens = [isinstance(each, Tensor) and each.shape[1] for each in output]
    return len(tokens) - 1 - tokens[::-1].index(family.tokens)


def leaving(family, output):
    return output if isinstance(output, Tensor) else output[place_of(family, output)]


def replaced(family, block, output, x):
    """What a block returns, with another stream."""
    if isinstance(output, Tensor):
        return x
    if hasattr(block, "proj_in"):  # the first is the hint
        return block.proj_out(x), x
    place = place_of(family, output)
    return (*output[:place], x, *output[place + 1 :])


class Hooked:
    """A model with hooks, for as long as the context lasts."""

    def __init__(self, family, model):
        self.family, self.model = family, model
        self.step, self.handles = 0, []

    def at(self, step):
        self.step = step

    def before(self, name, hook):
        module = self.model.get_submodule(name)
        self.handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def after(self, name, hook):
        module = self.model.get_submodule(name)
        self.handles.append(module.register_forward_hook(hook, with_kwargs=True))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()


class Watched(Hooked):
    """Keeps of every step what the first block's attention is given, and what blocks add.

    Attributes:
        modulated: By step.
        added: By block and step.
    """

    def __init__(self, family, model):
        super().__init__(family, model)
        self.blocks = blocks_of(family)
        self.modulated, self.added = {}, {}
        for index, name in enumerate(self.blocks):
            self.after(name, lambda *call, i=index: self._keep(i, *call))
        first = self.blocks[0]
        own = dict(model.get_submodule(first).named_children())
        attention = next(name for name in ATTENTIONS if name in own)
        self.before(f"{first}.{attention}", self._look)

    def _keep(self, index, block, args, kwargs, output):
        added = leaving(self.family, output) - entering(block, args, kwargs)
        self.added.setdefault(index, {})[self.step] = added

    def _look(self, module, args, kwargs):
        self.modulated[self.step] = args[0] if args else kwargs["hidden_states"]


def changes(kept, pairs):
    """Of every sample: relative L1 by step, each against an earlier one."""
    samples = len(kept[0])
    return [{a: relative_l1(kept[a][s], kept[b][s]) for a, b in pairs} for s in range(samples)]


class Reused(Hooked):
    """On all but some steps the stream behind the blocks is that before them, plus what they added
    in the last one of those."""

    def __init__(self, family, model, full, computed=0):
        """``computed`` blocks at the front run at every step."""
        super().__init__(family, model)
        self.full, self.entered, self.kept = full, {}, {}
        for chain in chains_of(family, blocks_of(family)[computed:]):
            self.before(chain[0], lambda *call, of=chain[0]: self._enter(of, *call))
            self.after(chain[-1], lambda *call, of=chain[0]: self._leave(of, *call))

    def _enter(self, chain, block, args, kwargs):
        self.entered[chain] = entering(block, args, kwargs)

    def _leave(self, chain, block, args, kwargs, output):
        before = self.entered[chain]
        if self.step in self.full:
            self.kept[chain] = leaving(self.family, output) - before
            return None
        return replaced(self.family, block, output, before + self.kept[chain])


class Verified(Hooked):
    """The error of one block's draft on a model whose modules others draft.

    Attributes:
        errors: Relative L1 by step, of every sample.
        unexchanged: The same with the text of the step itself.
        hands_on_text: Whether the block returns text, too; some have it in front of their stream.
    """

    def __init__(self, family, model, full, index):
        super().__init__(family, model)
        name = self.name = blocks_of(family)[index]
        self.own = copy.deepcopy(model.get_submodule(name))  # before anybody hooks its modules
        self.outputs = {}  # of the last module: drafted, and computed
        self.full, self.text = full, None
        self.errors, self.unexchanged = ([{} for _ in range(family.noise[0])] for _ in range(2))
        self.after(name, self._verify)

    def compare_outputs(self):
        """Of the last module before its gate, not the stream; called once others draft it."""
        name = [each for each in self.family.modules if each.startswith(f"{self.name}.")][-1]
        tokens = self.family.tokens
        own = slice(tokens) if "HunyuanVideo" in self.family.name else slice(-tokens, None)
        gated = "Mochi" in self.family.name  # its norm is given the gate

        def keep(of, module, args, kwargs, output):
            self.outputs[of] = (output / args[1] if gated else output)[:, own]

        self.after(name, lambda *call: keep("drafted", *call))
        module = self.own.get_submodule(name.removeprefix(f"{self.name}."))
        module.register_forward_hook(lambda *call: keep("computed", *call), with_kwargs=True)

    def _verify(self, block, args, kwargs, output):
        given = named(block, args, kwargs)
        stream, T = entering(block, args, kwargs), -self.family.tokens
        is_in_front = stream.shape[1] > -T
        self.hands_on_text = isinstance(output, tuple) or is_in_front
        if self.step in self.full:
            self.text = stream[:, :T] if is_in_front else given.get("encoder_hidden_states")
            return
        self._compare(self.unexchanged, output, given)
        if is_in_front:
            given["hidden_states"] = torch.cat([self.text, stream[:, T:]], dim=1)
        elif self.text is not None:
            given["encoder_hidden_states"] = self.text
        self._compare(self.errors, output, given)

    def _compare(self, to, output, given):
        T = -self.family.tokens
        draft, computed = (leaving(self.family, each) for each in (output, self.own(**given)))
        draft, computed = draft[:, T:], computed[:, T:]
        if self.outputs:
            draft, computed = self.outputs["drafted"], self.outputs["computed"]
        for sample, pair in enumerate(zip(draft, computed, strict=True)):
            to[sample][self.step] = relative_l1(*pair)

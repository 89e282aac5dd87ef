"""TeaCache of the timestep's embedding by hooks on Wan and CogVideoX, for tests to compare with."""

from collections import defaultdict

from plain_adapting import relative_l1


class PlainTimestep:
    """The published rule, and what all blocks add, kept by the branch of guidance that calls.

    Args:
        model: One of diffusers.
        schedule: Whose numbers are taken.
        steps: Of the run.
        calls: Of the model in a step, one branch each.
    """

    def __init__(self, model, schedule, steps, calls=1):
        self.schedule, self.steps, self.calls = schedule, steps, calls
        kind = schedule.change_of
        self.count, self.changes = 0, defaultdict(list)
        self.kinds, self.sums = defaultdict(list), defaultdict(float)
        self.before, self.residual, self.shown = {}, {}, None
        wan = hasattr(model, "condition_embedder")
        blocks = list(model.blocks if wan else model.transformer_blocks)
        if wan:
            embedder = model.condition_embedder
            which = embedder.time_embedder if kind == "embedded timestep" else embedder.time_proj
            which.register_forward_hook(lambda module, args, output: self.show(output))
        else:
            model.transformer_blocks[0].register_forward_pre_hook(
                lambda module, args, kwargs: self.show(kwargs["temb"]), with_kwargs=True
            )
        blocks[0].register_forward_pre_hook(self.enter, with_kwargs=True)
        for block in blocks[:-1]:
            block.register_forward_hook(self.skip, with_kwargs=True)
        blocks[-1].register_forward_hook(self.leave, with_kwargs=True)

    @property
    def branch(self):
        return self.count % self.calls

    def show(self, embedding):
        self.shown = embedding.clone()

    def enter(self, block, args, kwargs):
        step, branch, of = self.count // self.calls, self.branch, self.schedule
        full = step < of.warmup or (of.last and step == self.steps - 1)
        if step:
            self.changes[branch].append(relative_l1(self.shown, self.before[branch]))
        if not full:
            change, degree = self.changes[branch][-1], len(of.polynomial) - 1
            self.sums[branch] += sum(
                c * change ** (degree - i) for i, c in enumerate(of.polynomial)
            )
            full = self.sums[branch] >= of.threshold
        if full:
            self.sums[branch] = 0.0
        self.before[branch] = self.shown
        self.kinds[branch].append("full" if full else "cached")
        self.x = given(args, kwargs).clone()

    def skip(self, block, args, kwargs, output):
        if self.kinds[self.branch][-1] == "full":
            return None
        return like(output, given(args, kwargs), args, kwargs)

    def leave(self, block, args, kwargs, output):
        branch = self.branch
        if self.kinds[branch][-1] == "full":
            stream = output[0] if isinstance(output, tuple) else output
            self.residual[branch] = stream - self.x
            out = None
        else:
            out = like(output, self.x + self.residual[branch], args, kwargs)
        self.count += 1
        return out


def given(args, kwargs):
    return kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]


def like(output, stream, args, kwargs):
    return (stream, kwargs["encoder_hidden_states"]) if isinstance(output, tuple) else stream

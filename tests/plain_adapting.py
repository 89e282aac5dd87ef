"""TeaCache, FirstBlockCache and AdaCache on a DiT in plain PyTorch, for tests to compare with."""

import math

from torch.nn.functional import silu


def relative_l1(now, before):
    return float((now - before).abs().sum() / before.abs().sum())


class Plain:
    """A DiT whose blocks run when a method says so; a cached step adds a residual that was kept."""

    def __init__(self, model):
        self.model, self.kinds = model, []

    def __call__(self, rows, timestep, class_labels):
        model, blocks = self.model, self.model.transformer_blocks
        x = self.blocks(model.pos_embed(rows), blocks, timestep, class_labels)
        emb = blocks[0].norm1.emb(timestep, class_labels, hidden_dtype=x.dtype)
        shift, scale = model.proj_out_1(silu(emb)).chunk(2, dim=1)
        x = model.proj_out_2(model.norm_out(x) * (1 + scale[:, None]) + shift[:, None])
        side, p = math.isqrt(x.shape[1]), model.patch_size
        x = x.reshape(-1, side, side, p, p, model.out_channels).permute(0, 5, 1, 3, 2, 4)
        return type("Output", (), {"sample": x.reshape(len(x), -1, side * p, side * p)})

    def run(self, x, blocks, timestep, labels):
        for block in blocks:
            x = block(x, timestep=timestep, class_labels=labels)
        return x


class PlainTeaCache(Plain):
    def __init__(self, model, steps, threshold, polynomial):
        super().__init__(model)
        self.steps, self.threshold, self.polynomial = steps, threshold, polynomial
        self.sum, self.before, self.residual = 0.0, None, None

    def blocks(self, x, blocks, timestep, labels):
        modulated = blocks[0].norm1(x, timestep, labels, hidden_dtype=x.dtype)[0]
        step = len(self.kinds)
        full = step in (0, self.steps - 1)
        if not full:
            change = relative_l1(modulated, self.before)
            degree = len(self.polynomial) - 1
            self.sum += sum(c * change ** (degree - i) for i, c in enumerate(self.polynomial))
            full = self.sum >= self.threshold
        if full:
            self.sum = 0.0
            out = self.run(x, blocks, timestep, labels)
            self.residual = out - x
        self.before = modulated
        self.kinds.append("full" if full else "cached")
        return x + self.residual


class PlainFirstBlock(Plain):
    def __init__(self, model, threshold):
        super().__init__(model)
        self.threshold, self.head, self.tail = threshold, None, None

    def blocks(self, x, blocks, timestep, labels):
        after = self.run(x, blocks[:1], timestep, labels)
        head = after - x
        full = self.head is None or relative_l1(head, self.head) > self.threshold
        if full:
            self.head = head
            self.tail = self.run(after, blocks[1:], timestep, labels) - after
        self.kinds.append("full" if full else "cached")
        return after + self.tail


class PlainAdaCache(Plain):
    """The middle block's residual, from one full step to the next, says how far the next one is."""

    def __init__(self, model, codebook, warmup=2):
        super().__init__(model)
        self.codebook, self.warmup = codebook, warmup
        self.last, self.interval, self.before, self.residual = None, 1, None, None

    def blocks(self, x, blocks, timestep, labels):
        step = len(self.kinds)
        if step < self.warmup or step - self.last >= self.interval:
            middle = len(blocks) // 2
            before = self.run(x, blocks[:middle], timestep, labels)
            after = self.run(before, blocks[middle : middle + 1], timestep, labels)
            added = after - before
            self.interval = 1
            if self.before is not None:
                change = relative_l1(added, self.before) / (step - self.last)
                self.interval = next((n for bound, n in self.codebook if change < bound), 1)
            self.before, self.last = added, step
            self.residual = self.run(after, blocks[middle + 1 :], timestep, labels) - x
            self.kinds.append("full")
        else:
            self.kinds.append("cached")
        return x + self.residual

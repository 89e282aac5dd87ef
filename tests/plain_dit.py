"""ClusCa on a DiT, written out in plain PyTorch from its equations, for tests to compare with.

Nothing of clusca_ext is used here: lists of tensors for factors, loops over layers, advanced
indexing. It runs a batch of rows with timestep and labels, one step a call.
"""

import math

import torch


def picked(cluster_ids, num_clusters, step, layer):
    """A member of every cluster by a rule that both sides can follow. [B, K]"""
    rows = []
    for ids in cluster_ids.tolist():
        members = [[n for n, k in enumerate(ids) if k == c] for c in range(num_clusters)]
        rows.append([m[(step * 7 + layer * 3) % len(m)] if m else -1 for m in members])
    return torch.tensor(rows, dtype=torch.int32, device=cluster_ids.device)


def lloyd(tokens, centroids, metric, max_iters, rtol):
    """Labels and centroids of one row. [N, D], [K, D]"""

    def nearest(centroids):
        power = 1.0 if metric == "l1" else 2.0
        return torch.cdist(tokens.double(), centroids.double(), p=power).argmin(1)

    for _ in range(max_iters):
        labels = nearest(centroids)
        moved = centroids.clone()
        for k in range(len(centroids)):
            if (labels == k).any():
                moved[k] = tokens[labels == k].mean(0)
        change = (moved - centroids).abs().max()
        centroids = moved
        if change <= rtol * centroids.abs().max():
            break
    return nearest(centroids), centroids


class PlainClusCa:
    """One run over a ``DiTTransformer2DModel``.

    ``corrector`` and ``weights`` say what to do: the corrector's fields, and a function from
    (distance, spacing) to forecast weights. ``start`` draws the first centroids' tokens. [B, K]
    """

    def __init__(self, model, full_steps, order, weights, corrector, start):
        self.model, self.full_steps, self.order = model, full_steps, order
        self.weights, self.corrector, self.start = weights, corrector, start
        self.factors = {}  # (layer, module): [F0, F1, ...]
        self.last = self.spacing = self.ids = self.centroids = None
        self.step = 0

    def __call__(self, rows, timestep, labels):
        model = self.model
        x = model.pos_embed(rows)
        full = self.step in self.full_steps
        for layer, block in enumerate(model.transformer_blocks):
            run = self._full if full else self._cached
            x = run(layer, block, x, timestep, labels)
        if full:
            self.spacing = None if self.last is None else self.step - self.last
            self.last = self.step
            self._cluster(x)
        self.step += 1
        emb = model.transformer_blocks[0].norm1.emb(timestep, labels, hidden_dtype=x.dtype)
        shift, scale = model.proj_out_1(torch.nn.functional.silu(emb)).chunk(2, dim=1)
        x = model.proj_out_2(model.norm_out(x) * (1 + scale[:, None]) + shift[:, None])
        side, p = math.isqrt(x.shape[1]), model.patch_size
        x = x.reshape(-1, side, side, p, p, model.out_channels)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(len(x), -1, side * p, side * p)

    def _modulation(self, block, x, timestep, labels):
        emb = block.norm1.emb(timestep, labels, hidden_dtype=x.dtype)
        all_six = block.norm1.linear(torch.nn.functional.silu(emb))
        return [part.unsqueeze(1) for part in all_six.chunk(6, dim=1)]

    def _remember(self, key, feature):
        new = [feature]
        known = min(self.order, len(self.factors.get(key, [])))
        for i in range(known):
            new.append((new[i] - self.factors[key][i]) / (self.step - self.last))
        self.factors[key] = new

    def _full(self, layer, block, x, timestep, labels):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self._modulation(
            block, x, timestep, labels
        )
        attention = block.attn1(block.norm1.norm(x) * (1 + scale_a) + shift_a)
        self._remember((layer, "attn"), attention)
        x = x + gate_a * attention
        mlp = block.ff(block.norm3(x) * (1 + scale_m) + shift_m)
        self._remember((layer, "mlp"), mlp)
        return x + gate_m * mlp

    def _forecast(self, key):
        factors = self.factors[key]
        weights = self.weights(self.step - self.last, self.spacing)
        return sum(w * f for w, f in zip(weights, factors, strict=False))

    def _cached(self, layer, block, x, timestep, labels):
        _, _, gate_a, shift_m, scale_m, gate_m = self._modulation(block, x, timestep, labels)
        x = x + gate_a * self._forecast((layer, "attn"))
        if self.corrector is None:
            return x + gate_m * self._forecast((layer, "mlp"))
        batch = torch.arange(len(x), device=x.device).unsqueeze(1)
        tokens = picked(self.ids, self.centroids.shape[1], self.step, layer).long()
        modulated = block.norm3(x[batch, tokens]) * (1 + scale_m) + shift_m
        computed = block.ff(modulated)  # [B, K, D]
        return x + gate_m * self._propagate((layer, "mlp"), computed, tokens)

    def _propagate(self, key, computed, tokens):
        """M of every token, by the corrector's rule. [B, N, D]"""
        gamma, batch = (
            self.corrector.gamma,
            torch.arange(len(computed), device=computed.device).unsqueeze(1),
        )
        own = computed[batch, self.ids]  # what each token's representative computed
        if self.corrector.persistent:
            f0 = self.factors[key][0].clone()
            f0[batch, tokens] = computed
            self.factors[key][0] = gamma * own + (1 - gamma) * f0
            return self._forecast(key)
        forecast = self._forecast(key)
        if self.corrector.rule == "value":
            out = gamma * own + (1 - gamma) * forecast
        else:
            out = forecast + gamma * (own - forecast[batch, tokens][batch, self.ids])
        out[batch, tokens] = computed
        return out

    def _cluster(self, x):
        if self.corrector is None:
            return
        if self.centroids is None:
            batch = torch.arange(len(x), device=x.device).unsqueeze(1)
            self.centroids = x[batch, self.start]
        how = self.corrector
        fitted = [
            lloyd(tokens, centroids, how.metric, how.max_iters, how.rtol)
            for tokens, centroids in zip(x, self.centroids, strict=True)
        ]
        self.ids = torch.stack([labels for labels, _ in fitted])
        self.centroids = torch.stack([centroids for _, centroids in fitted])

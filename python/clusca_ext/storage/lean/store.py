"""Lean storage of one branch: composes sums, rows of representatives and a basis."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import Choices, ClusterCorrector, Clusters
from clusca_ext.executor import BlockExecutor, ModuleExecutor, Segment
from clusca_ext.executor.segment import Track
from clusca_ext.installation import Installation, Key
from clusca_ext.storage.constants import DeviceConstants, autocast_dtype
from clusca_ext.storage.filtered import low_band_of
from clusca_ext.storage.host import HostTensor, unstage
from clusca_ext.storage.lean.arena import Arena
from clusca_ext.storage.lean.bases import Basis
from clusca_ext.storage.lean.cells import cells_of
from clusca_ext.storage.lean.choice import bases_of, course_of
from clusca_ext.storage.lean.course import Course, Past
from clusca_ext.storage.lean.description import LeanStorage
from clusca_ext.storage.lean.feature import LeanFeature, spread
from clusca_ext.storage.lean.foresight import Foresight
from clusca_ext.storage.lean.looks import weigh_by_gates
from clusca_ext.storage.lean.room import Room, Shape, sums_of
from clusca_ext.storage.lean.rows import Rows
from clusca_ext.storage.lean.shared import SharedEmb
from clusca_ext.storage.lean.sums import Sums
from clusca_ext.storage.run import Run


class Lean:
    """What one branch has cached.

    Args:
        installed: The modules.
        config: What to do.
        asked: Its storage.

    Attributes:
        features: Of every module.
        words: The basis and why it is, for a summary.
    """

    def __init__(self, installed: Installation, config: ClusCaConfig, asked: LeanStorage) -> None:
        self._installed, self._config, self._asked = installed, config, asked
        self.features: Mapping[Key, LeanFeature] = {key: LeanFeature() for key in installed.modules}
        self._arena, self._hosts = Arena(), dict[str, HostTensor]()
        self._segments = installed.blocks_by_segment()
        self.words = "lean"
        self.release()

    @property
    def modules(self) -> Mapping[Key, ModuleExecutor]:
        return self._installed.modules

    @property
    def tokens(self) -> int:
        return min((feature.tokens for feature in self.features.values()), default=0)

    @property
    def _sums(self) -> Sequence[Sequence[Sums]]:
        """Of every segment, and in it of every group of tokens."""
        return () if self._room is None else self._room.sums

    def bytes(self) -> int:
        gates = 0 if self._foresight is None else self._foresight.bytes()
        host = sum(each.host_bytes() for groups in self._sums for each in groups)
        return self._arena.bytes() + gates + host

    def release(self) -> None:
        unstage(self._hosts.values())
        self._arena.release()
        self._hosts.clear()
        self._forget()

    def _forget(self) -> None:
        self._room: Room | None = None
        self._bases: list[tuple[int, Basis]] = []
        self._foresight: Foresight | None = None
        self._steps = 0  # full ones so far
        for feature in self.features.values():
            feature.forget()

    def begin(self, run: Run, on: DeviceConstants) -> None:
        """Forget the past; find a basis; make room where shapes are known."""
        self._forget()
        self._run = run
        self._past = course_of(run, Past(self._config.forecaster))
        self._bases, self._foresight = bases_of(self._asked, run, self._past, self._segments)
        groups = f", apart for {len(self._bases)} groups of tokens" if len(self._bases) > 1 else ""
        self.words = f"lean, {self._bases[0][1].words}{groups}"
        if run.shapes is not None:
            self._make_room(run.shapes, run.like.dtype)

    def _enter(self, block: BlockExecutor, args: Args, kwargs: Kwargs) -> None:
        """The first block is about to run, and tells the shape of all blocks' streams."""
        x = block.description.stream(args, kwargs)
        B, N, D = x.shape
        self._make_room([(B, N, D)] * len(self._installed.blocks), x.dtype)
        self._aim()
        if block.looks:
            block.look(block, args, kwargs)

    def _make_room(self, shapes: Sequence[Shape], dtype: torch.dtype) -> None:
        """Sums, accumulators and rows, all at once."""
        run, (_, basis) = self._run, self._bases[0]
        dtype = autocast_dtype(run.like.device) or dtype
        for (number, _), feature in self.features.items():
            feature.tokens = shapes[number][1]
        sums = []
        for index, (_, blocks) in enumerate(self._segments):
            shape = shapes[self._installed.blocks.index(blocks[0])]
            added = [(begin, each.added) for begin, each in self._bases]
            if isinstance(basis, SharedEmb):
                added = [(0, basis.parts[index].count)]
            how = self._past.order + 1, dtype, basis.merges, self._asked.offload
            sums.append(sums_of(shape, added, *how, f"segment {index}"))
            for block in blocks:
                for feature in self._features_of(block):
                    feature.groups = tuple(each.tokens for each in sums[-1])
        rows, low_band = self._rows_of(shapes, dtype), low_band_of(self._config.forecaster, run)
        self._room = Room(sums, rows, low_band)
        self._room.take(self._arena, self._hosts, run.like.device, basis.words)
        self._run = run.without_inputs()

    def _rows_of(self, shapes: Sequence[Shape], dtype: torch.dtype) -> Rows | None:
        """Rows of the modules that carry representatives."""
        carried = [key for key, module in self.modules.items() if module.carried]
        corrector = self._config.corrector
        if not carried or not isinstance(corrector, ClusterCorrector):
            return None
        shape, features = shapes[carried[0][0]], [self.features[key] for key in carried]
        count = min(corrector.num_clusters, shape[1])
        how = cells_of(self._run, shape[1], count), count, dtype, corrector.every
        return Rows(self._past, features, shape, *how)

    def expect(
        self, step: int, computed: frozenset[Key], clusters: Choices | None, on: DeviceConstants
    ) -> None:
        """A step begins: a full one gives every module its place in the sums."""
        for block in self._installed.blocks:
            block.looks = False
        if not computed:
            return
        if len(computed) < len(self.modules):
            raise ValueError(
                "a schedule must decide full or cached steps where storage is lean, for a module "
                f"that is computed reads every token's stream; got a mask of {len(computed)} of "
                f"{len(self.modules)} modules at step {step}"
            )
        if not isinstance(self._past, Course):
            self._past.full.append(step)
        self._index = self._past.index(step)
        self._clusters, self._on = clusters, on
        if self._room is not None:
            self._aim()
        else:
            first = self._installed.blocks[0]
            first.look, first.looks = self._enter, True

    def _aim(self) -> None:
        """Where the modules of the full step that begins add their outputs."""
        assert self._room is not None
        if self._room.rows is not None and isinstance(self._clusters, Clusters):
            self._room.rows.begin(self._index, self._clusters, self._on)
        weights = [_by_module(basis.phi(self._index)) for _, basis in self._bases]
        number = 0
        for (_, blocks), groups in zip(self._segments, self._sums, strict=True):
            for sums, (_, basis) in zip(groups, self._bases, strict=True):
                sums.begin(self._index, basis.fresh(self._index))
            for block in blocks:
                block.look, block.looks = self._look, weights[0] is None
                for feature in self._features_of(block):
                    feature.accumulators = [sums.accumulators for sums in groups]
                    B = groups[0].shape[0]
                    feature.phi = [spread(each[number], B) for each in weights if each is not None]
                    number += 1

    def _features_of(self, block: BlockExecutor) -> list[LeanFeature]:
        return [self.features[self._installed.key_of(module)] for module in block.modules]

    def _look(self, block: BlockExecutor, args: Args, kwargs: Kwargs) -> None:
        """A block of a full step begins whose gates are not known before."""
        features, basis = self._features_of(block), self._bases[0][1]
        if isinstance(basis, SharedEmb):
            assert block.segment is not None
            of = [each for each, _ in self._segments].index(block.segment)
            basis.parts[of].look(block, features, self._sums[of][0])
        else:
            weigh_by_gates(block, features, args, kwargs)

    def use(
        self,
        step: int,
        clusters: Choices | None,
        args: Args,
        kwargs: Kwargs,
        on: DeviceConstants,
    ) -> None:
        """A cached step begins."""
        assert self._room is not None
        if self._foresight is not None:
            self._foresight.check(step, args, kwargs)
        represented = None if self._room.rows is None else self._room.rows.at(step, on)
        if represented is not None:  # without, nobody asks for modulation
            self._run.plan.use(step, args, kwargs)
        self._installed.begin_summed(represented)
        for index, ((segment, _), groups) in enumerate(
            zip(self._segments, self._sums, strict=True)
        ):
            segment.begin(collapses=True)
            self._give(segment, groups, index, step, on)

    def _give(
        self, segment: Segment, groups: Sequence[Sums], index: int, step: int, on: DeviceConstants
    ) -> None:
        """A segment's sums, and what the step takes of each."""
        weights = [basis.weights(step, on) for _, basis in self._bases]
        _, basis = self._bases[0]
        if isinstance(basis, SharedEmb):
            segment.parts, segment.weights = groups[0].by_sum(groups[0].kept), weights[0]
            segment.gates_of_parts = basis.parts[index].gates
        else:
            weights = [each.expand(-1, groups[0].shape[0]) for each in weights]
        if len(groups) > 1 or groups[0].host is not None:
            segment.tracks = [
                Track(sums.tokens.start, sums.kept, each, sums.host)
                for sums, each in zip(groups, weights, strict=True)
            ]
        elif segment.parts is None:
            segment.sums, segment.weights = groups[0].kept, weights[0]

    def finish(self, step: int, computed: frozenset[Key]) -> None:
        """A step has ended: what a full one summed is kept."""
        if not computed or self._room is None:
            return
        self._room.finish(self._index)
        for feature in self.features.values():
            feature.phi, feature.gate = [], None  # gates of many modules may hang on them
        self._steps += 1

    def unseen(self) -> frozenset[Key]:
        return frozenset() if self._steps else frozenset(self.features)


def _by_module(phi: Tensor | None) -> Sequence[Tensor] | None:
    """Weights of every module [C, 1 or B, D], of equal strides at every step, for compiled code."""
    return None if phi is None else phi.contiguous().unbind(2)

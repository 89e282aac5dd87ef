"""Looks at a cached run from outside: where clusters and representatives lie, step by step."""

from torch import Tensor

from clusca_ext.correction import Clusters
from clusca_ext.demo.picture import ClusterFrame
from clusca_ext.demo.pipeline import DigitsPipeline
from clusca_ext.demo.rows import Row
from clusca_ext.enable import cache, cache_of


def cluster_frames(pipeline: DigitsPipeline, row: Row, digit: int, seed: int) -> list[ClusterFrame]:
    """The first cached step after every full step of one sample's run."""
    frames: list[ClusterFrame] = []
    with cache(pipeline, row.config):
        state = cache_of(pipeline)

        def look(step: int, images: Tensor) -> None:
            if state.leader.kinds[-2:] != ["full", "cached"]:
                return
            assert isinstance(state.clusters, Clusters)
            corrected = next(module for module in state.modules.values() if module.corrected)
            frames.append(
                ClusterFrame(
                    step=step,
                    image=images[0].float().cpu(),
                    cluster_ids=state.clusters.cluster_ids[0].cpu(),
                    representatives=corrected.representatives[0].cpu(),
                )
            )

        pipeline([digit], seeds=[seed], num_inference_steps=row.steps, on_step=look)
    return frames

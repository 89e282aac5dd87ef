"""What the cache context around a call says of it."""

from collections.abc import Iterator
from contextlib import contextmanager


class Context:
    """What ``model.cache_context(name, step_index=..., ...)`` around a call said; None: nothing.

    Attributes:
        name: Of the branch of guidance.
        step_index: Which of the pipeline's steps this is.
        num_steps: How many these are.
    """

    name: str | None = None
    step_index: int | None = None
    num_steps: int | None = None

    @contextmanager
    def said(
        self, name: str, step_index: int | None, num_inference_steps: int | None
    ) -> Iterator[None]:
        before = self.name, self.step_index, self.num_steps
        self.name, self.step_index, self.num_steps = name, step_index, num_inference_steps
        try:
            yield
        finally:
            self.name, self.step_index, self.num_steps = before

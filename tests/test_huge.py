"""Tensors of more than 2^31 elements: the last tokens are what they are in a small tensor.

All other tokens are zero. An index that does not fit 32 bits would read or write one of them.
"""

import math
import mmap

import pytest
import torch

from clusca_ext.ops._dispatch import OPS
from errors import assert_rejected
from op_samples import on_tensors, sample, tensors_in, wrapper

TAIL, K, D = 61, 4, 2056  # no other dimension is as long as the tail
SHAPES = [(1, 2**20), (2, 2**19)]  # B, N: a batch row of so many elements, and two together
HALF = torch.bfloat16
NO_RESERVE = 0x4000  # Linux's MAP_NORESERVE: more than there is may be mapped
MEMORY = 48 * 2**30  # the largest call takes 35 GB
# They read int32 [B, N] alone, whose tokens are counted in 32 bits.
OF_LABELS = {"select_representatives", "select_nearest"}
by_shape = pytest.mark.parametrize("B, N", SHAPES)


def zeros(shape, like):
    if like.is_cuda:
        return like.new_zeros(shape)
    return untouched(*shape, dtype=like.dtype)


def untouched(*shape, dtype=torch.float32):
    """Zeros of the CPU in pages that take no memory until they are written."""
    size = math.prod(shape) * dtype.itemsize
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
    return torch.frombuffer(pages, dtype=dtype).view(shape)


def tail(tensor):
    """The last tokens of a tensor that has tokens, else all of it."""
    for dim, size in enumerate(tensor.shape):
        if size in {N for _, N in SHAPES}:
            return tensor.narrow(dim, size - TAIL, TAIL)
    return tensor


def grown(tensor, N):
    """The same with N tokens, and where they are tokens' numbers, numbers of the last ones."""
    shape = [N if size == TAIL else size for size in tensor.shape]
    if shape == list(tensor.shape):
        is_tokens = tensor.dtype == torch.int32 and tensor.shape[-1:] == (K,)
        return tensor.where(tensor < 0, tensor + (N - TAIL)) if is_tokens else tensor.clone()
    larger = zeros(shape, tensor)
    tail(larger).copy_(tensor)
    return larger


def few_tokens(name, B, device):
    return sample(name, device, TAIL, B=B, K=K, D=D, dtypes=(HALF, HALF), steps=1, max_iters=0)


def with_tokens(args, N):
    return on_tensors(lambda tensor: grown(tensor, N), args)


def check(name, B, N, device):
    args = few_tokens(name, B, device)
    large = with_tokens(args, N)
    largest = max(tensor.numel() for tensor in tensors_in(large))
    assert largest > 2**31
    ours = tensors_in((wrapper(name)(*large), large))
    expected = tensors_in((wrapper(name)(*args), args))
    for our, their in zip(ours, expected, strict=True):
        if our.shape != their.shape or our.is_floating_point():  # not counts of all tokens
            torch.testing.assert_close(tail(our), their)


@pytest.mark.parametrize("name", [name for name in OPS if name not in OF_LABELS])
@by_shape
def test_the_last_tokens(name, B, N, cuda):
    torch.cuda.empty_cache()
    if torch.cuda.get_device_properties(cuda).total_memory < MEMORY:
        pytest.skip(f"needs a GPU of {MEMORY // 2**30} GB")
    check(name, B, N, cuda)
    torch.cuda.empty_cache()


# Those that write few tokens: zeros that nobody has written take no memory. The others take up to a
# minute here, and the memory of all that they write.
@pytest.mark.parametrize(
    "name", ["kmeans_step", "gather_representatives", "carry_representatives_"]
)
@by_shape
def test_the_last_tokens_on_a_cpu(name, B, N):
    check(name, B, N, "cpu")


# Tokens have int32 numbers, and some strides that many modules have are int32 to fit one launch.
BEYOND, INT32 = 2**31, torch.int32
TOKENS = torch.zeros(1, 1, 4).expand(1, BEYOND, 4), torch.zeros(1, 2, 4)
FACTORS = torch.zeros(3, 2, 5, 4)
TOO_LARGE = {
    "kmeans_assign": lambda: (*TOKENS, "N of tokens"),
    "kmeans_assign D": lambda: (untouched(1, 1, BEYOND), TOKENS[1], "D of tokens"),
    "kmeans_assign K": lambda: (TOKENS[1], TOKENS[0], "K of centroids"),
    "kmeans_step": lambda: (*TOKENS, "N of tokens"),
    "kmeans_fit": lambda: (*TOKENS, "N of tokens"),
    "select_representatives": lambda: (
        *(untouched(1, BEYOND, dtype=INT32), 2, torch.tensor([1, 2])),
        "N of cluster_ids",
    ),
    "select_nearest": lambda: (
        *(untouched(1, BEYOND, dtype=INT32), untouched(1, BEYOND), 2),
        "N of cluster_ids",
    ),
    "collapse_forecasts_": lambda: (untouched(1, 1, BEYOND, 1), [], [], [], "N of sums"),
    "collapse_forecasts_ D": lambda: (untouched(1, 1, 1, BEYOND), [], [], [], "D of sums"),
    "collapse_forecasts_ stride": lambda: (
        *(torch.zeros(2, 2, 5, 4), [FACTORS], [None], [untouched(2, BEYOND)[:, :3]]),
        "stride of weights[0]",
    ),
    "collapsed_residual.tensor": lambda: (
        *(torch.zeros(2, 5, 4), [FACTORS], [None], [untouched(2, BEYOND)[:, :3]]),
        "stride of weights",
    ),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_32_bits_do_not_number_is_refused(case):
    *arguments, name = TOO_LARGE[case]()
    op, _, overload = case.partition(" ")[0].partition(".")
    message = f"{name} must be at most 2147482623, got 2147483648"
    assert_rejected(op, arguments, message, overload or "default")

"""Copies of tensors that change from step to step: few spans of memory, of any shape and stride."""

from typing import NamedTuple

import pytest
import torch

from clusca_ext.graphs.copies import Copies, Spans
from clusca_ext.graphs.values import Unfit, put_together, take_apart

S, B, D = 4, 3, 5


def rows_of(whole, step):
    """What a plan gives a step: chunks of its row, and one that all rows of a batch share."""
    chunks = [each.unbind(0)[step] for each in whole.chunk(6, dim=-1)]
    shared = whole[:, :1, :D].expand(-1, B, -1).unbind(0)[step]
    return [*chunks, shared]


def check(groups, later):
    spans = Spans(groups)
    copies = Copies(spans)
    for tensors in (groups, *later):
        copies.fill(Spans(tensors))
        flat = [each for group in tensors for each in group]
        for copy, tensor in zip(copies.tensors, flat, strict=True):
            assert torch.equal(copy, tensor)
            assert copy.stride() == tensor.stride() and copy.dtype == tensor.dtype
        assert Spans(tensors).layout == spans.layout
        quick = Spans(tensors, spans.layout)
        assert quick.layout is spans.layout
        for a, b in zip(quick.flat, Spans(tensors).flat, strict=True):
            assert a.data_ptr() == b.data_ptr() and len(a) == len(b)
    return spans


def test_chunks_of_a_row_are_one_span():
    whole = torch.randn(S, B, 6 * D)
    spans = check([rows_of(whole, 0)], [[rows_of(whole, step)] for step in range(1, S)])
    assert [len(each) for each in spans.flat] == [B * 6 * D]


def test_what_has_gaps_between_is_apart():
    whole = torch.randn(100)
    tensors = [whole[:10], whole[10:20], whole[30:40].view(2, 5), whole[35:36].expand(7)]
    spans = check([tensors], [])
    assert [len(each) for each in spans.flat] == [20, 10]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4).transpose(0, 2),
        torch.randn(4, 6)[:, ::2],
        torch.randn(()),
        torch.randn(0, 3),
        torch.arange(6, dtype=torch.int32),
        torch.tensor([True, False]),
        torch.randn(3, dtype=torch.complex64),
        torch.randn(3).bfloat16(),
    ],
    ids=["transposed", "strided", "0-dim", "empty", "int32", "bool", "complex", "bfloat16"],
)
def test_any_tensor(tensor):
    other = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensor)
    other = other.logical_not_() if tensor.dtype == torch.bool else other.add_(1)
    check([[tensor], [tensor, tensor]], [[[other], [other, other]]])


def test_one_tensor_of_a_group_is_one_copy():
    tensor, other = torch.randn(3), torch.randn(3)
    copies = Copies(Spans([[tensor, other, tensor], [tensor]]))
    assert copies.tensors[0] is copies.tensors[2] is not copies.tensors[1]
    assert copies.tensors[3].data_ptr() != copies.tensors[0].data_ptr()  # shared by chance


def test_other_layouts_are_seen():
    whole = torch.randn(S, B, 6 * D)
    first, shifted = rows_of(whole, 0), rows_of(whole, 1)
    layout = Spans([first]).layout
    others = [
        [*first[:5], first[4], first[6]],
        [shifted[0], *first[1:]],
        [each.clone() for each in first],
        [each.double() for each in first],
        first[:6],
        [each[:2] for each in first],
    ]
    for tensors in others:
        found = Spans([tensors], layout)
        assert found.layout != layout
        assert found.layout == Spans([tensors]).layout


def test_a_span_must_lie_in_its_storage():
    """Of a storage that ends with its last tensor a longer span would read on."""
    whole = torch.randn(12)
    layout = Spans([[whole[:4], whole[4:12]]]).layout
    small = torch.randn(4)
    assert Spans([[small, whole[4:12]]], layout).layout != layout


class Pair(NamedTuple):
    one: object
    two: object


def test_values_are_put_together_again():
    a, b = torch.randn(2), torch.randn(3)
    value = {"x": [a, (1, True, None)], "y": Pair(b, a), "z": {}, "size": a.shape}
    tensors = []
    form = take_apart(value, tensors, "it")
    assert [id(each) for each in tensors] == [id(a), id(b), id(a)]
    again = put_together(form, iter([b, a, b]))
    assert again == {"x": [b, (1, True, None)], "y": Pair(a, b), "z": {}, "size": a.shape}
    assert type(again["y"]) is Pair and type(again["size"]) is torch.Size
    hash(form)


@pytest.mark.parametrize("one, two", [(1, True), (1, 1.0), ([1], (1,)), ({"a": 1}, {"b": 1})])
def test_other_values_are_others(one, two):
    assert take_apart(one, [], "it") != take_apart(two, [], "it")


@pytest.mark.parametrize("value", [object(), [{1, 2}], {"a": lambda: None}])
def test_what_might_change_unseen(value):
    with pytest.raises(Unfit, match="it is or holds a .*, which might change unseen"):
        take_apart(value, [], "it")

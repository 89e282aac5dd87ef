"""Routers as Learning-to-Cache published them: files of that layout, read without unpickling."""

import pickle
import random
import zipfile

import pytest
import torch
from torch import nn

from clusca_ext.learning import load_dit_routers, load_uvit_routers
from clusca_ext.learning.published import DIT_THETA, UVIT_THETA
from clusca_ext.learning.torch_archive import read_archive

# Modules computed in each cached step of the published files (reference/papers.md, 2.2). DiT: from
# the last denoising step on; U-ViT: from noise on, intervals 1, 2, ...
DDIM50 = [56, 56, 55, 55, 56, 55, 55, 55, 55, 54, 54, 36, 29, 26, 11, 8, 7, 6, 2, 1, 3, 0, 0, 1, 0]
DDIM20 = [56, 55, 55, 55, 53, 26, 8, 4, 0, 0]
DPM50 = [0] * 9 + [1, 1, 2, 2, 4, 4, 4, 3, 2, 2, 6, 8, 11, 15, 23]
DPM20 = [0, 2, 6, 6, 8, 16, 49, 52, 50]


class Router(nn.Module):
    def __init__(self, prob):
        super().__init__()
        self.prob = nn.Parameter(prob)


def vector(size, count, theta, generator):
    """Logits of which ``count``, at places of their own, have a sigmoid above theta."""
    logits = torch.full((size,), float(torch.logit(torch.tensor(theta))) - 1)
    logits[torch.randperm(size, generator=generator)[:count]] += 2
    return logits + torch.rand(size, generator=generator) / 2


def vectors_of_dit(counts):
    generator, found = torch.Generator().manual_seed(0), []
    for count in counts:
        found += [vector(56, count, 0.1, generator), torch.randn(56, generator=generator)]
    return found


def dit_file(path, counts):
    """A ModuleList's state and its optimizer's, as the training script saved them."""
    routers = nn.ModuleList(Router(v) for v in vectors_of_dit(counts))
    optimizer = torch.optim.AdamW(routers.parameters(), lr=1e-3, weight_decay=0)
    sum(router.prob.sum() for router in routers[::2]).backward()
    state = {name: value.clone() for name, value in routers.state_dict().items()}
    optimizer.step()
    saved = routers.state_dict()
    for name, value in state.items():
        saved[name] = value
    torch.save({"routers": saved, "opt": optimizer.state_dict()}, path)
    return path


def uvit_vectors(counts, nfe):
    generator = torch.Generator().manual_seed(0)
    found = [torch.randn(58, generator=generator) for _ in range(nfe)]
    for index, count in enumerate(counts, 1):
        found[index] = vector(58, count, 0.9, generator)
    return found


@pytest.mark.parametrize("counts, removed", [(DDIM50, 0.474), (DDIM20, 0.443)])
def test_dit(counts, removed, tmp_path):
    routers = load_dit_routers(dit_file(tmp_path / "router.pt", counts))
    steps = 2 * len(counts)
    assert routers.num_steps == steps
    assert routers.cached_steps == tuple(range(1, steps, 2))
    assert routers.kept(DIT_THETA).sum(1).tolist() == counts[::-1]  # from noise on
    assert routers.removed(DIT_THETA) == pytest.approx(removed, abs=5e-4)
    schedule = routers.schedule(DIT_THETA)
    assert schedule.removed == pytest.approx(removed / 2, abs=5e-4)
    assert [name for name, _ in schedule.modules][:3] == ["attn-0", "mlp-0", "attn-1"]
    last = vectors_of_dit(counts)[0]  # of the last step of the run
    marks = [marks[steps - 1] for _, marks in schedule.modules]
    assert marks == (last.sigmoid() > DIT_THETA).int().tolist()


@pytest.mark.parametrize("counts, nfe, removed", [(DPM50, 50, 0.9368), (DPM20, 20, 0.638)])
@pytest.mark.parametrize("as_list", [True, False], ids=["a-list", "a-state"])
def test_uvit(counts, nfe, removed, as_list, tmp_path):
    vectors, path = uvit_vectors(counts, nfe), tmp_path / "router.pth"
    state = {f"{index}.prob": each for index, each in enumerate(vectors)}
    torch.save(vectors if as_list else state, path)
    routers = load_uvit_routers(path)
    assert routers.cached_steps == tuple(range(2, nfe, 2))
    assert routers.kept(UVIT_THETA).sum(1).tolist() == counts
    assert routers.removed(UVIT_THETA) == pytest.approx(removed, abs=5e-4)
    schedule = routers.schedule(UVIT_THETA)
    assert [schedule.decision(step) for step in (0, 1, 3, nfe - 1)] == [True] * 4
    assert (schedule.decision(2) is False) == (counts[0] == 0)


def test_all_that_torch_saves_of_tensors_is_read(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    values = {
        "views": [base, base.t(), base[1:3, ::2], base[0, 0]],
        "types": [base.to(t) for t in (torch.float16, torch.bfloat16, torch.float64, torch.int64)],
        "others": (1, 2**40, -5, 1.5, None, True, False, "word", (), {}, []),
        "parameter": nn.Parameter(torch.ones(3)),
        "empty": torch.empty(0, 4),
    }
    torch.save(values, tmp_path / "values.pt")
    read = read_archive(tmp_path / "values.pt")
    for name in ("views", "types"):
        for a, b in zip(read[name], values[name], strict=True):
            assert a.dtype == b.dtype and torch.equal(a, b)
    assert read["others"] == values["others"]
    assert torch.equal(read["parameter"], torch.ones(3)) and read["empty"].shape == (0, 4)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_code_is_not_run(tmp_path):
    file, canary = tmp_path / "router.pt", tmp_path / "canary"
    torch.save({"routers": {"0.prob": Evil(canary)}}, file)
    with pytest.raises(ValueError, match="must name nothing but tensors, got .*open"):
        load_dit_routers(file)
    assert not canary.exists()


def rewritten(path, data=None, storages=True):
    """The archive with another pickle, or without its storages."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if "/data/" in name and not storages:
                content = content[:-4]
            if name.endswith("data.pkl") and data is not None:
                content = data
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("case", ["text", "legacy", "cut", "storage", "int", "garbage"])
def test_other_files_are_refused(case, tmp_path):
    path = dit_file(tmp_path / "router.pt", DDIM20)
    if case == "text":
        path.write_text("no archive")
    elif case == "legacy":
        torch.save({"routers": {}}, path, _use_new_zipfile_serialization=False)
    elif case == "cut":
        path.write_bytes(path.read_bytes()[:-3000])
    elif case == "storage":
        rewritten(path, storages=False)
    elif case == "int":
        rewritten(path, pickle.dumps(7, protocol=2))
    else:
        rewritten(path, b"\x80\x02}q\x00u.")
    with pytest.raises(ValueError, match="must"):
        load_dit_routers(path)


@pytest.mark.parametrize(
    "value, message",
    [
        ({"routers": {"a": torch.ones(4)}}, r"named '0.prob', '1.prob' and so on, got \['a'\]"),
        ([torch.ones(4), torch.ones(6)] * 2, "vectors of two numbers for every block"),
        ([torch.ones(5)] * 4, "vectors of two numbers for every block"),
        ([torch.ones(4)] * 3, "an even number of steps of 4 or more, got 3"),
        ([torch.full((4,), torch.nan)] * 4, "must hold finite numbers"),
        ([1, 2], "vectors of two numbers"),
    ],
)
def test_other_contents_are_refused(value, message, tmp_path):
    torch.save(value, tmp_path / "router.pt")
    with pytest.raises(ValueError, match=message):
        load_uvit_routers(tmp_path / "router.pt")


@pytest.mark.parametrize(
    "size, stride", [((9,), (1,)), ((2, 3), (3, -1)), ((3,), (4,)), ((2**40,), (0,))]
)
def test_tensors_beyond_their_storage_are_refused(size, stride, tmp_path):
    from clusca_ext.learning.torch_archive import _made, _Name

    with pytest.raises(ValueError, match="its tensors must"):
        _made(_Name("torch._utils._rebuild_tensor_v2"), (torch.ones(8), 0, size, stride))


@pytest.mark.parametrize("part", ["data.pkl", "archive"])
def test_damaged_files_are_refused_in_one_sentence(part, tmp_path):
    """Bytes exchanged anywhere: what comes is a ValueError, or routers where it does no harm."""
    path, generator = dit_file(tmp_path / "router.pt", DDIM20), random.Random(0)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        data = next(archive.read(n) for n in archive.namelist() if n.endswith("data.pkl"))
    refused = 0
    for _ in range(150):
        damaged = bytearray(data if part == "data.pkl" else whole)
        for _ in range(3):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(whole if part == "data.pkl" else damaged)
        try:
            load_dit_routers(rewritten(path, bytes(damaged)) if part == "data.pkl" else path)
        except ValueError:
            refused += 1
    assert refused > 20

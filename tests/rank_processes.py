"""Ranks as processes of one machine, which talk by gloo."""

import torch
from torch import multiprocessing

WORLD = 2


def _main(rank, work, file, queue):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=WORLD
    )
    torch.set_num_threads(1)
    work(rank, queue)
    torch.distributed.destroy_process_group()


def told_by_ranks(work, folder, count):
    """What every rank's ``work(rank, queue)`` puts into the queue, ``count`` things in all."""
    context = multiprocessing.get_context("spawn")
    queue, file = context.Queue(), folder / "store"
    ranks = [context.Process(target=_main, args=(r, work, file, queue)) for r in range(WORLD)]
    for each in ranks:
        each.start()
    told = [queue.get(timeout=240) for _ in range(count)]
    for each in ranks:
        each.join()
    return told

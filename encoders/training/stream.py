"""The batches of a run from where it is to its end, epoch after epoch: one process's share of each step."""

from collections.abc import Iterator
from hashlib import blake2b

from retr.encoders.training.batches import Batch
from retr.encoders.training.rows import Rows
from retr.encoders.training.settings import TrainSettings


class Sealed:
    """A batch that Lightning and FSDP do not look into for tensors: they cannot take a frozen class apart."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


def batches_from(
    done: int, total: int, rows: Rows, settings: TrainSettings, share: tuple[int, int]
) -> Iterator[Sealed]:
    """Batches number `done` to `total` of the part (this, of) of the processes."""
    each = rows.steps(settings.batch_size, share[1])
    while done < total:
        turn = {"seed": settings.seed, "epoch": done // each, "skip": done % each}
        for batch in rows.batches(settings.batch_size, **turn, share=share):
            yield Sealed(batch)
            done += 1
            if done == total:
                return


def seed_of(seed: int, batch: int, rank: int) -> int:
    """A seed of 63 bits for one batch of one process: so no state of a generator needs to be kept."""
    digest = blake2b(f"{seed}/{batch}/{rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1

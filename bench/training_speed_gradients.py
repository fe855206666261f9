"""GradCache beside the direct gradient in a process of its own: the largest relative error, or the memory at its peak.

    python bench/training_speed_gradients.py JOB.json

JOB.json names model, rows, batch_size, max_tokens, chunk (0: direct), precision, and `against`: true for the error.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

MEBI = 1024


def main() -> None:
    """One measurement."""
    import torch

    from retr.encoders.objectives.contrastive import InfoNCE
    from retr.encoders.objectives.grad_cache import GradCache
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.bi import open_bi
    from retr.encoders.training.rows import Rows, RowsSettings

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    student = open_bi(Path(job["model"]), running=BackboneSettings(max_tokens=job["max_tokens"]))
    student.module.to(getattr(torch, job["precision"])).eval()  # Without dropout both draw no random numbers.
    rows = Rows(RowsSettings(job["rows"]), Path(job["work"]) / "rows")
    batch = next(rows.batches(job["batch_size"], seed=0))
    rows.close()
    direct = InfoNCE(temperature=0.05)
    before = peak()
    found: dict[str, Any] = {}
    if job["against"]:
        expected = gradient(student, direct, batch)
        found["errors"] = {
            str(chunk): error(gradient(student, GradCache(chunk).around(direct), batch), expected)
            for chunk in job["chunks"]
        }
    else:
        gradient(student, GradCache(job["chunk"]).around(direct) if job["chunk"] else direct, batch)
        found["mib"] = peak() - before
    sys.stdout.write(json.dumps(found) + "\n")


def gradient(student: Any, objective: Any, batch: Any) -> Any:
    """Of all parameters, one after another."""
    import torch

    student.module.zero_grad()
    objective(student, batch).backward()
    return torch.cat(
        [value.grad.reshape(-1) for value in student.module.parameters() if value.grad is not None]
    ).clone()


def error(found: Any, expected: Any) -> float:
    """Length of the difference, as a share of the length of the direct gradient."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def peak() -> float:
    """MiB that this process has had resident at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBI


if __name__ == "__main__":
    main()

"""Embedding jobs: shards that go to workers elsewhere, who may die, and come back as the files they would be here.

worker    one process on some machine: loads an encoder, encodes a shard, leaves its file without a name
pool      hands calls to workers, gives those of a worker that died to another, keeps the answers' order
crew      what starts workers: by Ray
shards    `bulk`'s workers, over a pool; the one who runs the job gives every file its name
encoder   an encoder whose texts go to a pool's workers
"""

from retr.encoders.jobs.encoder import JobEncoder
from retr.encoders.jobs.settings import JobSettings
from retr.encoders.jobs.shards import JobWorkers, ray_workers

__all__ = ["JobEncoder", "JobSettings", "JobWorkers", "ray_workers"]

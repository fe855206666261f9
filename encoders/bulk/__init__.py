"""Many texts to vectors on disk, in shards that a later run takes over; and reading them back."""

from retr.encoders.bulk.encoding import BulkReport, encode_records, encode_with
from retr.encoders.bulk.reading import EncodedFolder, open_vectors
from retr.encoders.bulk.settings import BulkSettings
from retr.encoders.bulk.sharding import Record

__all__ = ["BulkReport", "BulkSettings", "EncodedFolder", "Record", "encode_records", "encode_with", "open_vectors"]

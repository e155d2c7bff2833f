"""Random numbers and shards that depend on a sample's identity, never on its place in a batch or a run."""

import hashlib


def seed_of(*identity: int | str) -> int:
    """A seed in [0, 2**63) for an identity such as (seed, study id, draw).

    Equal identities give equal seeds on every machine and in every Python; different ones are independent.
    """
    text = "\x1f".join(str(part) for part in identity)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def shard_of(study_id: str, shards: int) -> int:
    """The shard, in [0, shards), that a study belongs to; other studies have no say in it."""
    return seed_of("shard", study_id) % shards

"""Engines work off the shards of a plan; each calls ``shard.run_shard`` and must not know sources or recipes."""

"""Text to ids and back: training, directories, byte table, token shards."""

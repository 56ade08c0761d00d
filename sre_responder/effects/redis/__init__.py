"""Redis and Valkey, through their own protocol."""

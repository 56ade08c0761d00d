"""The processes of the shop, each small and on the standard library alone."""

"""Workloads on Kubernetes. The client library is loaded with the first connection, so that nobody else needs it."""

"""Amazon Route 53: where DNS sends the traffic of a name."""

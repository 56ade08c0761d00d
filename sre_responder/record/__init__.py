"""What is told from the record: hand-off, closing, anchors, metrics, the guard's own account."""

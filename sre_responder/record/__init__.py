"""What is told from the record: hand-off, closing, anchors, the guard's own account."""

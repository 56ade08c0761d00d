"""Where evidence comes from: one file a source, found by folder, loaded when a criterion names it."""

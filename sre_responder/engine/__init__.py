"""What a run does from its first step to its ending."""

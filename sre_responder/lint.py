def classify(task): return "undetermined"

"""Alerts in: read as data, understood by the policy and the catalogue, grouped by symptom."""

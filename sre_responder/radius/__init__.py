"""How the calls between services are observed, and how good the estimates of reach were."""

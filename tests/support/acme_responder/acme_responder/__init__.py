"""What ACME adds to Responder."""

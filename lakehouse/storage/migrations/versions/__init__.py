"""One module per revision of the control database."""

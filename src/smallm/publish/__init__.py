"""Cards and reports as pure functions of the run directory."""

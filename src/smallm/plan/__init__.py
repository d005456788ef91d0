"""Will it fit, how long, what does it cost, before anything runs."""

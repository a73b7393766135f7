"""The benchmark: secretbake against what a user would do instead, in one run. `scripts/bench` starts it."""

"""Ways to a channel: through a sidecar, an engine in this process, or memory alone."""

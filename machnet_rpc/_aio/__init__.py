"""The asyncio shell around the protocol: the only place that reads the clock and sleeps."""

"""What ``clusca run`` and ``clusca bench pipeline`` draw, with a cache and without."""

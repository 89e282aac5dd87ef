"""What ``clusca run`` and ``clusca bench pipeline`` draw: any pipeline, with a cache and without."""

"""The subcommands of ``clusca``, a file each; ``cli.py`` registers them."""

"""The commands of ``clusca`` that are files of their own."""

"""``clusca demo``: a trained diffusion transformer, full against cached, on the screen."""

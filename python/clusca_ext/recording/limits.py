"""How much a document holds at most: what is more is left out, and the document says so."""

RUNS = 64
ROWS = 20_000
STEPS = 1_000  # of a run: more is refused, for the time line is read as a whole
MAPS = 256  # steps of a run whose clusters and representatives are kept, the first ones
SAMPLES = 4  # of a run, of which that is kept
TOKENS = 16_384  # of a map: of a video one frame is kept
PICTURES = 16  # of a run
SIDE = 1_024  # of a picture, in pixels: larger ones are made smaller
BLOCKS = 64  # whose drift is kept, evenly chosen
DRIFT_TOKENS = 32  # by which drift is measured, evenly chosen
BYTES = 256 * 2**20  # of a file that is read

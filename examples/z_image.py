"""Z-Image: python examples/z_image.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="ZImagePipeline",
        model="Tongyi-MAI/Z-Image",
    )

"""HunyuanVideo, 480p x 65 frames: python examples/hunyuan_video.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="HunyuanVideoPipeline",
        model="hunyuanvideo-community/HunyuanVideo",
        fps=15,
        height=480,
        width=848,
        num_frames=65,
    )

"""HunyuanVideo 1.5, 480p: python examples/hunyuan_video15.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="HunyuanVideo15Pipeline",
        model="hunyuanvideo-community/HunyuanVideo-1.5-480p_t2v",
        fps=24,
        num_frames=121,
    )

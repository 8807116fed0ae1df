"""The body of picturing."""

from fake_stages.picturing import Params
from stages.contract.job import Job


def run(job: Job, params: Params) -> None:
    import trimesh
    from PIL import Image

    box = trimesh.creation.box((1, 1.4, 0.8))
    box.visual.face_colors = [params.red, 40, 40, 255]
    box.export(job.out / "mesh.glb")
    (job.out / "frames").mkdir()
    for view in range(4):
        Image.new("RGB", (32, 32), (params.red, 60 * view, 0)).save(job.out / "frames" / f"mesh_{view:03d}.png")
    Image.new("RGB", (64, 32), (params.red, 0, 0)).save(job.out / "preview.png")
    for step in range(5):
        job.progress(step + 1, 5, loss=params.red / (step + 1))
    job.metric("redness", params.red, higher_is_better=True)
    job.metric("faces", len(box.faces), "faces")

"""A prior that is whole, and tiny."""

import json
import struct
from pathlib import Path


def write_prior(folder: Path, fill: int = 0) -> Path:
    """A folder with the layout of a diffusers pipeline and tiny, whole safetensors files."""
    index = {"_class_name": "StableDiffusionPipeline", "safety_checker": [None, None]}
    for component in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        (folder / component).mkdir(parents=True)
        name = {"tokenizer": "tokenizer.json", "scheduler": "scheduler_config.json"}.get(component, "config.json")
        (folder / component / name).write_text(json.dumps({"component": component}))
        index[component] = ["diffusers", "Something"]
        if component in ("unet", "vae", "text_encoder"):
            header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
            whole = struct.pack("<Q", len(header)) + header + bytes([fill]) * 16
            (folder / component / "model.safetensors").write_bytes(whole)
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder

"""A prior from a model hub: only the files that it is read from, pinned to a revision.

A repository often holds more: single-file checkpoints, other precisions, weights for training, a safety checker.
"""

import os
from pathlib import Path

from prior3d.diffusion.folders import COMPONENTS, WEIGHT_STEMS
from prior3d.errors import Prior3dError

SMALL = (".json", ".txt", ".model")
UNUSED = ("*.fp16.*", "*non_ema*", "*.bin")  # of the components' folders, where a repository cannot be asked


def from_hub(repository: str, revision: str) -> Path:
    """The folder of a pinned prior, from the hub's cache, or fetched into it with a progress bar.

    Raises:
        Prior3dError: it is not in the cache and cannot be fetched; says how to fetch it.
    """
    from huggingface_hub import HfApi, snapshot_download  # start-up: only hub ids need it

    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    try:
        wanted = _includes() if offline else wanted_files(HfApi().list_repo_files(repository, revision=revision))
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted, local_files_only=offline))
    except Exception as error:  # the hub's client raises many kinds, from network libraries too
        cached = None if offline else _cached(repository, revision)
        if cached is not None:
            return cached
        reason = (str(error).splitlines() or [""])[0][:160]
        raise Prior3dError(
            f"prior {repository}@{revision}: not in the local hub cache and could not be fetched "
            f"({type(error).__name__}: {reason}); where there is a network, run: "
            f"{download_command(repository, revision)}"
        ) from None


def wanted_files(files: list[str]) -> list[str]:
    """Those of a repository's files that a prior is read from: one set of weights a component, full precision first."""
    there = set(files)
    if "unet/config.json" not in there:  # of another kind than Stable Diffusion's: its components are not known here
        return [name for name in files if name.endswith((*SMALL, ".safetensors"))]
    wanted = [name for name in files if name == "model_index.json"]
    for component in COMPONENTS:
        inside = [name for name in files if name.rpartition("/")[0] == component]
        if component not in WEIGHT_STEMS:
            wanted += [name for name in inside if name.endswith(SMALL)]
            continue
        stem = f"{component}/{WEIGHT_STEMS[component]}"
        wanted += [name for name in (f"{component}/config.json",) if name in there]
        for infix in ("", ".fp16"):
            index = f"{stem}.safetensors.index{infix}.json"
            shards = [name for name in inside if name.startswith(f"{stem}{infix}-") and name.endswith(".safetensors")]
            single = f"{stem}{infix}.safetensors"
            found = [single] if single in there else [index, *shards] if index in there else []
            wanted += found
            if found:
                break
    return wanted


def download_command(repository: str, revision: str) -> str:
    """The command that puts a pinned prior into the hub's cache, for a machine that has a network."""
    wanted = " ".join(f"--include '{pattern}'" for pattern in _includes())
    unused = " ".join(f"--exclude '{pattern}'" for pattern in UNUSED)
    return f"hf download {repository} --revision {revision} {wanted} {unused}"


def _includes() -> list[str]:
    """Patterns of the files that a prior is read from, where the repository's list is not known."""
    weights = [f"{component}/*.safetensors" for component in WEIGHT_STEMS]
    return ["model_index.json", *(f"{component}/*.json" for component in COMPONENTS), "tokenizer/*.txt", *weights]


def _cached(repository: str, revision: str) -> Path | None:
    """The prior as the hub's cache has it; None where it has none."""
    from huggingface_hub import snapshot_download  # start-up: only hub ids need it

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_includes(), local_files_only=True))
    except Exception:  # of many kinds; the caller has the first one's reason
        return None

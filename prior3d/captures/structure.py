"""Structure from motion by pycolmap, which is an optional extra: features, matches, cameras.

pycolmap's calls hear no signal, and its database bears no reader beside them. So the work is cut up, one photo at a
time, each piece in a thread of its own. A run that is stopped keeps the features and matches that are in the database.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from prior3d.captures.colmap import pycolmap_for
from prior3d.errors import Prior3dError
from prior3d.images.photographs import read_header

LOOK_EVERY_S = 0.5
Tell = Callable[[str, int, int], bool]


@dataclass(frozen=True)
class MatchSettings:
    """How features are found and compared.

    Attributes:
        longest_side: that photos are shrunk to, in pixels.
        max_features: of a photo.
        camera_model: COLMAP's name of the lens.
        one_camera: photos of one size share a lens.
        overlap: photos are compared with so many next ones; 0: with all others.
        threads: of pycolmap.
        seed: of its random choices.
    """

    longest_side: int
    max_features: int
    camera_model: str
    one_camera: bool
    overlap: int
    threads: int
    seed: int


@dataclass(frozen=True)
class Model:
    """Cameras and points that were found.

    Attributes:
        reconstruction: pycolmap's.
        positions: [views, 3] of the cameras, in the order of the photos' names.
        directions: [views, 3] unit, which way they look.
        focal: [views] focal lengths as a share of the longer side.
        points: [points, 3].
        colours: [points, 3].
        lost: names of photos without a camera.
        error_px: mean distance between where a point is and where it was seen.
        n_seen: how often points were seen.
    """

    reconstruction: Any
    positions: Float[np.ndarray, "views 3"]
    directions: Float[np.ndarray, "views 3"]
    focal: Float[np.ndarray, "views"]
    points: Float[np.ndarray, "points 3"]
    colours: UInt8[np.ndarray, "points 3"]
    lost: tuple[str, ...]
    error_px: float
    n_seen: int

    def write(self, folder: Path) -> None:
        """Write COLMAP's files, with names of photos relative to their folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.reconstruction.write_binary(str(folder))


class Structure:
    """One problem: photos in a folder, and the database that is filled.

    Args:
        photos: a folder of photos and nothing else, without blanks in their names, which say their order.
        database: may hold what a stopped run has found.
        settings: how.
        tell: is called with what is done (`features`, `matches`, `cameras`), how many and of how many; it returns
            whether to go on.

    Raises:
        Prior3dError: pycolmap is not installed.
    """

    def __init__(self, photos: Path, database: Path, settings: MatchSettings, tell: Tell) -> None:
        pycolmap = pycolmap_for("pose_estimation: the cameras of photos are found")
        self._colmap: Any = pycolmap
        pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR.value)
        self._photos, self._database, self._settings, self._tell = photos, database, settings, tell
        self._alike = False  # whether all photos have one size
        self._names = sorted(photo.name for photo in photos.iterdir())

    def solved(self, models: Path) -> Model:
        """The largest model.

        Args:
            models: a folder, which is there, for what pycolmap writes on the way.

        Raises:
            Prior3dError: no two photos fit together.
            InterruptedError: `tell` said to stop.
        """
        n = len(self._names)
        for index, name in enumerate(self._without_features()):
            self._waited(partial(self._find_features, name), "features", index, n)
        pairs = [(i, j) for i in range(n) for j in range(i + 1, min(n, i + 1 + (self._settings.overlap or n)))]
        done = 0
        for first in range(n - 1):
            row = [pair for pair in pairs if pair[0] == first]
            self._waited(partial(self._match, row, models), "matches", done, len(pairs))
            done += len(row)
        if not self._opened().num_verified_image_pairs():
            raise self._none()
        found: dict[int, Any] = {}
        self._waited(lambda token: found.update(self._map(models, token)), "cameras", 0, n)
        if not found:
            raise self._none()
        return self._model(max(found.values(), key=lambda each: each.num_reg_images()))

    def _opened(self) -> Any:
        return self._colmap.Database.open(str(self._database))

    def _without_features(self) -> list[str]:
        """The photos that are not in the database yet; all of them can be read."""
        headers = [read_header(self._photos / name) for name in self._names]
        self._alike = len({(header.width, header.height, header.turned) for header in headers}) == 1
        database = self._opened()
        known = {image.name for image in database.read_all_images() if database.exists_descriptors(image.image_id)}
        database.close()
        return [name for name in self._names if name not in known]

    def _find_features(self, name: str, token: Any) -> None:
        colmap, settings = self._colmap, self._settings
        options = colmap.FeatureExtractionOptions()
        options.num_threads, options.use_gpu = settings.threads, False
        options.max_image_size = settings.longest_side
        options.sift.max_num_features = settings.max_features
        reader = colmap.ImageReaderOptions()
        reader.camera_model = settings.camera_model
        database = self._opened()
        cameras = database.read_all_cameras()
        database.close()
        if settings.one_camera and self._alike and cameras:
            reader.existing_camera_id = cameras[0].camera_id
        colmap.extract_features(
            self._database, self._photos, [name], colmap.CameraMode.SINGLE, reader, options, colmap.Device.cpu, token
        )

    def _match(self, pairs: list[tuple[int, int]], models: Path, token: Any) -> None:
        colmap, settings = self._colmap, self._settings
        options, verification = colmap.FeatureMatchingOptions(), colmap.TwoViewGeometryOptions()
        options.num_threads, options.use_gpu = settings.threads, False
        verification.ransac.random_seed = settings.seed
        pairing = colmap.ImportedPairingOptions()
        pairing.match_list_path = models / "pairs.txt"
        lines = [f"{self._names[i]} {self._names[j]}\n" for i, j in pairs]
        (models / "pairs.txt").write_text("".join(lines), encoding="utf-8")
        colmap.match_image_pairs(self._database, options, pairing, verification, colmap.Device.cpu, token)

    def _map(self, models: Path, token: Any) -> dict[int, Any]:
        options = self._colmap.IncrementalPipelineOptions()
        options.num_threads, options.random_seed = self._settings.threads, self._settings.seed
        found: dict[int, Any] = self._colmap.incremental_mapping(
            self._database, self._photos, models, options=options, cancellation_token=token
        )
        return found

    def _waited(self, work: Callable[[Any], None], kind: str, done: int, total: int) -> None:
        """Do a piece of work in a thread; say how far all is, and cancel it when nobody wants it any more."""
        token, failed = self._colmap.CancellationToken(), list[BaseException]()

        def target() -> None:
            try:
                work(token)
            except BaseException as error:  # told by the thread that waits
                failed.append(error)

        thread = threading.Thread(target=target, daemon=True, name=f"colmap-{kind}")
        thread.start()
        wanted = True
        while thread.is_alive():
            thread.join(LOOK_EVERY_S)
            wanted = self._tell(kind, done, total)
            if not wanted:
                token.cancel()
        if not wanted:
            raise InterruptedError
        if failed:
            reason = " ".join(str(failed[0]).split())[:200]
            raise Prior3dError(f"pose_estimation: COLMAP failed at its {kind} ({reason}); see what it printed")

    def _none(self) -> Prior3dError:
        return Prior3dError(
            f"pose_estimation: no two of {len(self._names)} photos fit together; take more photos, each overlapping "
            "the last by two thirds, of things with texture that do not move, or raise pose_estimation.longest_side"
        )

    def _model(self, reconstruction: Any) -> Model:
        images = sorted((i for i in reconstruction.images.values() if i.has_pose), key=lambda i: i.name)
        w2c = np.stack([image.cam_from_world().matrix() for image in images])
        rotations = w2c[:, :, :3]
        cameras = [reconstruction.cameras[image.camera_id] for image in images]
        points = list(reconstruction.points3D.values())
        names = {image.name for image in images}
        return Model(
            reconstruction,
            -np.einsum("vji,vj->vi", rotations, w2c[:, :, 3]),
            rotations[:, 2].copy(),
            np.array([camera.mean_focal_length() / max(camera.width, camera.height) for camera in cameras]),
            np.array([point.xyz for point in points]).reshape(-1, 3),
            np.array([point.color for point in points], np.uint8).reshape(-1, 3),
            tuple(name for name in self._names if name not in names),
            float(reconstruction.compute_mean_reprojection_error()),
            int(reconstruction.compute_num_observations()),
        )

"""USDZ by usd-core, which is an optional extra: what iPhones and iPads show in a room, and USD programs open."""

import tempfile
from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, UsdUtils, Vt

from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from prior3d.meshes.mesh import TexturedMesh


def write_usdz(mesh: TexturedMesh, target: Path, roughness: float, metallic: float) -> None:
    """Write a mesh, y up, in metres, with its texture and a material (UsdPreviewSurface).

    Args:
        mesh: in glTF's frame.
        target: a new file that ends in `.usdz`.
        roughness: of the whole surface, 0 to 1.
        metallic: the same.

    Raises:
        Prior3dError: usd-core could not pack it.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_png(Path(folder) / "texture.png", mesh.texture)
        place = Path(folder) / "mesh.usdc"
        stage = Usd.Stage.CreateNew(str(place))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/object").GetPrim())
        shape = _shape(stage, mesh)
        material = _material(stage, roughness, metallic)
        UsdShade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(material)
        stage.GetRootLayer().Save()
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(place)), str(target)):
            raise Prior3dError(f"{target}: usd-core could not pack it; export a .glb")


def _shape(stage: Usd.Stage, mesh: TexturedMesh) -> UsdGeom.Mesh:
    shape = UsdGeom.Mesh.Define(stage, "/object/mesh")
    points = Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(mesh.vertices, np.float32))
    shape.CreatePointsAttr(points)
    shape.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
    shape.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(mesh.faces.reshape(-1).astype(np.int32)))
    shape.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    shape.CreateExtentAttr(UsdGeom.Boundable.ComputeExtentFromPlugins(shape, Usd.TimeCode.Default()))
    uv = UsdGeom.PrimvarsAPI(shape).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex)
    uv.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(mesh.uv, np.float32)))
    return shape


def _material(stage: Usd.Stage, roughness: float, metallic: float) -> UsdShade.Material:
    material = UsdShade.Material.Define(stage, "/object/material")
    shader = UsdShade.Shader.Define(stage, "/object/material/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(roughness)
    shader.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(metallic)
    reader = UsdShade.Shader.Define(stage, "/object/material/uv")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    texture = UsdShade.Shader.Define(stage, "/object/material/texture")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set("texture.png")
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    texture.CreateInput("fallback", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(0.5, 0.5, 0.5, 1))
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(
        reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    )
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(
        texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    )
    material.CreateSurfaceOutput().ConnectToSource(shader.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    return material

"""51 traits of inputs and surroundings that public trouble reports are about, each with the tests that hold it.

Every such test writes its input itself. All of them at once: python tests/test_traits.py
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CAPTURES, READING = "tests/stages/test_given_captures.py", "tests/prior3d/captures/test_reading.py"
MESHES, GIVEN = "tests/prior3d/meshes/test_meshes_of_people.py", "tests/prior3d/meshes/test_given_meshes.py"
MORE, PHOTOS = "tests/prior3d/meshes/test_more_meshes_of_people.py", "tests/stages/test_image_preparation.py"
IMAGES, FILES = "tests/prior3d/test_given_images.py", "tests/flows/test_input_files.py"
AROUND, LOADING = "tests/flows/test_surroundings.py", "tests/prior3d/diffusion/test_loading.py"
AGAIN, OTHERS = "tests/flows/test_run_again.py", "tests/flows/test_other_surroundings.py"
KEEPING = "tests/flows/versions/test_keeping.py"

TRAITS = {
    "masks hold 0 and 1": [
        f"{CAPTURES}::test_a_mask_is_what_is_not_black",
        "tests/prior3d/captures/test_held_out.py::test_nothing_is_fitted_or_measured_over_no_pixel",
    ],
    "alpha that is opaque everywhere": [f"{CAPTURES}::test_alpha_that_is_opaque_everywhere_is_no_mask"],
    "palette or key colour with transparency": [f"{CAPTURES}::test_transparency_of_palettes_and_key_colours_counts"],
    "some images have alpha, some not": [
        f"{CAPTURES}::test_some_images_with_alpha_and_some_without_are_refused_by_name"
    ],
    "a grey capture of 16 bits": [f"{CAPTURES}::test_sixteen_bits_stay_grey"],
    "photos that are stored turned": [f"{CAPTURES}::test_photos_that_exif_turns_are_turned_upright"],
    "concave polygons": [
        f"{MESHES}::test_a_notch_stays_open_whichever_corner_comes_first", f"{MESHES}::test_mixed_polygons_of_ply",
    ],
    "a mesh far from the origin": [f"{MESHES}::test_a_ball_at_map_coordinates_stays_round_in_the_glb"],
    "a node that mirrors": [f"{MESHES}::test_mirrored_parts_keep_their_outside_outside"],
    "normalised integers in a GLB": [f"{MESHES}::test_normalised_integers_are_fractions"],
    "UVs without a material": [f"{MESHES}::test_uvs_survive_as_integers_and_without_a_material"],
    "an image for a prior: turned, 16 bits, transparent, a mask of 0 and 1": [
        "tests/flows/test_command_priors.py::test_samples_of_conditional_priors_begin_with_the_picture",
        f"{IMAGES}::test_exif_turns_an_image_unless_its_stored_pixels_are_wanted",
        f"{IMAGES}::test_sixteen_bits_are_not_cut_off_and_a_key_colour_is_transparent",
        f"{IMAGES}::test_masks_in_every_way_to_write_them",
    ],
    "a colour profile": [f"{IMAGES}::test_a_colour_profile_counts_and_srgb_by_name_changes_no_bit"],
    "a large noisy mesh without UVs": [
        f"{MESHES}::test_a_large_mesh_keeps_every_face_and_gets_the_charts_of_a_simpler_one"
    ],
    "a second interrupt": [f"{AROUND}::test_a_second_interrupt_ends_a_stage_that_hears_none"],
    "Prefect's server dies": [f"{AROUND}::test_a_server_that_is_killed_stops_no_run"],
    "a user id without a name": [f"{AROUND}::test_a_user_without_a_name_gets_one_and_a_home"],
    "dangling links, pipes, loops": [f"{FILES}::test_captures_with_odd_things_in_them_run"],
    "the capture is the project": [f"{FILES}::test_captures_with_odd_things_in_them_run"],
    "a capture with .dvcignore": [f"{FILES}::test_captures_with_odd_things_in_them_run"],
    "names that are not UTF-8": [f"{FILES}::test_files_by_links_without_an_ending_and_of_names_that_are_no_utf8"],
    "links into a store without endings": [
        f"{FILES}::test_files_by_links_without_an_ending_and_of_names_that_are_no_utf8"
    ],
    "a repository of another owner": [f"{AROUND}::test_a_repository_of_another_owner_names_gits_remedy"],
    "a cache that the system names": [f"{AROUND}::test_a_cache_that_the_system_names_is_looked_into"],
    "an image of 200 megapixels": [f"{CAPTURES}::test_an_image_that_is_too_large_is_refused_before_it_is_decoded"],
    "dialects of OBJ": [f"{MESHES}::test_dialects_of_obj"],
    "transforms.json from Windows": [f"{READING}::test_transforms_json_from_windows"],
    "joiners and soft hyphens in a prompt": [f"{AROUND}::test_letters_that_nobody_sees_are_no_mistake"],
    "two runs without a name": [
        f"{AGAIN}::test_other_words_are_another_run_and_the_same_words_the_same",
        f"{AGAIN}::test_other_images_are_other_runs_named_after_their_files",
    ],
    "a database of another Prefect": [f"{AROUND}::test_a_server_that_ended_says_why"],
    "a disk that is full while files come back": [f"{AROUND}::test_a_full_disk_is_named_though_dvc_blames_its_links"],
    "an output that lacks letters": [f"{AROUND}::test_a_terminal_shows_the_codes_of_letters_that_it_lacks"],
    "COLMAP in two models": [f"{READING}::test_the_largest_of_several_colmap_models_is_read"],
    "Draco, meshopt, splats, files that are cut off": [
        f"{MESHES}::test_what_is_refused_is_called_by_its_name", f"{MESHES}::test_a_splat_is_no_point_cloud",
        f"{MESHES}::test_a_ply_that_is_cut_off_says_what_is_there",
    ],
    "an OBJ of several objects, its MTL missing": [f"{MORE}::test_meshes_in_every_way_to_write_them"],
    "a photo without alpha": [f"{PHOTOS}::test_a_flat_border_tells_the_object"],
    "one image in odd modes": [f"{PHOTOS}::test_cmyk_palette_exif_and_animated", f"{PHOTOS}::test_sixteen_bits"],
    "transforms.json with values in unusual places": [
        f"{READING}::test_intrinsics_of_a_frame_win_and_a_smaller_copy_is_understood"
    ],
    "a COLMAP model as text": [f"{READING}::test_colmap_by_the_package_itself"],
    "lenses that COLMAP knows and prior3d does not": [f"{READING}::test_lenses_of_colmap"],
    "masks of one bit, of 0 and 255": [f"{IMAGES}::test_masks_in_every_way_to_write_them"],
    "quads, strips, several solids, doubles, other ends": [
        f"{MORE}::test_meshes_in_every_way_to_write_them", f"{MORE}::test_a_strip_is_its_triangles",
        f"{GIVEN}::test_obj_keeps_every_vertex_polygons_and_negative_indices",
    ],
    "faces that share no vertex": [f"{MORE}::test_faces_that_share_no_vertex_get_few_charts"],
    "weights in 16 bits, in several files, on the hub": [
        f"{LOADING}::test_stable_diffusion_2_layout_with_camera_and_fp16_file_names",
        f"{LOADING}::test_weights_in_several_files",
        "tests/flows/test_hub.py::test_one_set_of_weights_in_full_precision",
    ],
    "weights that are pointers or pickles": [
        f"{LOADING}::test_pickled_weights_are_refused", f"{OTHERS}::test_a_pointer_in_place_of_weights",
    ],
    "a Prefect address of one's own that does not answer": [
        "tests/flows/test_engine_parts.py::test_users_own_prefect_is_respected",
        f"{OTHERS}::test_a_run_goes_on_without_a_server_that_cannot_be_asked",
    ],
    "a cache that projects share": [f"{KEEPING}::test_gc_refuses_a_cache_that_others_share"],
    "worktrees and detached heads": [f"{OTHERS}::test_a_project_in_a_worktree_or_at_a_detached_head"],
    "a project that cannot be written": ["tests/flows/test_failures.py::test_disk_refuses_a_new_run"],
    "quotes, markup and other scripts in a prompt": [f"{OTHERS}::test_any_sentence_is_a_prompt"],
    "tabs, old line ends, homogeneous coordinates": [
        f"{MESHES}::test_dialects_of_obj", f"{MORE}::test_meshes_in_every_way_to_write_them"
    ],
}  # fmt: skip


def names_in(file):
    return {n.name for n in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(n, ast.FunctionDef)}


def test_there_are_51():
    assert len(TRAITS) == 51 and all(TRAITS.values())


@pytest.mark.parametrize("trait", TRAITS)
def test_each_has_a_test(trait):
    for place in TRAITS[trait]:
        file, _, name = place.partition("::")
        assert name in names_in(file)


if __name__ == "__main__":
    chosen = sorted({place for places in TRAITS.values() for place in places})
    line = [sys.executable, "-m", "pytest", "-m", "slow or not slow", *chosen, *sys.argv[1:]]
    sys.exit(subprocess.run(line, cwd=ROOT, check=False).returncode)

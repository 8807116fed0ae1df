"""The categories of toy objects, and what captions may say of each."""

from collections.abc import Callable
from dataclasses import dataclass

from prior3d.toyworld import living, outdoors, things
from prior3d.toyworld.solids import Pieces, Uniform


@dataclass(frozen=True)
class Category:
    """One kind of object.

    Attributes:
        noun: its name in captions.
        build: makes the pieces, given a function that draws a uniform number.
        part: caption name of the second coloured part.
        part_colour: that part's colour when the caption does not say one; None: as the main colour.
        patterned: whether dots and stripes suit the main part.
        main_colour: set where the caption names no main colour (a snowman is white).
        front: whether its views from different azimuths differ (has a front to be told from its back).
    """

    noun: str
    build: Callable[[Uniform], Pieces]
    part: str
    part_colour: str | None = None
    patterned: bool = False
    main_colour: str | None = None
    front: bool = False


CATEGORIES: tuple[Category, ...] = (
    Category("mushroom", living.mushroom, "stem", "white", patterned=True),
    Category("mug", things.mug, "handle", None, patterned=True, front=True),
    Category("chair", things.chair, "legs", None, front=True),
    Category("table", things.table, "legs", None),
    Category("donut", things.donut, "dough", "brown", patterned=True),
    Category("ice cream", things.ice_cream, "cone", "brown"),
    Category("snowman", living.snowman, "hat", "black", main_colour="white", front=True),
    Category("car", outdoors.car, "wheels", "black", front=True),
    Category("house", outdoors.house, "roof", "red", front=True),
    Category("tree", living.tree, "trunk", "brown"),
    Category("fir tree", living.fir, "trunk", "brown"),
    Category("rocket", outdoors.rocket, "fins", "red", patterned=True),
    Category("lamp", things.lamp, "base", "black", patterned=True),
    Category("duck", living.duck, "beak", "orange", front=True),
    Category("fish", living.fish, "fins", None, front=True),
    Category("robot", living.robot, "head", None, front=True),
    Category("apple", living.apple, "leaf", "green"),
    Category("teddy bear", living.teddy, "belly", "white", front=True),
    Category("cactus", living.cactus, "pot", "brown"),
    Category("ball", things.ball, "", None, patterned=True),
    Category("cube", things.cube, "", None, patterned=True),
    Category("cone", things.cone, "", None, patterned=True),
    Category("vase", things.vase, "", None, patterned=True),
    Category("boat", outdoors.boat, "sail", "white", front=True),
    Category("bottle", things.bottle, "cap", "white", patterned=True),
    Category("umbrella", things.umbrella, "handle", "black", patterned=True),
    Category("plane", outdoors.plane, "wings", None, front=True),
    Category("tower", outdoors.tower, "roof", "red", front=True),
    Category("sofa", things.sofa, "cushions", None, front=True),
)
PLURAL_PARTS = frozenset({"legs", "wheels", "fins", "wings", "cushions"})

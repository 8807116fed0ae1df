"""Edits of toy objects in words: an object, an instruction, and exactly the object that carrying it out gives.

Colour and pattern edits keep every proportion, so renders before and after agree to the bit wherever the edited parts
are not seen. Category edits make another object with the colours of the first.
"""

import copy
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

import numpy as np

from prior3d.toyworld.objects import (
    Design,
    Part,
    Split,
    ToyObject,
    article,
    build_object,
    draw_design,
    find_category,
    object_generator,
)
from prior3d.toyworld.palette import COLOURS, PATTERNS, Pattern
from prior3d.toyworld.shapes import CATEGORIES

Option = TypeVar("Option")
EditKind = Literal["colour", "pattern", "category"]
EDIT_KINDS: tuple[EditKind, ...] = get_args(EditKind)
_SHARES = (0.5, 0.25, 0.25)  # of the kinds; colour edits are the most varied
_STREAM = 7  # keeps an edit's own draws apart from its object's
INSTRUCTION_WORDS = (  # every word of an instruction that no caption has
    *("add", "away", "change", "colour", "cover", "into", "it", "its", "make", "of", "on", "paint", "plain", "put"),
    *("remove", "replace", "take", "the", "to", "turn"),
)


@dataclass(frozen=True)
class Edit:
    """One edit; the captions are those of the two objects.

    Attributes:
        kind: what is changed.
        instruction: in words, e.g. `paint the roof red`.
        before: the object as it is.
        after: the object as it should become.
        changed_parts: places in `before.parts` of those that differ; all of them for a category edit.
    """

    kind: EditKind
    instruction: str
    before: ToyObject
    after: ToyObject
    changed_parts: tuple[int, ...]


def sample_edit(seed: int, index: int, split: Split = "train", kind: EditKind | None = None) -> Edit:
    """Draw edit `index` of a split; the same arguments give the same edit, and the splits share no objects.

    Args:
        seed: the world's seed; object `index` of that world is edited, if the drawn kind of edit suits it.
        index: which edit.
        split: "train", or "held-out" for objects that no prior was trained on.
        kind: fixes what is edited; drawn when None.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind is not None and kind not in EDIT_KINDS:
        raise ValueError(f"unknown kind of edit {kind!r}: one of {', '.join(EDIT_KINDS)}")
    rng = np.random.default_rng([seed, _STREAM, {"train": 0, "held-out": 1}[split], index])
    wanted = kind or EDIT_KINDS[rng.choice(len(EDIT_KINDS), p=_SHARES)]
    proportions = object_generator(seed, index, split)
    design = draw_design(proportions)
    changed = edited_design(design, wanted, rng)
    while changed is None:  # a snowman has no other colour, a chair no dots: take another kind of object
        design = draw_design(proportions)
        changed = edited_design(design, wanted, rng)
    target, instruction = changed
    before, after = (_build(d, proportions) for d in (design, target))
    parts = tuple(i for i, (a, b) in enumerate(zip(before.parts, after.parts, strict=False)) if _looks(a) != _looks(b))
    return Edit(wanted, instruction, before, after, tuple(range(len(before.parts))) if wanted == "category" else parts)


def edited_design(design: Design, kind: EditKind, rng: np.random.Generator) -> tuple[Design, str] | None:
    """Draw an edit of a design: the new design and the instruction; None if this kind does not suit the object."""
    match kind:
        case "colour":
            return _colour_edit(design, rng)
        case "pattern":
            return _pattern_edit(design, rng)
        case "category":
            return _category_edit(design, rng)


def _colour_edit(design: Design, rng: np.random.Generator) -> tuple[Design, str] | None:
    """Another main colour, or another colour of the second part."""
    kind, options = find_category(design.category), []
    if kind.main_colour is None:
        options.append("main")
    if kind.part and design.pattern is None:  # a caption has room for one accent
        options.append("part")
    if not options:
        return None
    if rng.choice(options) == "main":
        taken = {design.main, design.accent if design.pattern or design.named_part else design.main}
        colour = _choice([name for name in COLOURS if name not in taken], rng)
        noun = design.category
        wordings = [f"make it {colour}", f"paint it {colour}", f"turn it {colour}", f"change its colour to {colour}"]
        wordings += [f"make the {noun} {colour}", f"paint the {noun} {colour}"]
        return replace(design, main=colour), _choice(wordings, rng)
    shown = design.accent if design.named_part else (kind.part_colour or design.main)
    colour = _choice([name for name in COLOURS if name not in (shown, design.main)], rng)
    wordings = [f"{verb} the {kind.part} {colour}" for verb in ("paint", "make", "turn")]
    wordings.append(f"change the colour of the {kind.part} to {colour}")
    return replace(design, named_part=kind.part, accent=colour), _choice(wordings, rng)


def _pattern_edit(design: Design, rng: np.random.Generator) -> tuple[Design, str] | None:
    """Dots or stripes that come, go, or change their colour or kind."""
    if not find_category(design.category).patterned or design.named_part:
        return None
    old = design.pattern
    if old is None:
        pattern, colour = _choice(list(PATTERNS), rng), _choice([name for name in COLOURS if name != design.main], rng)
        what = f"{colour} {pattern}"
        wordings = [
            f"add {what}",
            f"put {what} on it",
            f"cover it with {what}",
            f"paint {what} on the {design.category}",
        ]
        return replace(design, pattern=pattern, accent=colour), _choice(wordings, rng)
    change = rng.choice(["remove", "colour", "kind"])
    if change == "remove":
        wordings = [f"remove the {old}", f"take away the {old}", f"make it plain {design.main}"]
        return replace(design, pattern=None), _choice(wordings, rng)
    if change == "colour":
        colour = _choice([name for name in COLOURS if name not in (design.main, design.accent)], rng)
        wordings = [
            f"make the {old} {colour}",
            f"paint the {old} {colour}",
            f"change the colour of the {old} to {colour}",
        ]
        return replace(design, accent=colour), _choice(wordings, rng)
    new = _choice([name for name in PATTERNS if name != old], rng)
    wordings = [f"turn the {old} into {new}", f"replace the {old} with {new}", f"change the {old} to {new}"]
    return replace(design, pattern=new), _choice(wordings, rng)


def _category_edit(design: Design, rng: np.random.Generator) -> tuple[Design, str]:
    """Another kind of object in the same colours, as far as it has a place for them."""
    kind = _choice([kind for kind in CATEGORIES if kind.noun != design.category], rng)
    main = kind.main_colour or design.main
    pattern = design.pattern if kind.patterned and design.accent != main else None
    named_part = design.named_part if design.named_part == kind.part and design.accent != main else None
    target = Design(kind.noun, main, pattern, named_part, design.accent)
    old, new = design.category, f"{article(kind.noun)} {kind.noun}"
    wordings = [
        f"turn the {old} into {new}",
        f"replace the {old} with {new}",
        f"change it into {new}",
        f"make it {new}",
    ]
    return target, _choice(wordings, rng)


def _build(design: Design, proportions: np.random.Generator) -> ToyObject:
    """The object of a design; the generator stays where it is, so two designs of a kind get the same proportions."""
    kind, rng = find_category(design.category), copy.deepcopy(proportions)
    return build_object(kind, rng, design.main, design.pattern, design.named_part, design.accent)


def _looks(part: Part) -> tuple[str, Pattern | None]:
    return part.colour, part.pattern


def _choice(options: list[Option], rng: np.random.Generator) -> Option:
    return options[int(rng.integers(len(options)))]

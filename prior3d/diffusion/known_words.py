"""Words that a small vocabulary lacks: which known ones stand in for them, and what is near where none does.

A prior of a few dozen words spells an unknown one in letters that it was never trained on, and draws something else.
A known word of nearly the same meaning does better, if the person is told. What looks the same from afar counts as
near: a beetle is a car here, since no insect is known.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

WORD = re.compile(r"[^\s.,;:!?\"'()]+")
SIMILAR = 0.8  # of `difflib`, from 0 to 1: one wrong letter of a word passes
READ_AS = {  # known words, and what is read as them
    "ball": "sphere globe orb football basketball marble balloon planet moon bubble",
    "boat": "ship sailboat yacht vessel dinghy canoe ferry raft galleon sailing-boat",
    "bottle": "flask wine-bottle thermos vial",
    "cactus": "cacti succulent saguaro",
    "car": "automobile beetle taxi cab truck van bus jeep suv vehicle sedan coupe lorry limousine ambulance racecar "
    "minivan pickup hatchback roadster tractor",
    "chair": "seat stool armchair throne bench rocker",
    "cone": "pyramid spike",
    "cube": "box block dice die crate brick",
    "donut": "doughnut bagel ring torus",
    "duck": "duckling bird goose chicken swan hen rooster",
    "fir tree": "pine conifer spruce evergreen christmas-tree",
    "fish": "goldfish shark whale dolphin carp trout",
    "house": "home hut cottage cabin building barn villa shed bungalow cabin mansion",
    "ice cream": "icecream gelato sundae",
    "lamp": "lantern nightlight lampshade torch",
    "mug": "cup teacup tumbler beaker tankard",
    "mushroom": "toadstool fungus champignon",
    "plane": "airplane aeroplane aircraft jet airliner glider",
    "robot": "android droid automaton cyborg",
    "rocket": "spaceship spacecraft missile shuttle",
    "snowman": "snowwoman",
    "sofa": "couch settee loveseat divan",
    "table": "desk workbench",
    "teddy bear": "teddybear panda cub plush",
    "tower": "castle lighthouse skyscraper turret minaret",
    "tree": "oak maple birch elm willow shrub bush",
    "umbrella": "parasol brolly",
    "vase": "jar urn pitcher jug amphora pot",
    "apple": "fruit peach",
    "red": "crimson scarlet ruby cherry maroon",
    "orange": "amber tangerine apricot",
    "yellow": "gold golden lemon blond",
    "green": "lime olive emerald mint",
    "teal": "turquoise cyan aqua aquamarine",
    "blue": "navy azure cobalt indigo",
    "purple": "violet lilac lavender mauve",
    "pink": "magenta rose fuchsia salmon",
    "brown": "wooden tan beige chestnut bronze chocolate",
    "white": "ivory cream snowy pale",
    "grey": "gray silver metallic metal steel",
    "black": "ebony dark",
    "dots": "dot spots spot spotted dotted polka speckles freckles",
    "stripes": "stripe striped bands",
}
UNSAID = (  # what no word of a small vocabulary says
    "big small large little tiny huge cute beautiful pretty nice old new modern shiny glossy realistic detailed "
    "very of the my one single simple toy model 3d render rendering photo image picture high quality some lovely "
    "classic"
)
# of kinds, with words for what the group is asked about and no kind is near enough
GROUPS = {
    "animals": (
        "duck, fish, teddy bear",
        "animal cat dog horse cow pig rabbit lion tiger elephant mouse sheep penguin owl frog turtle dragon "
        "dinosaur monkey giraffe fox wolf deer snake insect bee butterfly spider kitten puppy",
    ),
    "figures": (
        "robot, snowman, teddy bear",
        "man woman boy girl person knight wizard doll figure statue character king queen astronaut soldier "
        "princess hero",
    ),
    "vehicles": (
        "car, boat, plane, rocket",
        "bicycle bike motorcycle motorbike train helicopter tank submarine scooter",
    ),
    "buildings": (
        "house, tower",
        "church temple palace bridge windmill fort tent igloo",
    ),
    "plants": (
        "mushroom, tree, fir tree, cactus",
        "plant flower sunflower rose tulip palm grass leaf",
    ),
    "food": (
        "donut, ice cream, apple",
        "food hamburger burger pizza cake bread sandwich banana pear strawberry lemon carrot pumpkin cupcake "
        "cookie cheese egg pineapple",
    ),
    "furniture": (
        "chair, table, sofa, lamp",
        "furniture bed bookcase shelf wardrobe cabinet cupboard drawer dresser",
    ),
    "vessels": (
        "mug, vase, bottle",
        "bowl teapot kettle bucket plate pan glass barrel basket",
    ),
    "solids": (
        "ball, cube, cone",
        "cylinder prism polyhedron shape",
    ),
    "things": (
        "umbrella, lamp",
        "hat shoe boot clock guitar phone computer camera book bag key hammer sword crown drum",
    ),
}
KINDS = tuple(dict.fromkeys(kind for kinds, _ in GROUPS.values() for kind in kinds.split(", ")))
LEFT_OUT = frozenset(UNSAID.split())
NAMED = [word for known in READ_AS for word in known.split()]  # what a misspelt word may be
WORD_LEVEL_VOCABULARY = 10_000  # CLIP's own byte-pair vocabulary has 49,408 entries and can spell any word
STANDS_FOR = {word: known for known, words in READ_AS.items() for word in words.split()}


class UnknownWord(str):
    """A word of a prompt that a prior has never seen.

    Attributes:
        read_as: the known words that stand in for it; empty where it is left out, None where nothing stands in.
        near: known words that look or mean alike, for a person to choose from.
    """

    read_as: str | None
    near: tuple[str, ...]

    def __new__(cls, word: str, read_as: str | None = None, near: tuple[str, ...] = ()) -> "UnknownWord":
        """A word with what is read for it."""
        made = super().__new__(cls, word)
        made.read_as, made.near = read_as, near
        return made

    @property
    def told(self) -> str:
        """What a person should know of a word that something stands in for."""
        if self.read_as:
            return f"{str(self)!r} is unknown, read as {self.read_as!r}"
        return f"{str(self)!r} is unknown, left out"


def unknown_words(tokenizer: Any, prompt: str) -> list[UnknownWord]:
    """Words that a tokenizer of a small word-level vocabulary lacks; none for a byte-pair vocabulary."""
    if len(tokenizer) >= WORD_LEVEL_VOCABULARY:
        return []

    vocabulary = tokenizer.get_vocab()

    def knows(word: str) -> bool:
        if f"{word.lower()}</w>" in vocabulary:  # as CLIP marks whole words; asking the tokenizer takes longer
            return True
        ids = tokenizer(word, add_special_tokens=False).input_ids
        return len(ids) == 1 and (ids[0] != tokenizer.unk_token_id or word == "<unk>")

    words = dict.fromkeys(word.strip(".,;:!?\"'()") for word in prompt.split())
    return [unknown_word(word, knows) for word in words if word and not knows(word)]


def unknown_word(word: str, knows: Callable[[str], bool]) -> UnknownWord:
    """An unknown word with the known words that stand in for it, if all of them are known indeed."""
    low = word.lower()
    for form in (low, low.removesuffix("s"), low.removesuffix("es")):
        if form != low and knows(form):
            return UnknownWord(word, form)
        known = STANDS_FOR.get(form)
        if known and all(knows(part) for part in known.split()):
            return UnknownWord(word, known)
    if low in LEFT_OUT:
        return UnknownWord(word, "")
    spelled = get_close_matches(low, NAMED, n=1, cutoff=SIMILAR)
    if spelled and len(low) > 3 and knows(spelled[0]):
        return UnknownWord(word, spelled[0])
    return UnknownWord(word, None, _near(low, knows))


def told_of(words: list[UnknownWord]) -> str:
    """What a person should know of a prompt's unknown words, in one line."""
    lost = [word for word in words if word.read_as is None]
    lines = [word.told for word in words if word.read_as is not None]
    if lost:
        near = list(dict.fromkeys(kind for word in lost for kind in word.near))
        said = f"this prior does not know: {', '.join(lost)}"
        lines.append(f"{said}; near: {', '.join(near)}" if near else said)
    return "; ".join(lines)


def read(prompt: str, unknown: list[UnknownWord]) -> str:
    """A prompt with known words in the place of those that something stands in for; articles follow."""
    stands_in = {str(word): word.read_as for word in unknown if word.read_as is not None}
    if not stands_in:
        return prompt
    text = WORD.sub(lambda match: stands_in.get(match[0], match[0]), prompt)
    text = re.sub(r"\s+(?=[\s,.;:!?])", "", re.sub(r"\s+", " ", text)).strip()
    return re.sub(r"\b([Aa])n?(?= (\w))", lambda match: match[1] + ("n" if match[2].lower() in "aeiou" else ""), text)


def _near(word: str, knows: Callable[[str], bool]) -> tuple[str, ...]:
    """Kinds of the group that a word belongs to, as far as they are known."""
    for members, words in GROUPS.values():
        if {word, word.removesuffix("s")} & set(words.split()):
            return tuple(kind for kind in members.split(", ") if all(knows(part) for part in kind.split()))
    return ()

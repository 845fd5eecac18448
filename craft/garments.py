"""The garment categories: the one table that menus, masks, networks, wardrobe and drawings read.

A new category is a new row at the end (a hat, say): menus, masks, words and sheets follow from it. What a row alone
cannot give is a drawing (croquis/garment.py), a network trained on it, and a picture for the help pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """id: in graphs, masks and files. label: in the menus of garments and wardrobes.

    number: its row in the class embedding of the published try-on networks; None where they do not know it.
    atr: labels of a human parser that such a garment carries. region: body parts that its mask covers.
    below_hips: the region goes on below the hips; in_hands: it hangs from the hands. takes_dress_off: over a dress it
    takes the dress's place. bares: what is not protected while it is worn. on_sheet: its name on reference sheets.
    drawn_as: croquis's output for its flat-lay. words: that mean it, in captions and names of folders and files.
    """

    id: str
    label: str
    number: int | None
    tooltip: str
    on_sheet: str
    drawn_as: str
    atr: tuple[str, ...]
    region: tuple[str, ...]
    words: str
    below_hips: bool = False
    in_hands: bool = False
    takes_dress_off: bool = False
    bares: tuple[str, ...] = ()


CATEGORIES = (
    Category(
        "upper", "upper", 0, "tops, shirts, jackets", "top", "top",
        ("upper-clothes", "dress", "belt"), ("torso", "hips", "neck", "collar", "sleeves"),
        "upper top tops tee t-shirt tshirt shirt blouse sweater jumper pullover cardigan hoodie sweatshirt jacket"
        " blazer coat vest waistcoat tank camisole polo parka anorak trench bodice knitwear",
        below_hips=True, takes_dress_off=True,
    ),
    Category(
        "lower", "lower", 1, "trousers and skirts", "bottom", "bottom_or_dress",
        ("skirt", "pants", "dress", "belt"), ("hips", "skirt", "legs"),
        "lower bottom bottoms pant pants trousers jeans skirt shorts leggings chinos culottes joggers slacks",
        takes_dress_off=True,
    ),
    Category(
        "overall", "dress", 2, "dresses and jumpsuits", "dress", "bottom_or_dress",
        ("upper-clothes", "skirt", "pants", "dress", "belt"),
        ("torso", "hips", "neck", "collar", "sleeves", "skirt", "legs"),
        "dress dresses gown jumpsuit overall overalls romper onesie dungarees kaftan sundress full-body",
        below_hips=True,
    ),
    Category(
        "shoe", "shoes", 3, "shoes", "shoes", "shoes", ("left-shoe", "right-shoe"), ("feet",),
        "shoe shoes boot boots sneaker sneakers heel heels sandal sandals loafer loafers pump pumps trainers clogs"
        " footwear slippers mules",
        bares=("feet",),
    ),
    Category(
        "bag", "bag", 4, "a bag", "bag", "bag", ("bag",), (),
        "bag bags handbag tote purse clutch backpack satchel rucksack pouch",
        in_hands=True, bares=("bag",),
    ),
)  # fmt: skip

BY_ID = {category.id: category for category in CATEGORIES}
IDS = tuple(BY_ID)
LABELS = tuple(category.label for category in CATEGORIES)
ID_OF_LABEL = {category.label: category.id for category in CATEGORIES}


def by_name(name: str) -> Category:
    """The category of an id or a label. Raises ValueError that lists the ids."""
    category = BY_ID.get(ID_OF_LABEL.get(name, name))
    if category is None:
        raise ValueError(f"The garment's category is {name!r}; choose one of {', '.join(IDS)}.")
    return category


_LABEL_OF_WORD = {word: category.label for category in CATEGORIES for word in category.words.split()}


def category_of(text: str) -> str:
    """The label of the category that the words of `text` name, or "" when none or several do ("shirt and skirt").

    A garment's noun comes last in English ("shirt dress" is a dress): of adjacent nouns the last one counts.
    """
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())
    found: list[tuple[int, str]] = []
    for place, word in enumerate(words):
        category = _category_of_word(word)
        if category:
            if found and found[-1][0] == place - 1:
                found.pop()
            found.append((place, category))
    named = {category for _, category in found}
    return named.pop() if len(named) == 1 else ""


def _category_of_word(word: str) -> str:
    for form in (word, word.removesuffix("s"), word.removesuffix("es"), word.rsplit("-", 1)[-1]):
        if form in _LABEL_OF_WORD:
            return _LABEL_OF_WORD[form]
    return ""


def category_of_path(path: str) -> str:
    """The label of the category that a relative path names: its folders, the nearest first, then the file itself."""
    *folders, name = path.split("/")
    for part in (*reversed(folders), name.rsplit(".", 1)[0]):
        category = category_of(part.replace("_", " "))
        if category:
            return category
    return ""

"""Which of the try-on's five categories a garment belongs to, from words: folder names, captions, labels."""

from __future__ import annotations

import re

CATEGORIES = ("upper", "lower", "dress", "shoes", "bag")

_WORDS = {
    "upper": "upper top tops tee t-shirt tshirt shirt blouse sweater jumper pullover cardigan hoodie sweatshirt jacket "
    "blazer coat vest waistcoat tank camisole polo parka anorak trench bodice knitwear",
    "lower": "lower bottom bottoms pant pants trousers jeans skirt shorts leggings chinos culottes joggers slacks",
    "dress": "dress dresses gown jumpsuit overall overalls romper onesie dungarees kaftan sundress full-body",
    "shoes": "shoe shoes boot boots sneaker sneakers heel heels sandal sandals loafer loafers pump pumps trainers"
    " clogs footwear slippers mules",
    "bag": "bag bags handbag tote purse clutch backpack satchel rucksack pouch",
}
_CATEGORY_OF = {word: category for category, words in _WORDS.items() for word in words.split()}


def category_of(text: str) -> str:
    """The category that the words of `text` name, or "" when none or several do ("shirt and skirt").

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
        if form in _CATEGORY_OF:
            return _CATEGORY_OF[form]
    return ""


def category_of_path(path: str) -> str:
    """The category that the folders of a relative path name, the nearest folder first; then the file's own name."""
    *folders, name = path.split("/")
    for part in (*reversed(folders), name.rsplit(".", 1)[0]):
        category = category_of(part.replace("_", " "))
        if category:
            return category
    return ""

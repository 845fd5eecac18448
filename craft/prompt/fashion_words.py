"""Word lists of the phrase parser: what can carry an attribute, and what kind of attribute a word is.

Our own lists. A word that is in none of them and stands before a noun still counts as a modifier: cuts, prints and
fabrics have too many names to list. What must be listed is every noun and every word that ends a noun phrase.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Nouns, singular. A part belongs to a garment; "long sleeve dress" therefore means a dress whose sleeve is long.
PARTS = _words(
    """sleeve collar cuff hem neck neckline waist waistband leg back bodice hood lapel shoulder strap pocket button
    zipper zip lining slit train bow ribbon belt-loop sash trim fringe lace-up lacing stitching seam pleat ruffle frill
    patch panel knee elbow wrist toe heel sole lace buckle toggle pompom peplum yoke placket dart vent gusset tassel
    overlay border edge edging piping appliqué applique embroidery bead sequin feather stud rivet eyelet drawstring
    v-neck u-neck t-neck crew-neck scoop-neck turtle-neck polo-neck halter-neck hemline sleeves-cuff epaulette fastening
    hook crystal rhinestone zip-fly midriff armhole brim crown visor tongue turn-up"""
)
GARMENTS = _words(
    """dress gown skirt shirt blouse top tee t-shirt sweater jumper pullover cardigan sweatshirt hoodie jacket blazer
    coat raincoat overcoat parka anorak vest waistcoat gilet cape cloak poncho shawl suit tuxedo jumpsuit romper
    playsuit overall dungaree trouser trousers pant pants jean jeans short shorts legging tights stocking sock kilt
    sarong sari kimono qipao cheongsam hanbok robe bathrobe pyjama pajama nightgown slip camisole cami bra bralette
    corset bustier bodysuit swimsuit bikini lingerie underwear tunic turtleneck apron uniform overskirt underskirt
    petticoat crop-top tank-top trench windbreaker bomber duster kaftan caftan abaya obi leotard catsuit smock pinafore
    shoe boot sneaker trainer sandal loafer pump heel heels stiletto slipper clog mule flat brogue oxford hat cap beanie
    beret headscarf headband bonnet fedora helmet scarf glove mitten belt tie cravat necktie bandana handbag bag clutch
    purse backpack tote satchel necklace bracelet ring earring brooch pendant watch anklet choker tiara glasses
    sunglasses umbrella veil costume outfit"""
)
BODY = _words("hair eye eyes lip lips nail nails skin lipstick eyeshadow beard braid ponytail fingernail")
SCENE = _words("background backdrop wall floor")
PATTERNS = _words(
    """stripe dot check flower print pattern plaid tartan gingham houndstooth paisley floral camouflage herringbone
    argyle polka leopard zebra motif logo emblem star heart rose butterfly dragon"""
)
MATERIALS = _words(
    """cotton wool linen silk satin velvet denim leather suede lace tulle chiffon organza corduroy tweed cashmere jersey
    fleece flannel nylon polyester fur sherpa straw mesh knit canvas taffeta brocade crepe lycra spandex vinyl pvc latex
    jute hemp mohair angora viscose rayon modal poplin twill gabardine georgette gauze muslin felt rubber brass gold
    silver pearl metal wood plastic thread yarn patent bouclé boucle jacquard neoprene faux sequins feathers rope
    chain"""
)

# Colours and the words that grade them: in "red long sleeve dress" the colour belongs to the dress.
COLOURS = _words(
    """red orange yellow green blue purple violet pink brown black white grey gray beige cream ivory tan camel khaki
    navy burgundy maroon crimson scarlet coral peach apricot salmon mint sage olive emerald teal turquoise cyan aqua
    indigo lilac lavender mauve magenta fuchsia plum aubergine charcoal nude champagne gold silver bronze copper rust
    mustard lemon lime forest sky azure cobalt royal ecru taupe off-white multicolour multicolor rainbow blonde heather
    colourful colorful pastel neon"""
)
GRADES = _words("dark light pale bright deep vivid soft pastel neon hot dusty royal electric")
INTENSIFIERS = _words("very extremely slightly fairly quite rather really fully super too so most more almost truly")

COMPOUNDS = frozenset(
    tuple(text.split())
    for text in (
        "trench coat", "tank top", "crop top", "bow tie", "polo shirt", "t shirt", "tee shirt", "shirt dress",
        "sweater dress", "sweater vest", "pea coat", "duffle coat", "bomber jacket", "wrap dress", "slip dress",
        "bucket hat", "neck tie",
    )
)  # fmt: skip

# Words that end a noun phrase.
DETERMINERS = _words(
    """a an the this that these those his her its their my your our some any each every both all one two three four five
    six seven eight nine ten twelve several many few another other"""
)
NEGATIONS = _words("without no not lacking minus")
COPULAS = _words("is are was were be being looks appear appears becomes")
MADE_OF = _words("of in")  # "a coat of wool", "a dress in navy"
PREPOSITIONS = _words(
    """with at on over under beneath below above around round-about along across through by for to from into onto inside
    beside between behind near against about atop up down off out than as plus via down-to featuring"""
)
VERBS = _words(
    """wearing wears wear worn carrying carries holding holds has have having had features feature shows showing styled
    paired dressed made walks walking stands standing sits sitting posing poses matched combined which who whose while
    where when when-worn consisting"""
)
CONJUNCTIONS = _words("and or & but")
PEOPLE = _words(
    """woman man girl boy lady gentleman model person people women men girls boys child children kid figure mannequin
    female male she he they her him bride groom"""
)

NOUNS = PARTS | GARMENTS | BODY | SCENE | PATTERNS


def singular(word: str) -> str:
    """The listed form of a noun: `cuffs` -> `cuff`, `dresses` -> `dress`, `bodies` -> `body`."""
    if word in NOUNS:
        return word
    for ending, instead in (("ies", "y"), ("es", ""), ("s", ""), ("ves", "f")):
        if word.endswith(ending) and word[: -len(ending)] + instead in NOUNS:
            return word[: -len(ending)] + instead
    return word

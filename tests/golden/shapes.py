# SPDX-License-Identifier: Apache-2.0
"""The small models: their numbers, and how their files are spelled. configs.hpp holds the same numbers as C++ types."""

RATIOS = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1)]  # (rows, columns); id = place in the list + 1
ARRANGEMENTS = [f"{h}x{w}" for h, w in RATIOS]
CHANNELS, TILES, EXTRA = 3, 4, 8  # EXTRA: rows of the embedding beyond the vocabulary; row 0 of them is the image token

# Four patches a tile, one KV head for four query heads, a cross layer before everything else, the first and the last
# layer tapped, plain rotary frequencies, norm_eps that cannot be mistaken for each other or for the usual one.
G1 = dict(
    seed=101,
    vision=dict(width=24, mlp=52, heads=3, layers=4, global_layers=1, tile=28, patch=14, taps=[0, 3], norm_eps=1e-3),
    text=dict(width=32, mlp=44, heads=4, kv_heads=1, layers=5, cross_layers=[0, 3], vocabulary=300, context=4096,
              norm_eps=2e-3, rope_theta=10000.0, rope_scaled=False),
    names="memory",  # model.language_model.layers..., lm_head.weight
    config="4.x",    # rope_theta, rope_scaling, torch_dtype
)
# Head widths 10 and 12, widths that no vector register divides, an MLP narrower than the model, as many KV heads as
# heads, a cross layer at the very end, three taps, the usual rotary scaling with frequencies in all three regimes.
G2 = dict(
    seed=203,
    vision=dict(width=20, mlp=36, heads=2, layers=5, global_layers=3, tile=56, patch=14, taps=[1, 2, 4], norm_eps=1e-5),
    text=dict(width=36, mlp=28, heads=3, kv_heads=3, layers=6, cross_layers=[1, 5], vocabulary=270, context=131072,
              norm_eps=1e-5, rope_theta=500000.0, rope_scaled=True),
    names="hub",     # language_model.model.layers..., language_model.lm_head.weight
    config="5.x",    # rope_parameters, dtype
)

# A case is a prompt: runs of random text and images in it. Every arrangement comes first once.
EVERYWHERE = {
    "text": [14],
    **{f"image_first_{a}": [a, 7] for a in ARRANGEMENTS},
    "image_only_2x1": ["2x1"],
    "text_before_1x3": [4, "1x3", 6],
    "text_before_3x1": [1, "3x1", 4],
    "image_last_1x2": [6, "1x2"],
    "two_images": [3, "1x2", 4, "2x2", 4],
    "two_images_first": ["2x1", 4, "1x3", 4],
    "two_images_last": [2, "1x1", 4, "2x1"],
    "two_consecutive": [2, "1x3", "1x1", 5],
    "three_images": [2, "1x1", "2x1", 3, "1x4", 4],
}
FEW = {
    "image_first_1x1": ["1x1", 7],
    "image_first_1x2": ["1x2", 7],
    "image_first_2x1": ["2x1", 7],
    "text_before_1x3": [4, "1x3", 6],
    "two_images": [3, "1x2", 4, "2x1", 4],
}

# detail: arrangements of which every activation of the tower is stored; taps_after: those stored a second time as
# transformers >= 4.56 computes them; a case among taps_after_cases holds the logits that follow from it.
SHAPES = {
    "g1": dict(G1, cases=EVERYWHERE, detail=["1x3", "2x2"], taps_after=["1x3", "2x2"],
               taps_after_cases=["image_first_2x2", "text_before_1x3"], ids=False),
    "g1_ids": dict(G1, seed=111, cases=FEW, detail=["1x2"], taps_after=[], taps_after_cases=[], ids=True),
    "g2": dict(G2, cases=EVERYWHERE, detail=["2x1", "1x4"], taps_after=["1x3", "2x2"],
               taps_after_cases=["image_first_2x2", "text_before_1x3"], ids=False),
}


def patches(vision):
    """Tokens of a tile without the class token."""
    return (vision["tile"] // vision["patch"]) ** 2


def rows(vision):
    """Tokens of a tile with the class token, and with the zero rows that fill it up to a multiple of 8."""
    n = patches(vision) + 1
    return n, (n + 7) // 8 * 8

# SPDX-License-Identifier: Apache-2.0
"""The small model as a Hugging Face folder: configuration, tokenizer, first weights, saving."""
import json
import math
import os

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import MllamaConfig, MllamaForConditionalGeneration

TILE, PATCH, WIDTH, ORDINARY = 84, 14, 128, 512
RATIOS = [(h, w) for h in range(1, 5) for w in range(1, 5) if h * w <= 4]  # id = index + 1
BOS, END, PAD, HEADER, HEADER_END, EOM, EOT = (ORDINARY + i for i in (0, 1, 4, 6, 7, 8, 9))
VOCABULARY = IMAGE = ORDINARY + 256
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

PIECES = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")

ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=8192)
VISION = dict(model_type="mllama_vision_model", hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=4, num_global_layers=2,
              attention_heads=4, image_size=TILE, patch_size=PATCH, num_channels=3, max_num_tiles=4,
              intermediate_layers_indices=[1, 2, 3], vision_output_dim=4 * WIDTH,
              supported_aspect_ratios=[list(r) for r in RATIOS], norm_eps=1e-5, hidden_act="gelu")
TEXT = dict(model_type="mllama_text_model", vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=3 * WIDTH, num_hidden_layers=6,
            num_attention_heads=4, num_key_value_heads=2, cross_attention_layers=[1, 4], rms_norm_eps=1e-5,
            hidden_act="silu", rope_theta=500000.0, rope_scaling=ROPE, max_position_embeddings=2048, use_cache=True,
            bos_token_id=BOS, eos_token_id=[END, EOM, EOT], pad_token_id=PAD, tie_word_embeddings=False)


def special_names():
    """The 256 special tokens in the order of the real models, and <|image|> after them."""
    named = {0: "begin_of_text", 1: "end_of_text", 2: "reserved_special_token_0", 3: "reserved_special_token_1",
             4: "finetune_right_pad_id", 5: "step_id", 6: "start_header_id", 7: "end_header_id", 8: "eom_id",
             9: "eot_id", 10: "python_tag", 256: "image"}
    return [f"<|{named.get(i, f'reserved_special_token_{i - 9}')}|>" for i in range(257)]


def train_tokenizer(texts):
    """Byte-level BPE; digits are left out of its text, so that each stays a token of its own."""
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    plain = ["".join(c for c in text if not c.isdigit()) for text in texts] + ["user", "assistant", "system", "\n\n"] * 100
    t.train_from_iterator(plain, trainers.BpeTrainer(vocab_size=ORDINARY, show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    assert t.get_vocab_size() == ORDINARY, t.get_vocab_size()
    t.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in special_names()])
    begin = special_names()[0]
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single=[begin, "$A"], pair=[begin, "$A", begin, "$B:1"],
                                      special_tokens=[(begin, BOS)])])
    assert t.token_to_id("<|image|>") == IMAGE and t.token_to_id("<|eot_id|>") == EOT
    return t


def configuration():
    return MllamaConfig(vision_config=VISION, text_config=TEXT, image_token_index=IMAGE)


def hold_padding(model, of=lambda p: p):
    """Zeroes the slots of padded tiles in the tile tables (or in their gradients), as in converted files."""
    for name, p in model.named_parameters():
        if "tile_embedding.weight" in name or "tile_positional_embedding.embedding.weight" in name:
            table = of(p)
            if table is None:
                continue
            rows = table.data.view(9, 4, -1)
            rows[0] = 0
            for i, (h, w) in enumerate(RATIOS, 1):
                rows[i, h * w:] = 0


def waves(places):
    """Sines and cosines of (row, column) in patches -> (places, width): where things are must be as plain as what they are."""
    angles = places[:, :, None].float() * 2 * math.pi / (2.5 * 20 ** torch.linspace(0, 1, WIDTH // 4))
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(1)


def place_patches(vision):
    """First values of the position tables: place in the tile for the shared one, in the picture for those of each arrangement."""
    side = TILE // PATCH
    own = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    tables = vision.gated_positional_embedding
    tables.gate.fill_(0.5)
    tables.embedding[1:] = waves(own)
    tables.embedding[0].normal_(0, 0.5)
    for i, (h, w) in enumerate(RATIOS, 1):
        slots = tables.tile_embedding.weight[i].view(4, side * side + 1, WIDTH)
        for tile in range(h * w):
            slots[tile, 1:] = 2 * waves(own + side * torch.tensor([tile // w, tile % w]))
            slots[tile, 0].normal_(0, 0.5)


def new_model(seed=0):
    """Weights at 1/sqrt(fan-in), gates open: the stock 0.02 learns nothing at this width."""
    torch.manual_seed(seed)
    config = configuration()
    config._attn_implementation = "sdpa"
    model = MllamaForConditionalGeneration(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "patch_embedding" in name:
                p.normal_(0, 1 / math.sqrt(3 * PATCH * PATCH))
            elif "embed_tokens" in name:
                p.normal_(0, 0.5)
            elif p.dim() == 2 and any(part in name for part in ("proj", "fc", "lm_head")):
                gain = 0.4 if any(part in name for part in ("o_proj", "down_proj", "fc2")) else 1.0
                p.normal_(0, gain / math.sqrt(p.shape[1]))
            elif name.endswith(("gate_attn", "gate_ffn", "attn_gate", "mlp_gate")):
                p.fill_(1.0)
            elif name.endswith("tile_positional_embedding.gate"):
                p.fill_(0.5)
            elif "class_embedding" in name or "tile_positional_embedding.embedding" in name:
                p.normal_(0, 0.3)
        place_patches(model.model.vision_model)
    hold_padding(model)
    return model


TEMPLATE = (
    "{{- bos_token }}{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{%- if message['content'] is string %}{{- message['content'] }}"
    "{%- else %}{%- for part in message['content'] %}"
    "{%- if part['type'] == 'image' %}{{- '<|image|>' }}{%- elif part['type'] == 'text' %}{{- part['text'] }}{%- endif %}"
    "{%- endfor %}{%- endif %}{{- '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}")


def save(model, tokenizer, folder):
    """Writes the folder: bf16 weights under the hub's names, configurations that transformers 4.x and 5.x read."""
    os.makedirs(folder, exist_ok=True)
    half = {name: p.detach().to(torch.bfloat16).contiguous() for name, p in model.state_dict().items()}
    hub = {}
    for name, p in half.items():
        if name == "lm_head.weight":
            name = "language_model.lm_head.weight"
        elif name.startswith("model.language_model."):
            name = "language_model.model." + name[len("model.language_model."):]
        else:
            name = name.removeprefix("model.")
        hub[name] = p
    from safetensors.torch import save_file
    save_file(hub, f"{folder}/model.safetensors", metadata={"format": "pt"})
    types = dict(torch_dtype="bfloat16", dtype="bfloat16")
    text = TEXT | types | dict(rope_parameters=ROPE | dict(rope_theta=500000.0))
    config = dict(architectures=["MllamaForConditionalGeneration"], model_type="mllama", image_token_index=IMAGE,
                  tie_word_embeddings=False, text_config=text, vision_config=VISION | types,
                  transformers_version="4.54.1") | types
    files = {
        "config.json": config,
        "generation_config.json": dict(bos_token_id=BOS, eos_token_id=[END, EOM, EOT], pad_token_id=PAD, do_sample=False),
        "preprocessor_config.json": dict(
            image_processor_type="MllamaImageProcessor", do_convert_rgb=True, do_normalize=True, do_pad=True,
            do_rescale=True, do_resize=True, image_mean=MEAN, image_std=STD, max_image_tiles=4, resample=2,
            rescale_factor=1 / 255, size=dict(height=TILE, width=TILE)),
        "tokenizer_config.json": dict(
            tokenizer_class="PreTrainedTokenizerFast", processor_class="MllamaProcessor", bos_token="<|begin_of_text|>",
            eos_token="<|eot_id|>", pad_token="<|finetune_right_pad_id|>", clean_up_tokenization_spaces=False,
            model_max_length=2048, model_input_names=["input_ids", "attention_mask"], chat_template=TEMPLATE),
        "special_tokens_map.json": dict(bos_token="<|begin_of_text|>", eos_token="<|eot_id|>",
                                        pad_token="<|finetune_right_pad_id|>"),
        "chat_template.json": dict(chat_template=TEMPLATE),
    }
    for name, content in files.items():
        with open(f"{folder}/{name}", "w") as out:
            json.dump(content, out, indent=2)
            out.write("\n")
    tokenizer.save(f"{folder}/tokenizer.json")

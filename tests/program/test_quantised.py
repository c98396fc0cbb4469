# SPDX-License-Identifier: Apache-2.0
"""Folders of quantising libraries: the bundled model, with weights quantised here by the formulas that the libraries document,
through `inspect`, `convert` and `describe`. The values that are expected are computed with the formulas once more, here."""
import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, MODEL, TEMPORARY, copy_of_model, main, read_safetensors, run, write_safetensors

NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
LAYERS = "language_model.model.layers."


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def to_bf16(value):
    """The bits of a float, rounded to nearest, ties to even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def of_bf16(raw):
    return [struct.unpack("<f", struct.pack("<I", bits << 16))[0] for (bits,) in struct.iter_unpack("<H", raw)]


def pack(kind, values):
    return struct.pack(f"<{len(values)}{kind}", *values)


def nf4(name, shape, values):
    """The stored tensors of bitsandbytes' NF4, and the weight that they mean."""
    flat, codes, scales = [], [], []
    for at in range(0, len(values), 64):
        block = values[at:at + 64]
        scales.append(single(max(abs(v) for v in block)))
        picked = [min(range(16), key=lambda i: abs(NF4[i] * scales[-1] - v)) for v in block]
        codes += picked
        flat += [to_bf16(single(single(NF4[i]) * scales[-1])) for i in picked]
    state = json.dumps({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": shape}).encode()
    stored = {name: ("U8", [len(codes) // 2, 1], bytes(codes[i] << 4 | codes[i + 1] for i in range(0, len(codes), 2))),
              name + ".quant_map": ("F32", [16], pack("f", NF4)),
              name + ".absmax": ("F32", [len(scales)], pack("f", scales)),
              name + ".quant_state.bitsandbytes__nf4": ("U8", [len(state)], state)}
    return stored, pack("H", flat)


def affine(name, shape, values):
    """MLX's affine with 4 bits and groups of 64, and the weight that it means."""
    words, scales, offsets, flat = [], [], [], []
    for at in range(0, len(values), 64):
        group = values[at:at + 64]
        low, high = min(group), max(group)
        scale = of_bf16(pack("H", [to_bf16((high - low) / 15 or 1.0)]))[0]
        offset = of_bf16(pack("H", [to_bf16(low)]))[0]
        codes = [max(0, min(15, round((v - offset) / scale))) for v in group]
        words += [sum(code << 4 * i for i, code in enumerate(codes[j:j + 8])) for j in range(0, 64, 8)]
        scales.append(to_bf16(scale))
        offsets.append(to_bf16(offset))
        for code in codes:
            product = of_bf16(pack("H", [to_bf16(single(code * scale))]))[0]
            flat.append(to_bf16(single(product + offset)))
    rows, columns = shape
    stored = {name: ("U32", [rows, columns // 8], pack("I", words)),
              name.replace(".weight", ".scales"): ("BF16", [rows, columns // 64], pack("H", scales)),
              name.replace(".weight", ".biases"): ("BF16", [rows, columns // 64], pack("H", offsets))}
    return stored, pack("H", flat)


def quantised_model(folder, quantise, is_wanted, settings, rename=lambda name: name):
    """A copy of the bundled model with some weights quantised; the weights that they mean, by name."""
    folder = copy_of_model(folder)
    tensors, meant = {}, {}
    for name, (kind, shape, raw) in read_safetensors(folder / "model.safetensors").items():
        if not is_wanted(name):
            tensors[rename(name)] = (kind, shape, raw)
            continue
        stored, meant[name] = quantise(name, shape, of_bf16(raw))
        tensors.update({rename(key): value for key, value in stored.items()})
    write_safetensors(folder / "model.safetensors", tensors)
    config = json.loads((folder / "config.json").read_text())
    config.update(settings)
    (folder / "config.json").write_text(json.dumps(config))
    return folder, meant


class Quantised(Case):
    @classmethod
    def setUpClass(cls):
        cls.nf4, cls.nf4_meant = quantised_model(
            "nf4", nf4, lambda name: name.startswith(LAYERS + "0.") and name.endswith("_proj.weight"),
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}})
        cls.mlx, cls.mlx_meant = quantised_model(
            "mlx", affine, lambda name: name in ("language_model.lm_head.weight", LAYERS + "1.mlp.up_proj.weight"),
            {"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"group_size": 64, "bits": 4}},
            lambda name: name.replace("vision_model.", "vision_tower."))

    def converted(self, folder, meant, name, *arguments):
        self.succeeds(run("convert", folder, TEMPORARY / name, "--to", "huggingface", *arguments))
        written = read_safetensors(TEMPORARY / name / "model.safetensors")
        self.assertTrue(meant)
        self.assertEqual(set(written), set(read_safetensors(MODEL / "model.safetensors")))
        for key, raw in meant.items():
            self.assertEqual(written[key][0], "BF16")
            self.assertEqual(written[key][2], raw, key)
        config = json.loads((TEMPORARY / name / "config.json").read_text())
        self.assertNotIn("quantization_config", config)
        self.assertNotIn("quantization", config)
        return written

    def test_convert(self):
        self.converted(self.nf4, self.nf4_meant, "from_nf4")
        self.converted(self.mlx, self.mlx_meant, "from_mlx", "--dtype", "bf16")

    def test_same_answer(self):
        """The folder answers as the converted one, whose weights are the same."""
        for folder, meant, name in ((self.nf4, self.nf4_meant, "plain_nf4"), (self.mlx, self.mlx_meant, "plain_mlx")):
            self.converted(folder, meant, name)
            ask = [DATA / "image" / "rgb8.png", "--max-tokens", "12"]
            self.assertEqual(self.succeeds(run("describe", "--model", folder, *ask)),
                             self.succeeds(run("describe", "--model", TEMPORARY / name, *ask)))

    def test_inspect(self):
        report = json.loads(self.succeeds(run("inspect", self.nf4, "--json")))
        self.documented("inspect", report)
        self.assertEqual(report["quant_method"], "bitsandbytes")
        (kind,) = report["quantised"]
        self.assertEqual((kind["format"], kind["bits"], kind["group"]), ("bitsandbytes NF4", 4, "block 64"))
        self.assertEqual(kind["matrices"], len(self.nf4_meant))
        self.assertEqual(kind["widened_bytes"], sum(len(raw) for raw in self.nf4_meant.values()))
        stored = read_safetensors(self.nf4 / "model.safetensors")
        parts = {part["name"]: part for part in report["parts"]}
        self.assertEqual(parts["whole model"]["bytes"], sum(len(raw) for _, _, raw in stored.values()))
        self.assertEqual(parts["self-attention layers"]["quantised_tensors"], len(self.nf4_meant))
        self.assertEqual(parts["self-attention layers"]["quantised_bytes"], kind["bytes"])
        self.assertEqual(parts["vision tower"]["quantised_tensors"], 0)
        page = self.succeeds(run("inspect", self.mlx))
        for words in ("2 matrices are MLX affine, 4 bits, group 64", "not quantised", "embeddings, head"):
            self.assertIn(words, page)

    def test_faults(self):
        folder = copy_of_model("damaged")
        for name in ("config.json", "model.safetensors"):
            (folder / name).write_bytes((self.nf4 / name).read_bytes())
        tensors = read_safetensors(folder / "model.safetensors")
        name = sorted(self.nf4_meant)[0]
        tensors[name + ".quant_map"] = ("F32", [15], tensors[name + ".quant_map"][2][:60])
        write_safetensors(folder / "model.safetensors", tensors)
        for command in (["inspect", folder], ["convert", folder, TEMPORARY / "none", "--to", "huggingface"],
                        ["describe", "--model", folder, DATA / "image" / "rgb8.png"]):
            self.fails(run(*command), name + ".quant_map", "must be [16]")
        config = json.loads((self.nf4 / "config.json").read_text())
        config["quantization_config"]["quant_method"] = "gptq"
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes((self.nf4 / "model.safetensors").read_bytes())
        self.fails(run("inspect", folder), "bitsandbytes NF4", 'quantization_config: quant_method is "gptq"')


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""A plain reading of transformers' mllama weights as Meta computes the model: the same numbers, several times as fast to train.

Identical padded tiles and padding rows of the tower are one row each with the logarithm of their number added to their
score as a key; several questions about a picture stand in one row of the batch and do not see each other."""
import torch
import torch.nn.functional as F

from folder import MEAN, RATIOS, STD


def attend(q, k, v, bias=None):
    """Attention as two products; on a CPU its backward pass is several times as fast as the fused one's."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    scores = scores.float() if bias is None else scores + bias
    return scores.softmax(-1).to(v.dtype) @ v


class RootMeanSquare(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) * w, with the backward pass written out: r (g w - x r^2 mean(g w x))."""

    @staticmethod
    def forward(ctx, x, w, eps):
        x = x.float()
        r = (x.square().mean(-1, keepdim=True) + eps).rsqrt_()
        ctx.save_for_backward(x, w, r)
        return (x * r).mul_(w)

    @staticmethod
    def backward(ctx, g):
        x, w, r = ctx.saved_tensors
        y = x * r
        gy = g * y
        mean = (gy @ w).unsqueeze_(-1) / x.shape[-1]
        return (g * w).sub_(y.mul_(mean)).mul_(r), gy.reshape(-1, x.shape[-1]).sum(0), None


class Fast:
    def __init__(self, model, config):
        self.m, self.v, self.t = model, config.vision_config, config.text_config
        self.biases = {}
        self.scale = 1 / (255 * torch.tensor(STD)).repeat_interleave(196)
        self.shift = -(torch.tensor(MEAN) / torch.tensor(STD)).repeat_interleave(196)

    def bias(self, tiles, n):
        """Additive mask of the tower for so many real tiles: multiplicities of keys, no padding row sees another."""
        if tiles not in self.biases:
            pad, rest = -n % 8, 4 - tiles
            many = ([1.0] * n + [pad]) * tiles + ([rest] * n + [rest * pad] if rest else [])
            padding = ([False] * n + [True]) * tiles + ([True] * (n + 1) if rest else [])
            many, padding = torch.tensor(many), torch.tensor(padding)
            b = many.log()[None].repeat(len(many), 1)
            b[padding[:, None] & padding[None]] = -1e9
            self.biases[tiles] = b
        return self.biases[tiles]

    def block(self, layer, x, bias):
        b, rows, d = x.shape
        a, mlp = layer.self_attn, layer.mlp
        qkv = F.linear(layer.input_layernorm(x), torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]))
        q, k, v = qkv.view(b, rows, 3, a.num_heads, -1).permute(2, 0, 3, 1, 4)
        o = a.o_proj(attend(q, k, v, bias).transpose(1, 2).reshape(b, rows, d))
        x = x + (layer.gate_attn.tanh() * o if layer.is_gated else o)
        o = mlp.fc2(F.gelu(mlp.fc1(layer.post_attention_layernorm(x))))
        return x + (layer.gate_ffn.tanh() * o if layer.is_gated else o)

    def vision(self, patches, ratio):
        """patches (pictures, tiles, patches of a tile, 588) in bytes -> (pictures, tiles * (patches + 1), text width)."""
        v, (h, w) = self.m.model.vision_model, RATIOS[ratio - 1]
        b, tiles, p, _ = patches.shape
        d, n = self.v.hidden_size, p + 1
        assert tiles == h * w
        x = F.linear(patches.float() * self.scale + self.shift, v.patch_embedding.weight.view(d, -1)).float()
        pre, post, place = v.pre_tile_positional_embedding, v.post_tile_positional_embedding, v.gated_positional_embedding
        x = x + pre.gate.tanh() * pre.embedding.weight[ratio].view(4, 1, d)[:tiles]
        gate = place.gate.tanh()
        base = (1 - gate) * place.embedding
        cls = v.class_embedding.view(1, 1, 1, d)
        x = torch.cat([cls.expand(b, tiles, 1, d), x], 2) + base + gate * place.tile_embedding.weight[ratio].view(4, n, d)[:tiles]
        x = F.pad(v.layernorm_pre(x), (0, 0, 0, 1)).reshape(b, tiles * (n + 1), d)
        if tiles < 4:
            empty = torch.cat([v.class_embedding.view(1, d), torch.zeros(p, d)]) + base
            x = torch.cat([x, F.pad(v.layernorm_pre(empty), (0, 0, 0, 1)).expand(b, n + 1, d)], 1)
        bias, real = self.bias(tiles, n), tiles * (n + 1)

        def drop(y):  # the padding row of each real tile and the padded tile
            return y[:, :real].reshape(b, tiles, n + 1, d)[:, :, :n].reshape(b, tiles * n, d)
        taps = []
        for i, layer in enumerate(v.transformer.layers):
            if i in self.v.intermediate_layers_indices:
                taps.append(drop(x))
            x = self.block(layer, x, bias)
        x = v.layernorm_post(x)
        e = post.gate.tanh() * post.embedding.weight[ratio].view(4, 1, d)[:tiles]
        x = torch.cat([x[:, :real] + e.expand(tiles, n + 1, d).reshape(real, d), x[:, real:]], 1)
        for layer in v.global_transformer.layers:
            x = self.block(layer, x, bias)
        return self.m.model.multi_modal_projector(torch.cat([drop(x), torch.stack(taps, -1).flatten(2)], -1))

    def text(self, image, ids, place, segment, sees):
        """ids, place, segment, sees (rows, tokens) -> hidden states after the last norm; image None skips the cross layers."""
        t, c = self.m.model.language_model, self.t
        b, n = ids.shape
        heads, pairs = c.num_attention_heads, c.num_attention_heads // c.num_key_value_heads
        size = c.hidden_size // heads
        x = t.embed_tokens(ids)
        cos, sin = (z[:, None] for z in t.rotary_emb(x, place))
        order = torch.arange(n)
        allowed = (segment[:, :, None] == segment[:, None]) & (order[:, None] >= order[None])
        bias = torch.zeros(b, 1, n, n).masked_fill_(~allowed[:, None], -1e9).repeat(1, 1, pairs, 1)
        row = sees[:, :, None].float()

        def turn(z):
            return z * cos + torch.cat([-z[..., size // 2:], z[..., :size // 2]], -1) * sin

        def norm(module, z):
            return RootMeanSquare.apply(z, module.weight, c.rms_norm_eps)

        def split(z):
            return z.view(b, z.shape[1], -1, size).transpose(1, 2)

        def shared(q, k, v, mask=None):
            """Query heads that share a key and value head stand one after the other."""
            q = q.to(v.dtype).reshape(b, heads // pairs, pairs * n, size)
            return attend(q, k.to(v.dtype), v, mask).view(b, heads, n, size).transpose(1, 2).reshape(b, n, -1)

        def swiglu(m, z):
            gate, up = F.linear(z, torch.cat([m.gate_proj.weight, m.up_proj.weight])).chunk(2, -1)
            return m.down_proj(F.silu(gate) * up)
        for i, layer in enumerate(t.layers):
            if i in c.cross_attention_layers:
                if image is None:
                    continue
                a = layer.cross_attn
                q = norm(a.q_norm, split(a.q_proj(norm(layer.input_layernorm, x))))
                k, v = (split(f(image)) for f in (a.k_proj, a.v_proj))
                x = x + layer.cross_attn_attn_gate.tanh() * row * a.o_proj(shared(q, norm(a.k_norm, k), v))
                x = x + layer.cross_attn_mlp_gate.tanh() * row * swiglu(layer.mlp, norm(layer.post_attention_layernorm, x))
            else:
                a = layer.self_attn
                qkv = F.linear(norm(layer.input_layernorm, x), torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]))
                q, k, v = (split(z) for z in qkv.split([heads * size, heads * size // pairs, heads * size // pairs], -1))
                x = x + a.o_proj(shared(turn(q), turn(k), v, bias))
                x = x + swiglu(layer.mlp, norm(layer.post_attention_layernorm, x))
        return norm(t.norm, x)

"""Text encoders: BERT in transformers' layout, and what the methods take from it, word by word."""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertModel

from synvlp.job import JobError
from synvlp.store import files, weights

# Names that published files carry and a bare BERT has no place for.
FOREIGN = ("cls.", "pooler.", "bert.pooler.")


def build(vocabulary: int, layers: int, hidden: int, heads: int, length: int, dropout: float) -> BertModel:
    """A BERT (Devlin et al., 2019) with random weights from torch's generator.

    Args:
        vocabulary: number of subwords.
        layers, hidden, heads: Transformer layers, their width, and attention heads that divide it.
        length: tokens of the longest text, with [CLS] and [SEP].
        dropout: share of activations and attention that is dropped in training.

    Beside a BERT that is made for long training on much text, it begins with what words say: weights spread with
    the inverse root of the width (0.02 at 768), places of words in the text count a tenth, and token types nothing.
    Texts then differ from the first step on; with equal parts, all reports begin with almost the same feature.

    Raises JobError if the heads do not divide the width.
    """
    if hidden % heads:
        raise JobError(f"text_heads = {heads} does not divide text_hidden = {hidden}")
    config = BertConfig(
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=length,
        type_vocab_size=2,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=0,
        initializer_range=0.02 * (768 / hidden) ** 0.5,
    )
    model = _bare(config)
    with torch.no_grad():
        model.embeddings.token_type_embeddings.weight.zero_()
        model.embeddings.position_embeddings.weight.mul_(0.1)
    return model


def load(config_path: Path, weights_path: Path, layers: int | None = None) -> BertModel:
    """The BERT that a config (JSON) and a weights file (safetensors) describe, on the CPU, in eval mode.

    Args:
        config_path, weights_path: config.json and model.safetensors of a folder in transformers' layout.
        layers: how many of the first Transformer layers to keep; None keeps all.

    Raises JobError naming the first key that does not fit.
    """
    try:
        described = files.read_json(config_path)
        state = weights.load(weights_path)
    except ValueError as error:
        raise JobError(f"{config_path}, {weights_path}: not a readable text encoder ({error})") from error
    if not isinstance(described, dict) or described.get("model_type") != "bert":
        raise JobError(f"{config_path}: a text encoder is a BERT (model_type bert)")
    config = BertConfig.from_dict(described)
    if layers is not None and layers > config.num_hidden_layers:
        raise JobError(f"{config_path}: has {config.num_hidden_layers} layers, fewer than text_layers = {layers}")
    config.num_hidden_layers = layers or config.num_hidden_layers
    model = _bare(config)
    _fill(model, state, weights_path)
    return model.eval()


def save(model: BertModel, config_path: Path, weights_path: Path) -> None:
    """Write config.json and model.safetensors, which `AutoModel.from_pretrained` opens."""
    described = model.config.to_dict()
    described.pop("transformers_version", None)
    described.update(architectures=["BertModel"], dtype="float32")
    described.pop("_attn_implementation", None)
    files.write_json(config_path, described)
    weights.save(model.state_dict(), weights_path)


def freeze(model: BertModel, layers: int) -> None:
    """Stop the training of the embeddings and the first `layers` Transformer layers; 0 stops nothing."""
    if layers:
        for part in (model.embeddings, *model.encoder.layer[:layers]):
            part.requires_grad_(False)


def encode(
    model: BertModel, ids: Tensor, lengths: Tensor, word_of: Tensor, last_layers: int = 1, words: int | None = None
) -> dict[str, Tensor]:
    """Token and word features of texts.

    Args:
        model: a BERT.
        ids: int64 (B, T) subwords, [CLS] first and [SEP] last, then padding.
        lengths: int64 (B,) tokens that are no padding.
        word_of: int64 (B, T) index of the word that a subword belongs to; -1 for [CLS], [SEP] and padding.
        last_layers: how many of the last layers' outputs are summed.
        words: W, at least the words of the longest text; None: as many.

    Returns:
        tokens (B, T, H) and their mask, bool (B, T); cls (B, H), the first token's feature; words (B, W, H), the
        sum of each word's subwords, zero past word_lengths (B,); word_attention (B, W), how much the last layer's
        [CLS] attends to each word, mean over heads and sum over subwords, rows summing to 1.
    """
    mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    output = model(
        input_ids=ids, attention_mask=mask.long(), output_hidden_states=last_layers > 1, output_attentions=True
    )
    tokens = output.last_hidden_state
    if last_layers > 1:
        tokens = torch.stack(output.hidden_states[-last_layers:]).sum(0)
    word_lengths = word_of.amax(1) + 1
    places = torch.arange(words or int(word_lengths.max().clamp_min(1)), device=ids.device)
    member = (word_of[:, None] == places[:, None]).to(tokens.dtype)  # (B, W, T)
    attention = output.attentions[-1][:, :, 0].float().mean(1)  # (B, T)
    by_word = (member.float() @ attention[..., None]).squeeze(-1)
    return {
        "tokens": tokens,
        "mask": mask,
        "cls": tokens[:, 0],
        "words": member @ tokens,
        "word_lengths": word_lengths,
        "word_attention": by_word / by_word.sum(1, keepdim=True).clamp_min(1e-12),
    }


def _bare(config: BertConfig) -> BertModel:
    config._attn_implementation = "eager"  # the only one that returns attention, and its backward is deterministic
    return BertModel(config, add_pooling_layer=False)


def _fill(model: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    own = model.state_dict()
    given = {}
    for name, value in state.items():
        if not name.startswith(FOREIGN):
            name = name.removeprefix("bert.").replace(".gamma", ".weight").replace(".beta", ".bias")
            given[name] = value
    for name, value in own.items():
        if name not in given:
            raise JobError(f"{source}: the weights lack {name!r}")
        if given[name].shape != value.shape:
            have, want = tuple(given[name].shape), tuple(value.shape)
            raise JobError(f"{source}: {name!r} has the shape {have}, but the config says {want}")
    model.load_state_dict({name: given[name] for name in own})

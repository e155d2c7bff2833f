"""Train a tokenizer on the texts of the train split, or adopt a given one.

A WordPiece tokenizer of BERT's kind (lower case, [PAD] [UNK] [CLS] [SEP] [MASK]), which opens with transformers'
`AutoTokenizer.from_pretrained(folder, local_files_only=True)`.
"""

import json
from pathlib import Path
from typing import Any

from synvlp import job
from synvlp.store import files, tables

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class Settings(job.Settings):
    vocabulary: int = job.setting(8192, "most subwords; texts with fewer words give fewer", unit="subwords", ge=100)
    min_frequency: int = job.setting(2, "how often a piece must occur to become one subword", ge=1)
    tokenizer_folder: str | None = job.setting(
        None, "folder of a published tokenizer of BERT's kind to use instead, e.g. that of Bio_ClinicalBERT"
    )


class Inputs(job.Files):
    prompts: list[Path] = job.file("prompts with the encoders' texts (Parquet)")


class Outputs(job.Files):
    tokenizer: Path = job.file("tokenizer.json")
    config: Path = job.file("tokenizer_config.json")


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    if settings.tokenizer_folder:
        content = adopt(Path(settings.tokenizer_folder))
    else:
        content = train(_training_texts(inputs.prompts), settings.vocabulary, settings.min_frequency)
    job.log.info("the tokenizer has %d subwords", len(json.loads(content)["model"]["vocab"]))
    files.write_text(outputs.tokenizer, content)
    files.write_json(outputs.config, describe())


def train(texts: list[str], vocabulary: int, min_frequency: int) -> str:
    """The tokenizer.json of a WordPiece tokenizer (Schuster and Nakajima, 2012) for these texts.

    Raises JobError if they hold no word.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    # The trainer numbers letters in the order of a hash table that differs between processes, and breaks ties by
    # these numbers. Letters that are given as special tokens have fixed numbers; below they become plain again.
    special = SPECIAL + _letters(made, texts)
    pieces = trainers.WordPieceTrainer(
        vocab_size=vocabulary, min_frequency=min_frequency, special_tokens=special, show_progress=False
    )
    made.train_from_iterator(texts, pieces)
    if special == SPECIAL:
        raise job.JobError("the texts of the train split hold no word to make a tokenizer from")
    first, last = (made.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    made.post_processor = processors.BertProcessing(("[SEP]", last), ("[CLS]", first))
    content = json.loads(made.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in SPECIAL]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _letters(reader: Any, texts: list[str]) -> list[str]:
    """All letters that begin a word, and with ## those that go on with one, in order."""
    found = set()
    for text in texts:
        for word, _ in reader.pre_tokenizer.pre_tokenize_str(reader.normalizer.normalize_str(text)):
            found.add(word[0])
            found.update(f"##{letter}" for letter in word[1:])
    return sorted(found)


def adopt(folder: Path) -> str:
    """The tokenizer.json of a tokenizer in transformers' layout. Raises JobError if there is none of BERT's kind."""
    from tokenizers import Tokenizer
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    if not folder.is_dir():
        raise job.JobError(f"tokenizer_folder = {folder}: there is no such folder")
    try:
        opened = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        inner: Any = opened.backend_tokenizer
    except Exception as error:
        raise job.JobError(f"tokenizer_folder = {folder}: not a tokenizer that opens ({error})") from error
    content = inner.to_str(pretty=True)
    if [Tokenizer.from_str(content).token_to_id(name) is not None for name in SPECIAL].count(False):
        raise job.JobError(f"tokenizer_folder = {folder}: a tokenizer of BERT's kind has {', '.join(SPECIAL)}")
    return content


def describe() -> dict[str, object]:
    """The content of tokenizer_config.json."""
    named = {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    return {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "do_lower_case": True, **named}


def _training_texts(paths: list[Path]) -> list[str]:
    frame = tables.read_all(paths, tables.PROMPTS, ["study_id", "split", "text"])
    texts = frame.text[frame.split == "train"].tolist()
    job.log.info("read %d texts, %d of them of the train split", len(frame), len(texts))
    return texts

"""Remember the mean image of each word, and draw the mean of a prompt's words with noise on it."""

from pathlib import Path

from synvlp import job
from synvlp.generators import options
from synvlp.models import generator

READS = ("temperature",)


class Settings(options.Prompted):
    grain: float = job.setting(9.0, "deviation of the noise", unit="gray levels", ge=0)


class Inputs(job.Files):
    images: Path = job.file("images of the corpus (Parquet)")
    studies: Path = job.file("studies of the corpus (Parquet)")
    prompts: Path = job.file("prompts of the corpus (Parquet)")


class Outputs(generator.Trained):
    pass


def run(settings: Settings, inputs: Inputs, outputs: Outputs) -> None:
    import torch

    from synvlp.generators import curves, prompted, samples, vocabulary

    seen, _ = prompted.read(settings, inputs)
    tokenizer = vocabulary.train(seen.prompt, settings.vocabulary, settings.tokens)
    data = prompted.tokenized(tokenizer, seen)
    has = torch.stack([(data.ids == word).any(1) for word in range(len(tokenizer))]).float()
    means = has @ data.pixels.float().flatten(1) / has.sum(1, keepdim=True).clamp(min=1)
    parts = generator.Parts("toy", {"network": {"grain": settings.grain}}, {"means": means}, tokenizer)
    generator.write(parts, outputs)
    curve = [{"step": 1, "phase": "train", "name": "loss", "value": 0.0}]
    curves.write(curve, outputs.curve)
    curves.draw(curve, outputs.curve_picture)
    samples.draw(seen.pixels[:2], seen.prompt[:2], outputs.samples)


class Sampler:
    def __init__(self, parts: generator.Parts, temperature: float) -> None:
        self.parts, self.noise = parts, temperature * parts.networks["network"]["grain"]

    def cut(self, prompts):
        return 0, self.parts.tokenizer.model_max_length

    def embed(self, prompts):
        import torch

        ids = self.parts.tokenizer(list(prompts))["input_ids"]
        return torch.stack([self.parts.weights["means"][row].mean(0) for row in ids])

    def draw(self, embeddings, seeds):
        import torch

        side = round(embeddings.shape[1] ** 0.5)
        noise = torch.stack([torch.randn(side**2, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        made = (embeddings + self.noise * noise).clamp(0, 255).to(torch.uint8).view(-1, side, side)
        yield made.numpy(), torch.ones(len(seeds), dtype=torch.bool).numpy()


def open_sampler(paths, settings, device) -> Sampler:
    return Sampler(generator.read(paths), settings.temperature)

"""The GAN: its losses, its penalty and its augmentations against plain ones, and its networks."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from synvlp import job
from synvlp.generators import adversarial, prompted, vocabulary
from synvlp.generators.kinds import gan as training
from synvlp.models import gan, parallel

SCORES = {
    "real": torch.tensor([2.0, -0.5, 0.3]),
    "made": torch.tensor([-3.0, 0.2, 1.5]),
    "wrong": torch.tensor([0.5, -1.5, 4.0]),
}


@pytest.mark.parametrize("kind", ["relativistic", "logistic", "hinge"])
def test_the_losses_are_the_plain_ones(kind):
    real, made, wrong = (value.numpy() for value in SCORES.values())
    differs = np.array([True, True, False])
    found = adversarial.discriminator_losses(SCORES, torch.from_numpy(differs), kind, mismatch=0.3)
    wanted, fooled = plain_losses(real, made, wrong, differs, kind, 0.3)
    assert float(found["discriminator"]) == pytest.approx(wanted, rel=1e-5)
    assert float(found["score_wrong"]) == pytest.approx(wrong.mean())
    assert float(adversarial.generator_loss(SCORES["made"], SCORES["real"], kind)) == pytest.approx(fooled, rel=1e-5)


def plain_losses(real, made, wrong, differs, kind, mismatch):
    """The discriminator's and the generator's losses, image by image."""
    softplus, hinge = (lambda x: np.log1p(np.exp(x))), (lambda x: max(0.0, 1 + x))
    judged, fooled = [], []
    for good, bad, other, counts in zip(real, made, wrong, differs, strict=True):
        if kind == "relativistic":
            judged.append((1 - mismatch) * softplus(bad - good) + mismatch * counts * softplus(other - good))
            fooled.append(softplus(good - bad))
            continue
        cost = softplus if kind == "logistic" else hinge
        judged.append(cost(-good) + (1 - mismatch) * cost(bad) + mismatch * counts * cost(other))
        fooled.append(softplus(-bad) if kind == "logistic" else -bad)
    return np.mean(judged), np.mean(fooled)


def test_likeness_is_how_much_of_the_wanted_distance_is_lacking():
    first = torch.zeros(3, 1, 8, 8)
    second = torch.stack([torch.full((1, 8, 8), value) for value in (0.0, 0.1, 0.7)])
    found = adversarial.likeness(first, second, torch.tensor(0.4))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.75, 0.0]))
    grain = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)
    torch.testing.assert_close(adversarial.likeness(first, first + grain, torch.tensor(0.4)), torch.ones(3))


def test_the_penalty_is_the_squared_slope_and_can_be_minimized():
    torch.manual_seed(0)
    images = torch.randn(3, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    penalty = adversarial.gradient_penalty(weight * images.square().sum((1, 2, 3)), images)
    squares = images.detach().square().sum((1, 2, 3))
    torch.testing.assert_close(penalty.detach(), (4 * 0.7**2 * squares).mean())  # ∇ of w Σx² is 2wx
    penalty.backward()
    torch.testing.assert_close(weight.grad, (8 * 0.7 * squares).mean())


def test_the_discriminators_score_is_the_projection():
    torch.manual_seed(0)
    network = gan.Discriminator(16, [8, 16], features=12, width=6)
    images, states = torch.randn(2, 1, 16, 16), torch.randn(2, 5, 6)
    present = torch.tensor([[True] * 5, [True, True, False, False, False]])
    states = states * present[:, :, None]
    found = network(network.features(images), states, present).detach()
    for place, count in enumerate((5, 2)):
        features = network.features(images[place : place + 1])[0]
        text = states[place, :count].mean(0)
        wanted = network.real(features)[0] + features @ (network.text.weight @ text + network.text.bias) / 12**0.5
        torch.testing.assert_close(found[place], wanted.detach())


def test_the_generator_uses_all_of_its_noise_and_its_text():
    torch.manual_seed(0)
    network = gan.Generator(16, [8, 16], vector=4, width=8, groups=4, heads=2, words=1)
    noise, states = torch.randn(3, network.noise, requires_grad=True), torch.randn(3, 2, 8, requires_grad=True)
    assert network.noise == 4 + 4 * 4 + 8 * 8 + 16 * 16
    made = network(noise, states, torch.ones(3, 2, dtype=torch.bool))
    assert made.shape == (3, 1, 16, 16) and made.abs().max() < 1
    made.square().sum().backward()
    assert (noise.grad != 0).all() and (states.grad != 0).all()


def test_without_strength_nothing_is_altered():
    images = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(adversarial.alter(images, torch.rand(4, 6), 0, 0, 0, 0), images)


def test_brightness_and_contrast():
    images, drawn = torch.randn(3, 1, 8, 8), torch.rand(3, 6)
    found = adversarial.alter(images, drawn, 0.4, 0.5, 0, 0)
    for place in range(3):
        brighter = images[place] + 0.4 * (2 * drawn[place, 0] - 1)
        mean = brighter.mean()
        torch.testing.assert_close(found[place], mean + (brighter - mean) * (1 + 0.5 * (2 * drawn[place, 1] - 1)))


def test_shifts_are_those_of_a_loop_over_pixels():
    torch.manual_seed(0)
    images, drawn = torch.randn(40, 1, 8, 8), torch.rand(40, 6)
    found = adversarial.alter(images, drawn, 0, 0, 0.25, 0)
    moves = set()
    for place in range(40):
        down, right = (int(value * 5) - 2 for value in drawn[place, 2:4])
        moves.add((down, right))
        wanted = torch.full((8, 8), -1.0)
        for row in range(8):
            for column in range(8):
                if 0 <= row + down < 8 and 0 <= column + right < 8:
                    wanted[row, column] = images[place, 0, row + down, column + right]
        torch.testing.assert_close(found[place, 0], wanted)
    assert {move for pair in moves for move in pair} == {-2, -1, 0, 1, 2}


def test_a_square_is_cut_out():
    torch.manual_seed(0)
    found = adversarial.alter(torch.ones(200, 1, 8, 8), torch.rand(200, 6), 0, 0, 0, 0.5)
    hidden = found[:, 0] == -1
    assert (hidden | (found[:, 0] == 1)).all()
    rows, columns = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert rows.max() == columns.max() == 4 and rows.min() >= 2
    assert torch.equal(hidden.sum((1, 2)), rows * columns)


def test_gradients_flow_through_all_alterations():
    torch.manual_seed(0)
    images = torch.randn(6, 1, 8, 8, requires_grad=True)
    found = adversarial.alter(images, torch.rand(6, 6), 0.2, 0.3, 0.25, 0.5)
    assert found.shape == images.shape
    found.square().sum().backward()
    assert images.grad.isfinite().all() and (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_other_texts_are_those_of_a_loop():
    rows = [[1, 2], [1, 2], [3, 3], [1, 2], [4, 4]]
    found, differs = adversarial.other_texts(torch.tensor(rows))
    wanted = []
    for place in range(5):
        following = [rows[(place + step) % 5] for step in range(1, 5)]
        wanted.append(next(row for row in following if row != rows[place]))
    assert found.tolist() == wanted and differs.all()
    _, differs = adversarial.other_texts(torch.tensor([[1, 2], [1, 2]]))
    assert not differs.any()


def test_each_player_has_weights_of_its_own(tools):
    tokenizer = vocabulary.train(["left effusion"], 600, 12)
    players = training.build(training.Settings(**tools.gan), tokenizer)
    first, second = (players[side]["text_encoder"].state_dict() for side in adversarial.SIDES)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_what_it_draws_follows_the_text(corpus, tools):
    settings = training.Settings(
        **tools.gan
        | {"channels": [16, 16], "steps": 120, "batch": 16, "validate_every": 120}
        | {"penalty_every": 8, "average": 0.9, "text_width": 32, "apart": 0.1}
    )
    seen, _ = prompted.read(settings, training.Inputs(**corpus))
    tokenizer = vocabulary.train(seen.prompt, 600, 12)
    players, data = training.build(settings, tokenizer), prompted.tokenized(tokenizer, seen)
    scratch = job.Scratch("synvlp.generators.kinds.gan", settings, job.Files())
    best, curve = adversarial.fit(players, settings, scratch, torch.device("cpu"), data, data, parallel.ALONE)
    torch.manual_seed(5)
    with torch.no_grad():
        made = adversarial.generate(best, torch.randn(16, best["network"].noise), data.ids)[:, 0]
    brighter = (made[:, :, :8].mean((1, 2)) - made[:, :, 8:].mean((1, 2))).numpy()
    left = np.array(["left" in prompt for prompt in seen.prompt])
    assert ((brighter > 0.2) == left).all() and ((brighter < -0.2) == ~left).all()
    first, second = adversarial.coarse(made[:, None]).split(8)  # images of the same texts
    assert (left[:8] == left[8:]).all() and adversarial.distance(first, second).mean() > 0.06  # 0.04 without the term
    scores = {row["name"]: row["value"] for row in curve if row["phase"] == "train"}
    assert scores["score_wrong"] < scores["score_real"] - 1  # it tells whose text it is


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_size": 18}, "image_size = 18 is not a multiple of 4, by which 2 scales shrink"),
        ({"channels": [8, 0]}, "channels.1\n.*greater than or equal to 1"),
        ({"attending": 3}, "attending = 3 is more than the scales of channels, 2"),
        ({"text_heads": 3}, "text_width = 16 is not a multiple of text_heads = 3"),
    ],
)
def test_settings_that_do_not_fit_say_so(tools, wrong, message):
    with pytest.raises(ValidationError, match=message):
        training.Settings(**tools.gan | wrong)


@pytest.mark.parametrize("equal", [False, True], ids=["one image a batch", "equal images"])
def test_images_without_a_distance_between_them_can_be_learned_from(corpus, tools, equal):
    settings = training.Settings(**tools.gan | ({} if equal else {"batch": 1}))
    seen, _ = prompted.read(settings, training.Inputs(**corpus))
    tokenizer = vocabulary.train(seen.prompt, 600, 12)
    players, data = training.build(settings, tokenizer), prompted.tokenized(tokenizer, seen)
    pixels = data.pixels[:1].expand_as(data.pixels) if equal else data.pixels
    game = adversarial.Game(players, settings, torch.device("cpu"), prompted.Data(pixels, data.ids), parallel.ALONE)
    for step in range(2):
        assert np.isfinite(list(game.play(step).values())).all()
    assert all(value.isfinite().all() for value in players.state_dict().values())


def test_a_loss_that_is_no_number_says_so(corpus, tools, tmp_path):
    settings = training.Settings(**tools.gan | {"rate": 1e30, "penalty": 0})
    with pytest.raises(job.JobError, match=r"loss is (nan|inf) at step \d+; lower rate"):
        training.run(settings, training.Inputs(**corpus), tools.generator_outputs(tmp_path, training))

"""What is planted in drawn reports is in none of the lists that detection knows: recall is not bought by looking up."""

from synvlp.corpora import planted
from synvlp.reports.lexicons import words


def test_planted_names_and_places_are_unknown_to_the_detectors():
    paths = list(words.FOLDER.glob("*.txt"))
    lists = {path.stem: set(path.read_text(encoding="utf-8").lower().split("\n")) for path in paths}
    assert len(lists) >= 10
    for word in planted.planted_words():
        for name, known in lists.items():
            assert word.lower() not in known, f"{word} is planted, and stands in {name}.txt"

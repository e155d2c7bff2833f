"""Sets of concepts: caps hold exactly, contradictions are never drawn, impossible requests say what is possible."""

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, milp

from synvlp import job
from synvlp.concepts import observed, sampling, urn
from synvlp.concepts.vocabulary import Concept, closed
from synvlp.store import tables


def concepts(findings: int, anatomy: int = 0, pairs: tuple = ()) -> dict[str, Concept]:
    excludes: dict[str, list[str]] = {}
    for one, other in pairs:
        excludes.setdefault(f"f{one}", []).append(f"f{other}")
    kinds = {**{f"f{n}": "abnormality" for n in range(findings)}, **{f"a{n}": "anatomy" for n in range(anatomy)}}
    made = [Concept(name, kind, (), "", "", tuple(excludes.get(name, ()))) for name, kind in kinds.items()]
    return {concept.name: concept for concept in closed(made)}


def check(sets: list[list[str]], vocabulary: dict[str, Concept], chosen: sampling.Settings) -> None:
    counts = Counter(name for names in sets for name in names)
    assert len(sets) == chosen.count and max(counts.values()) <= chosen.cap
    for names in sets:
        assert len(set(names)) == len(names) == chosen.findings + chosen.anatomy
        kinds = [vocabulary[name].kind == "anatomy" for name in names]
        assert kinds == sorted(kinds) and sum(kinds) == chosen.anatomy
        assert all(set(vocabulary[name].excludes).isdisjoint(names) for name in names)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 6), st.integers(1, 7), st.integers(0, 1000))
def test_every_request_that_the_caps_allow_is_met(findings, more, anatomy, cap, seed):
    vocabulary = concepts(findings + more, anatomy)
    wanted = min(anatomy, 2)
    limits = [(findings + more) * cap // findings, *([anatomy * cap // wanted] if wanted else [])]
    chosen = sampling.Settings(count=min(limits), findings=findings, anatomy=wanted, cap=cap, seed=seed)
    check(sampling.balanced(chosen, vocabulary), vocabulary, chosen)
    over = chosen.model_copy(update={"count": min(limits) + 1})
    with pytest.raises(job.JobError, match=f"at most {min(limits)} reports"):
        sampling.balanced(over, vocabulary)


@pytest.mark.parametrize(("size", "cap", "chosen"), [(4, 2, 2), (5, 2, 3), (3, 4, 2), (4, 1, 3), (3, 2, 3), (2, 5, 3)])
def test_the_largest_number_is_that_of_trying_everything(size, cap, chosen):
    sets = list(itertools.combinations(range(size), chosen))

    def most(left: tuple[int, ...], first: int) -> int:
        """Sets that fit under what is left, tried in every order of the combinations."""
        best = 0
        for place in range(first, len(sets)):
            if all(left[item] for item in sets[place]):
                rest = tuple(count - (item in sets[place]) for item, count in enumerate(left))
                best = max(best, 1 + most(rest, place))
        return best

    assert urn.largest([urn.Pool([str(item) for item in range(size)], chosen, cap)]) == most((cap,) * size, 0)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] < pair[1]), max_size=10),
       st.integers(0, 1000))  # fmt: skip
def test_what_excludes_each_other_is_never_drawn_together(pairs, seed):
    vocabulary = concepts(12, 4, tuple(pairs))
    chosen = sampling.Settings(count=20, findings=2, anatomy=1, cap=10, seed=seed)
    check(sampling.balanced(chosen, vocabulary), vocabulary, chosen)


def test_dead_ends_are_resolved_by_exchanges():
    """Every ball is needed, and each concept excludes one other: hardly any order of drawing ends well by itself."""
    vocabulary = concepts(8, 0, ((0, 1), (2, 3), (4, 5), (6, 7)))
    for seed in range(20):
        chosen = sampling.Settings(count=8, findings=4, anatomy=0, cap=4, seed=seed)
        sets = sampling.balanced(chosen, vocabulary)
        check(sets, vocabulary, chosen)
        assert set(Counter(name for names in sets for name in names).values()) == {4}


@pytest.mark.parametrize("seed", range(40))
def test_as_many_sets_are_found_as_an_integer_program_finds(seed):
    """Small vocabularies with many exclusions: the number of times that each possible set is drawn, at its largest."""
    rng = np.random.default_rng(seed)
    size, chosen, cap = int(rng.integers(4, 8)), int(rng.integers(2, 4)), int(rng.integers(2, 5))
    pairs = [pair for pair in itertools.combinations(range(size), 2) if rng.random() < 0.25]
    possible = [
        names
        for names in itertools.combinations(range(size), chosen)
        if not set(itertools.combinations(names, 2)) & set(pairs)
    ]
    if not possible:
        return
    holds = np.array([[item in names for names in possible] for item in range(size)], float)
    program = milp(-np.ones(len(possible)), constraints=LinearConstraint(holds, ub=cap), integrality=1)
    most = round(-program.fun)
    vocabulary = concepts(size, 0, tuple(pairs))
    settings = sampling.Settings(count=most, findings=chosen, anatomy=0, cap=cap, seed=seed)
    check(sampling.balanced(settings, vocabulary), vocabulary, settings)
    with pytest.raises(job.JobError, match=r"at most|only"):
        sampling.balanced(settings.model_copy(update={"count": most + 1}), vocabulary)


def test_exclusions_that_leave_too_little_are_said_to_be_the_reason():
    vocabulary = concepts(4, 0, ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3)))
    chosen = sampling.Settings(count=4, findings=2, anatomy=0, cap=3)
    with pytest.raises(job.JobError, match=r"caps alone allow 6 reports, .* only 3 sets"):
        sampling.balanced(chosen, vocabulary)


def test_too_few_concepts_for_one_report():
    with pytest.raises(job.JobError, match=r"only 2 concepts .* largest possible number of reports is 0"):
        sampling.balanced(sampling.Settings(findings=3, anatomy=0), concepts(2))


def test_an_impossible_request_names_the_cap_that_would_do():
    chosen = sampling.Settings(count=100, findings=3, anatomy=1, cap=20)
    with pytest.raises(job.JobError, match=r"at most 33 reports .* cap must be 60 or more"):
        sampling.balanced(chosen, concepts(5, 5))
    sampling.balanced(chosen.model_copy(update={"cap": 60}), concepts(5, 5))
    with pytest.raises(job.JobError, match=r"anatomy = 1 .* at most 20 reports .* cap must be 100 or more"):
        sampling.balanced(chosen, concepts(5, 1))


def test_what_is_left_of_the_cap_weighs():
    """With room under the caps, frequencies stay closer together than those of draws with equal chances."""
    vocabulary = concepts(20)
    chosen = sampling.Settings(count=100, findings=2, anatomy=0, cap=12)
    counts = Counter(name for names in sampling.balanced(chosen, vocabulary) for name in names)
    rng = np.random.default_rng(0)
    equal = np.bincount(np.concatenate([rng.choice(20, 2, replace=False) for _ in range(100)]), minlength=20)
    assert np.std([counts[name] for name in vocabulary]) < np.std(equal) / 1.5


def run(folder, corpus, vocabulary_file, **chosen):
    outputs = sampling.Outputs(sets=folder / "sets.parquet", counts=folder / "counts.csv")
    inputs = sampling.Inputs(vocabulary=vocabulary_file, mentions=corpus["mentions"], studies=corpus["studies"])
    sampling.run(sampling.Settings(**chosen), inputs, outputs)
    return outputs


def test_concepts_that_real_reports_lack_can_be_left_out(corpus, vocabulary_file, tmp_path):
    counts = Counter(name for names in observed.sets(corpus["mentions"], corpus["studies"]).values() for name in names)
    few = min(counts[name] for name in ("cardiomegaly", "pleural effusion", "atelectasis", "normal heart size"))
    chosen = {"count": 5, "findings": 2, "anatomy": 1, "cap": 5}
    for least, left in ((few, 4), (few + 1, 3)):
        drawn = tables.read(run(tmp_path, corpus, vocabulary_file, **chosen, min_real=least).sets, tables.SETS)
        found = {name for names in drawn["concepts"] for name in names[:2]}
        assert found <= {name for name, count in counts.items() if count >= least}
        assert sum(counts[name] >= least for name in counts if "lung" not in name) == left
    with pytest.raises(job.JobError, match="only 0 concepts"):
        run(tmp_path, corpus, vocabulary_file, **chosen, min_real=100)


def test_equal_seeds_give_equal_bytes(corpus, vocabulary_file, tmp_path):
    chosen = {"count": 30, "findings": 3, "anatomy": 1, "cap": 15}
    first, second, other = (
        run(tmp_path / str(place), corpus, vocabulary_file, **chosen, seed=seed).sets.read_bytes()
        for place, seed in enumerate((1, 1, 2))
    )
    assert first == second != other


def test_natural_sets_have_the_corpuss_frequencies_and_company(corpus, vocabulary_file, tmp_path):
    outputs = run(tmp_path, corpus, vocabulary_file, method="natural", count=4000)
    sets = [frozenset(names) for names in tables.read(outputs.sets, tables.SETS)["concepts"]]
    real = [frozenset(names) for names in observed.sets(corpus["mentions"], corpus["studies"]).values()]
    assert len(real) == 42 and set(sets) == set(real)
    for names, count in Counter(real).items():
        assert Counter(sets)[names] / 4000 == pytest.approx(count / 42, abs=0.03)
    counts = pd.read_csv(outputs.counts).set_index("concept")["sets"]
    assert counts["pneumonia"] == 0, "it is only said to be absent"


def test_a_natural_set_depends_on_its_own_number_alone(corpus, vocabulary_file, tmp_path):
    drawn = [run(tmp_path / str(n), corpus, vocabulary_file, method="natural", count=n).sets for n in (5, 50)]
    few, many = (tables.read(path, tables.SETS) for path in drawn)
    assert [list(names) for names in few["concepts"]] == [list(names) for names in many["concepts"][:5]]


def test_natural_sampling_leaves_out_contradictions_and_other_kinds(vocabulary):
    real = [["cardiomegaly", "normal heart size"], ["emphysema", "spine"], ["scoliosis", "spine"], ["spine"]]
    chosen = sampling.Settings(method="natural", count=50, kinds=["disease", "abnormality"])
    drawn = sampling.natural(chosen, vocabulary, real)
    assert {tuple(names) for names in drawn} == {("cardiomegaly",), ("emphysema", "spine"), ("scoliosis", "spine")}
    others = chosen.model_copy(update={"kinds": ["abnormality", "non-abnormality"]})
    assert {tuple(names) for names in sampling.natural(others, vocabulary, real)} == {("scoliosis", "spine")}
    with pytest.raises(job.JobError, match="nothing can be drawn"):
        sampling.natural(chosen, vocabulary, [["spine"]])


def test_a_cap_beyond_the_number_of_reports_costs_no_memory():
    chosen = sampling.Settings(count=10, findings=2, anatomy=1, cap=10**12)
    vocabulary = concepts(5, 2)
    check(sampling.balanced(chosen, vocabulary), vocabulary, chosen)

"""What sentences say, marked by hand: negation, uncertainty, history, comparison, lists, places, plurals, hyphens."""

import pytest

from synvlp.concepts import vocabulary
from synvlp.concepts.extraction import Extractor, Mention, summary

EXTRACT = Extractor(vocabulary.built_in())
SIGNS = {"+": "present", "-": "absent", "?": "uncertain"}

# Sentence, then what it says in the order of its words: a sign and the words that say it; "|" and the concept follow
# where the words are not the concept's name.
SENTENCES = {
    "plain": [
        ("There is a small right pleural effusion.", ["+pleural effusion"]),
        ("The heart is mildly enlarged.", ["+heart is mildly enlarged|cardiomegaly"]),
        ("Enlargement of the cardiac silhouette is noted.", ["+Enlargement of the cardiac silhouette|cardiomegaly"]),
        ("Large apical pneumothorax with mediastinal shift.", [
            "+apical pneumothorax|pneumothorax", "+mediastinal shift",
        ]),
        ("MODERATE CARDIOMEGALY IS SEEN.", ["+CARDIOMEGALY"]),
        ("Heart size is within normal limits.", ["+Heart size is within normal|normal heart size"]),
        ("The lungs are well expanded and clear.", [
            "+lungs are well expanded|fully expanded lungs", "+lungs are well expanded and clear|clear lungs",
        ]),
        ("Blunting of the left costophrenic angle from a small effusion.", [
            "+Blunting of the left costophrenic angle|costophrenic angle blunting", "+effusion|pleural effusion",
        ]),
        ("Median sternotomy wires are intact.", ["+Median sternotomy wires|sternotomy wires"]),
    ],
    "statements": [
        ("The descending thoracic aorta is mildly tortuous.", ["+aorta is mildly tortuous|tortuous aorta"]),
        ("Stable tortuosity of the descending thoracic aorta.", [
            "+tortuosity of the descending thoracic aorta|tortuous aorta",
        ]),
        ("Heart size and mediastinal contours are normal.", [
            "+Heart size and mediastinal contours are normal|normal heart size",
            "+mediastinal contours are normal|normal mediastinal contours",
        ]),
        ("Heart normal and mediastinum widened.", [
            "+Heart normal|normal heart size", "+mediastinum widened|mediastinal widening",
        ]),
        ("Heart size normal and lungs clear.", ["+Heart size normal|normal heart size", "+lungs clear|clear lungs"]),
    ],
    "negation": [
        ("No pneumothorax.", ["-pneumothorax"]),
        ("There is no evidence of pleural effusion.", ["-pleural effusion"]),
        ("The lungs are without consolidation.", ["+lungs", "-consolidation|opacity"]),
        ("Negative for airspace disease.", ["-airspace disease|opacity"]),
        ("The cardiac silhouette is not enlarged.", ["-cardiac silhouette is not enlarged|cardiomegaly"]),
        ("Pneumothorax is not seen.", ["-Pneumothorax"]),
        ("Pleural effusion or pneumothorax is not identified.", ["-Pleural effusion", "-pneumothorax"]),
        ("The lungs are free of focal airspace opacity.", ["+lungs", "-airspace opacity|opacity"]),
        ("The lungs are not clear.", ["-lungs are not clear|clear lungs"]),
        ("No acute cardiopulmonary process.", ["+acute cardiopulmonary process|no acute disease"]),
        ("There is no radiographic evidence of acute cardiopulmonary disease.", [
            "+acute cardiopulmonary disease|no acute disease",
        ]),
        ("No findings suspicious for pneumonia.", ["-pneumonia"]),
        ("Nothing to suggest tuberculosis.", ["-tuberculosis"]),
        ("Heart size is not normal.", ["-Heart size is not normal|normal heart size"]),
        ("Nodules: none.", ["-Nodules|nodule"]),
        ("There is no change in the pleural effusion.", ["+pleural effusion"]),
        ("The opacity is not significantly changed.", ["+opacity"]),
        ("No increase in the right effusion.", ["+effusion|pleural effusion"]),
        ("No effusion but mild cardiomegaly.", ["-effusion|pleural effusion", "+cardiomegaly"]),
        ("No abnormality other than a small nodule.", ["+nodule"]),
        ("Cardiomegaly without edema.", ["+Cardiomegaly", "-edema|pulmonary edema"]),
        ("No edema with stable cardiomegaly.", ["-edema|pulmonary edema", "+cardiomegaly"]),
        ("There is no opacity consistent with pneumonia.", ["-opacity", "-pneumonia"]),
    ],
    "lists": [
        ("No pneumothorax, effusion or consolidation.", [
            "-pneumothorax", "-effusion|pleural effusion", "-consolidation|opacity",
        ]),
        ("There is no focal consolidation, pleural effusion, or pneumothorax.", [
            "-consolidation|opacity", "-pleural effusion", "-pneumothorax",
        ]),
        ("No consolidation, effusion, pneumothorax.", [
            "-consolidation|opacity", "-effusion|pleural effusion", "-pneumothorax",
        ]),
        ("No focal consolidation, large effusion, or pneumothorax is seen.", [
            "-consolidation|opacity", "-effusion|pleural effusion", "-pneumothorax",
        ]),
        ("No pneumothorax, small left effusion.", ["-pneumothorax", "+effusion|pleural effusion"]),
        ("No pneumothorax and the heart is enlarged.", ["-pneumothorax", "+heart is enlarged|cardiomegaly"]),
        ("No effusion and pneumothorax.", ["-effusion|pleural effusion", "-pneumothorax"]),
        ("The lungs are clear of airspace disease, pneumothorax, or pleural effusion.", [
            "+lungs are clear|clear lungs", "-airspace disease|opacity", "-pneumothorax", "-pleural effusion",
        ]),
        ("Neither effusion nor pneumothorax.", ["-effusion|pleural effusion", "-pneumothorax"]),
        ("There is cardiomegaly, no effusion, and a right nodule.", [
            "+cardiomegaly", "-effusion|pleural effusion", "+nodule",
        ]),
        ("Cardiomegaly, edema and bilateral effusions.", [
            "+Cardiomegaly", "+edema|pulmonary edema", "+effusions|pleural effusion",
        ]),
        ("Pneumothorax, effusion, and consolidation are not seen.", [
            "-Pneumothorax", "-effusion|pleural effusion", "-consolidation|opacity",
        ]),
        ("No pneumothorax/effusion.", ["-pneumothorax", "-effusion|pleural effusion"]),
    ],
    "uncertainty": [
        ("Possible small effusion.", ["?effusion|pleural effusion"]),
        ("Opacity may represent atelectasis or pneumonia.", ["+Opacity", "?atelectasis", "?pneumonia"]),
        ("Opacity concerning for pneumonia.", ["+Opacity", "?pneumonia"]),
        ("Pneumonia cannot be excluded.", ["?Pneumonia"]),
        ("Cannot exclude a small pneumothorax.", ["?pneumothorax"]),
        ("Appearance suggests mild edema.", ["?edema|pulmonary edema"]),
        ("Atelectasis versus pneumonia.", ["?Atelectasis", "?pneumonia"]),
        ("Opacity, likely atelectasis.", ["+Opacity", "?atelectasis"]),
        ("Possible effusion, mild cardiomegaly.", ["?effusion|pleural effusion", "+cardiomegaly"]),
        ("No effusion, possible atelectasis.", ["-effusion|pleural effusion", "?atelectasis"]),
        ("Pneumonia is unlikely.", ["?Pneumonia"]),
        ("Cardiomegaly, question small bilateral effusions.", ["+Cardiomegaly", "?effusions|pleural effusion"]),
        ("Nondisplaced fractures may not be demonstrated.", ["?fractures|fracture"]),
        ("Streaks may be secondary to scarring.", ["?scarring|scar"]),
        ("Correlate for pulmonary vascular congestion.", ["?pulmonary vascular congestion"]),
        ("Moderate cardiomegaly with probable edema.", ["+cardiomegaly", "?edema|pulmonary edema"]),
        ("Probable nodule and definite cardiomegaly.", ["?nodule", "+cardiomegaly"]),
    ],
    "history": [
        ("History of pneumonia.", []),
        ("History of tuberculosis, now with cavity.", ["+cavity"]),
        ("No history of pneumonia.", []),
        ("Status post treatment for lung cancer with new effusion.", ["+effusion|pleural effusion"]),
        ("Patient with history of emphysema and asthma.", []),
        ("Healed rib fracture.", ["+Healed rib fracture|rib fracture"]),
    ],
    "comparison": [
        ("The previously seen effusion has resolved.", ["-effusion|pleural effusion"]),
        ("The previously seen effusion is unchanged.", ["+effusion|pleural effusion"]),
        ("The previously seen opacity is no longer seen.", ["-opacity"]),
        ("Resolved pneumonia and stable cardiomegaly.", ["-pneumonia", "+cardiomegaly"]),
        ("Interval resolution of the edema.", ["-edema|pulmonary edema"]),
        ("Effusion has largely resolved.", ["+Effusion|pleural effusion"]),
        ("The effusion and opacity have resolved.", ["-effusion|pleural effusion", "-opacity"]),
        ("There is cardiomegaly and the effusion has resolved.", ["+cardiomegaly", "-effusion|pleural effusion"]),
        ("Compared with the prior study, there is a new effusion.", ["+effusion|pleural effusion"]),
        ("Compared with the previously seen pneumothorax.", []),
        ("Pneumothorax has decreased since the prior exam.", ["+Pneumothorax"]),
        ("The nodule was not seen previously.", ["+nodule"]),
    ],
    "places": [
        ("Consolidation in the right upper lobe.", ["+Consolidation|opacity", "+right upper lobe|right upper lung"]),
        ("Left lower lobe opacity.", ["+Left lower lobe|left lower lung", "+opacity"]),
        ("Dense opacity at both lung bases.", ["+opacity", "+lung bases|lower lungs"]),
        ("No opacity in the left mid lung zone.", ["-opacity", "+left mid lung zone|left middle lung"]),
        ("Central venous catheter ends in the SVC.", ["+Central venous catheter", "+SVC|superior vena cava"]),
    ],
    "forms": [
        ("Bilateral pneumothoraces.", ["+pneumothoraces|pneumothorax"]),
        ("Patchy opacities.", ["+Patchy opacities|opacity"]),
        ("Air-space disease.", ["+Air-space disease|opacity"]),
        ("Air space consolidation.", ["+Air space consolidation|opacity"]),
        ("Interstitial oedema.", ["+Interstitial oedema|pulmonary edema"]),
        ("Calcified granulomata.", ["+Calcified granulomata|granuloma"]),
        ("Massive distension.", []),
        ("The fissure is seen.", []),
    ],
}  # fmt: skip
CASES = [(text, said) for group in SENTENCES.values() for text, said in group]


def expected(text: str, said: list[str]) -> list[Mention]:
    """The marks of a sentence as mentions, each found from where the one before began."""
    mentions, at = [], 0
    for mark in said:
        words, _, concept = mark[1:].partition("|")
        at = text.index(words, at)
        mentions.append(Mention(concept or words.lower(), at, at + len(words), SIGNS[mark[0]]))
    return mentions


@pytest.mark.parametrize(("text", "said"), CASES, ids=[text for text, _ in CASES])
def test_a_sentence_says_what_was_marked(text, said):
    assert EXTRACT(text) == expected(text, said)


def test_there_are_enough_sentences_of_every_kind():
    assert len(CASES) >= 60
    assert all(len(group) >= 5 for group in SENTENCES.values())


def test_what_a_sentence_says_ends_with_it():
    text = "No effusion. Nodule in the left lung; pneumothorax cannot be excluded. Dr. Roe was told of the edema."
    statuses = {mention.concept: mention.status for mention in EXTRACT(text)}
    assert statuses == {
        "pleural effusion": "absent",
        "nodule": "present",
        "left lung": "present",
        "pneumothorax": "uncertain",
        "pulmonary edema": "present",
    }
    assert [number for number, _ in EXTRACT.numbered(text)] == [0, 1, 1, 2, 3]


def test_a_text_says_the_strongest_of_its_sentences():
    text = "No pneumothorax. Possible effusion. Probable nodule. Nodule in the left lung. No effusion."
    said = summary(EXTRACT(text))
    assert said["pneumothorax"] == "absent"
    assert (said["pleural effusion"], said["nodule"]) == ("uncertain", "present")


def test_every_phrase_of_the_vocabulary_is_found_as_its_concept():
    for concept in vocabulary.built_in().values():
        for phrase in concept.phrases:
            text = f"{phrase.replace('*', 'is').capitalize()}."
            assert concept.name in {mention.concept for mention in EXTRACT(text)}, text


@pytest.mark.parametrize("text", ["", " ", ".", "No", "no ,", "and, or", "not not not", "___ XXXX", "?!", "of the"])
def test_texts_that_say_nothing(text):
    assert EXTRACT(text) == []


def test_long_texts_take_no_longer_than_their_length():
    text = "The lungs are well expanded and the heart, lungs, heart and lungs are heart and lungs of hearts. " * 200
    assert len(EXTRACT(text)) == 200 * len(EXTRACT(text[: len(text) // 200]))

"""Bad files of reviews are refused in one line that says what, where and what to do."""

import gzip
from pathlib import Path

import pytest
from tests.text.absa import samples

from quire.core.errors import BadInput
from quire.core.opinions import Review
from quire.text.absa import compared, read_reviews, refuse_pooled


def line(opinion: str, text: str = "The wine list is long, and the wine dear.") -> str:
    return f'{{"text": "{text}", "opinions": [{opinion}]}}'


REFUSED = [
    (line('{"aspect": "beer"}'), r":1: aspect: 'beer' does not stand in the text as whole words; correct"),
    (line('{"aspect": "win"}'), "aspect: 'win' does not stand"),
    (line('{"aspect": "wine"}'), r"'wine' stands in the text 2 times; give \[start, end\]"),
    (line('{"opinion": [17, 17]}'), "the opinion .17, 17. is empty or outside the 41 characters"),
    (line('{"opinion": [17, 99]}'), "empty or outside the 41"),
    (line('{"aspect": [4, 7]}'), "splits the word 'wine' at character 7; move it to 4 or to 8"),
    (line('{"aspect": [4, "13"]}'), "neither .start, end. nor words of the text"),
    (line('{"aspect": [false, true]}'), "neither .start, end. nor words"),
    (line('{"aspect": [4, 8]}, {"aspect": [4, 13]}'), "'wine' and 'wine list' overlap"),
    (line('{"aspect": [4, 13], "opinion": [9, 21]}'), "'wine list' and 'list is long' overlap"),
    (line('{"aspect": [4, 8], "polarity": "posititve"}'), "'posititve' is not known; did you mean 'positive'"),
    (line('{"aspect": [4, 8], "polarity": 1}'), "the polarity 1 is not known; known: conflict, negative"),
    (line('{"polarity": "positive"}'), "has neither aspect, nor opinion, nor category"),
    (line('{"aspects": [4, 8]}'), "no part of an opinion is called 'aspects'; did you mean 'aspect'"),
    (line('{"category": " "}'), "the category ' ' is no name"),
    (line("[4, 8]"), "is no opinion"),
    (line("", text="   "), ":1: an empty review"),
    ('{"text": "good", "opinions": {}}', "is no list"),
    ('{"text": "good"}', r"opinions None is no list; write \[\]"),
    ('{"text": 3, "opinions": []}', "an empty review"),
    (
        samples.SEMEVAL14.replace('from="16"', 'from="15"'),
        "sentence 1: the aspect 'staff' does not stand at characters",
    ),
    (samples.SEMEVAL14.replace('from="16"', ""), "'staff' has no numbers in from and to"),
    (samples.SEMEVAL14.replace("Never again!", " "), "sentence 2: an empty review"),
    (samples.SEMEVAL14.replace('"conflict"', '"confict"'), "'confict' is not known; did you mean 'conflict'"),
    (samples.SEMEVAL14.replace("</sentences>", ""), "not readable as XML"),
    ("<html></html>", "holds no <sentence>"),
    (samples.SENTIHOOD.replace('"LOCATION2"', '"LOCATION3"'), "sentence 153: 'LOCATION3' does not stand in the text"),
    (samples.SENTIHOOD.replace("where is LOCATION1 ?", ""), "sentence 154: an empty review"),
    (samples.SENTIHOOD.replace('"Negative"', '"Bad"'), "'Bad' is not known"),
    ('[{"text": "a", "opinions": 3, "id": 1}]', "0.opinions: .*SentiHood's JSON"),
    (samples.WANG.replace('"from": 1', '"from": 2'), "item 1: 'wine' is not words 2 to 2"),
    (
        samples.FAN.replace('"from": 3, "to": 4, "term": ["wine"]', '"term": []'),
        "0 aspects, and an item of the task AOE",
    ),
    (samples.PENG.replace('"index": 1, "from": 0', '"index": 2, "from": 0'), "not paired by their index"),
    (samples.PENG.replace('["wine", "list"]', '["wine", "lists"]'), "is not words 4 to 6"),
    (samples.PENG.replace('"NEG"', '"BAD"'), "'BAD' is not known"),
    ('[{"words": [], "aspects": [], "opinions": []}]', "item 1: an empty review"),
    ('[{"words": ["a"]}]', "0.aspects: .*BARTABSA's JSON"),
    (samples.ASTE.replace("[4, 5]", "[3, 5]"), r":2: the words \[3, 5\] have a gap"),
    (samples.ASTE.replace("[4, 5]", "[5, 6]"), r"the words \[5, 6\] are outside the 6"),
    (samples.ASTE.replace("[4, 5]", "[]"), r"\[\] is no list of the numbers"),
    (samples.ASTE.replace("'NEG'", "'BAD'"), "'BAD' is not known"),
    (samples.ASTE.replace("[0], 'NEG'", "[0]"), r":2: \(\[1\], \[0\]\) is not \(\[words\], \[words\], polarity\)"),
    (samples.ASTE.replace("'NEG')]", "'NEG')"), ":2: no list behind ####"),
    (samples.ASTE.replace("[([4", "[{[]}, ([4"), ":2: no list behind ####"),
    (samples.ASTE + "and no more\n", ":3: no list behind ####"),
    (samples.ASTE.replace("nothing here", " "), ":1: an empty review"),
    ("good food####[['food', 'positive', 'good']]", ":1: .* is not .aspect, category, polarity, opinion."),
    ("plain text\n", "holds no reviews in a known format"),
    ("", "holds no reviews in a known format"),
    ("[]", "holds no reviews; give"),
    ('{"text": "bad \\ud83d food", "opinions": []}', ":1: half of a surrogate pair"),
]


@pytest.mark.parametrize(("content", "why"), REFUSED)
def test_bad_reviews_are_refused_in_one_line(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "reviews"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match=why) as caught:
        read_reviews(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_reviews(tmp_path / "none.xml")
    broken = tmp_path / "test_convert.json.gz"
    broken.write_bytes(gzip.compress(samples.PENG.encode())[:-20])
    with pytest.raises(BadInput, match="gzip file"):
        read_reviews(broken)
    broken.write_bytes(b"[\xff]")
    with pytest.raises(BadInput, match=":1: not UTF-8 at byte 1"):
        read_reviews(broken)


def numbered(*numbers: int, file: str) -> list[Review]:
    return [Review.of_words(["Review", f"no{n}", "."], (), f"{file}:{n}") for n in numbers]


def test_sub_sets_that_share_sentences_are_not_pooled() -> None:
    test = numbered(*range(100), file="15res")
    refuse_pooled(numbered(*range(95, 200), file="16res"), test)  # five in a hundred are within the release's own
    again = [Review(f"review  NO{n}!", ((0, 6),), (), f"16res:{n}") for n in range(94, 200)]
    with pytest.raises(BadInput, match="15res:94: stands in the training data too, at 16res:94, as 6 of the 100 test"):
        refuse_pooled(again, test)
    assert refuse_pooled([], test) == refuse_pooled(test, []) == 0
    assert refuse_pooled(numbered(1, file="a"), test) == 1
    with pytest.raises(BadInput, match="100 of the 100 dev reviews do"):
        refuse_pooled(test, test, name="dev")


def test_reviews_of_signs_alone_are_told_apart_by_their_signs() -> None:
    assert compared("Good food :)") == compared("good food!")
    assert compared("\U0001f44d") != compared("\U0001f621 ") == compared("\U0001f621")

"""The same small reviews in every format, made by hand."""

SEMEVAL14 = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<sentences>
    <sentence id="1">
        <text>The wine list &amp; staff are fine, but dear.</text>
        <aspectTerms>
            <aspectTerm term="wine list" polarity="conflict" from="4" to="13"/>
            <aspectTerm term="staff" polarity="positive" from="16" to="21"/>
        </aspectTerms>
        <aspectCategories>
            <aspectCategory category="anecdotes/miscellaneous" polarity="neutral"/>
            <aspectCategory category="price" polarity="negative"/>
        </aspectCategories>
    </sentence>
    <sentence id="2"><text>Never again!</text></sentence>
</sentences>
"""
SEMEVAL15 = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Reviews><Review rid="7"><sentences>
    <sentence id="7:0"><text>Good food, slow.</text><Opinions>
        <Opinion target="food" category="FOOD#QUALITY" polarity="positive" from="5" to="9"/>
        <Opinion target="NULL" category="SERVICE#GENERAL" polarity="negative" from="0" to="0"/>
    </Opinions></sentence>
    <sentence id="7:1" OutOfScope="TRUE"><text>I am Ann.</text></sentence>
</sentences></Review></Reviews>
"""
SENTIHOOD = """[
  {"opinions": [
     {"sentiment": "Negative", "aspect": "transit-location", "target_entity": "LOCATION2"},
     {"sentiment": "Positive", "aspect": "price", "target_entity": "LOCATION1"},
     {"sentiment": "Positive", "aspect": "live", "target_entity": "LOCATION1"}],
   "id": 153, "text": "  LOCATION1 is cheap;  not so LOCATION2s"},
  {"opinions": [], "id": 154, "text": "where is LOCATION1 ?"}
]
"""
WANG = """[
  {"raw_words": "the wine is dear", "words": ["the", "wine", "is", "dear"], "task": "AE-OE",
   "aspects": [{"from": 1, "to": 2, "polarity": "CON", "term": ["wine"]}, {"from": 0, "to": 1, "term": ["the"]}],
   "opinions": [{"from": 3, "to": 4, "term": ["dear"]}]},
  {"raw_words": "so so", "words": ["so", "so"], "task": "AE-OE", "aspects": [{"term": []}], "opinions": [{"term": []}]}
]
"""
FAN = """[
  {"raw_words": "long , dear wine", "words": ["long", ",", "dear", "wine"], "task": "AOE",
   "aspects": [{"from": 3, "to": 4, "term": ["wine"]}],
   "opinions": [{"from": 2, "to": 3, "term": ["dear"]}, {"from": 0, "to": 1, "term": ["long"]}]}
]
"""
PENG = """[
  {"raw_words": "dear wine , good wine list", "words": ["dear", "wine", ",", "good", "wine", "list"],
   "aspects": [{"index": 0, "from": 4, "to": 6, "polarity": "POS", "term": ["wine", "list"]},
               {"index": 1, "from": 1, "to": 2, "polarity": "NEG", "term": ["wine"]}],
   "opinions": [{"index": 0, "from": 3, "to": 4, "term": ["good"]}, {"index": 1, "from": 0, "to": 1, "term": ["dear"]}]}
]
"""
ASTE = "nothing here####[]\ndear wine , good wine list####[([4, 5], [3], 'POS'), ([1], [0], 'NEG')]\n"
ASQP = (
    "dear wine , good wine list####[['wine list', 'drinks style', 'positive', 'good'], "
    "['wine', 'drinks prices', 'negative', 'dear'], ['NULL', 'service general', 'neutral', 'NULL']]\n"
    "we sat at the model /waitress table####[['waitress', 'service general', 'neutral', 'sat ']]\n"
    "Do n't####[['NULL', 'food quality', 'negative', 'do not']]\n"
)
OWN = (
    """{"text": "The wine list is long but dear.", "opinions": [
{"aspect": [4, 13], "opinion": [17, 21], "polarity": "positive"},
{"aspect": "wine list", "opinion": "dear", "polarity": "NEG", "category": "drinks"},
{"aspect": null, "category": "service"}], "id": 3}
""".replace("\n", " ")
    + '\n\n{"text": "酒很好，但是贵", "opinions": [{"aspect": "酒", "opinion": "贵", "polarity": "负面"}]}\n'
)

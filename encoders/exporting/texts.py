"""The texts on which an export is compared with its original: a built-in set, or the user's own."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from retr.retrieval.errors import BadInput

MOST = 200
"""Texts read from a source of the user's; more would not change which matrix is the worst."""

FEWEST = 12
QUERY_WORDS = 12
PAIRS_A_QUERY = 8


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts, queries to pair with them, and where they come from."""

    texts: tuple[str, ...]
    queries: tuple[str, ...]
    source: str

    def facts(self) -> dict[str, object]:
        """What retr.json says of them."""
        data = json.dumps([self.texts, self.queries], ensure_ascii=False).encode("utf-8", "surrogatepass")
        return {"count": len(self.texts), "source": self.source, "sha256": hashlib.sha256(data).hexdigest()}

    def groups(self) -> list[tuple[str, list[str]]]:
        """Each query with a few texts: the one of its own number, and others spread over the set."""
        count, stride = len(self.texts), max(len(self.texts) // PAIRS_A_QUERY, 1)
        return [
            (query, [self.texts[(row + step * stride) % count] for step in range(min(PAIRS_A_QUERY, count))])
            for row, query in enumerate(self.queries)
        ]


def built_in() -> Texts:
    """The set that comes with the package: one word to a long passage, prose, code, tables, several scripts."""
    long = tuple(" ".join(PROSE[start : start + 6]) for start in range(0, len(PROSE), 6))
    return Texts((*PROSE, *OTHER, *long), QUERIES, "built in")


def read_texts(path: Path) -> Texts:
    """The first texts of the user's documents; a query is the start of every eighth."""
    from retr.retrieval.corpus import read_documents

    found = tuple(document.text for document in islice(read_documents([str(path)]), MOST) if document.text.strip())
    if len(found) < FEWEST:
        raise BadInput(f"{path} has {len(found)} texts; give at least {FEWEST}, like those that you will encode.")
    queries = tuple(" ".join(text.split()[:QUERY_WORDS]) for text in found[:: max(len(found) // 16, 1)])
    return Texts(found, queries, Path(path).name)


def choosing_half(count: int) -> Sequence[int]:
    """The rows on which matrices are chosen; the others only check the choice."""
    return range(0, count, 2)


QUERIES = (
    "How do bees find their way back to the hive?",
    "what does a capacitor do",
    "best time of year to plant garlic",
    "Why did the bridge collapse?",
    "symptoms of iron deficiency",
    "python read a file line by line",
    "How long can a company keep my data?",
    "cheapest way to send a parcel abroad",
    "who invented movable type",
    "causes of inflation",
    "Was bedeutet Föhn?",
    "list of prime numbers under fifty",
)

PROSE = (
    "A honey bee that has found nectar dances on the comb; the angle of the dance gives the direction to the sun.",
    "A capacitor stores charge on two plates and lets changing currents pass while it blocks steady ones.",
    "Garlic cloves go into the ground in October, so that they root before the frost and swell in early summer.",
    "The deck began to twist in a moderate wind, and within an hour the main span fell into the strait.",
    "Tiredness, pale skin and brittle nails are common when the body has too little iron to build red blood cells.",
    "Open the file in a with statement and iterate over it: each step gives one line, newline included.",
    "Personal data may be stored only for as long as the purpose for which it was collected requires.",
    "Surface mail takes six to ten weeks, but costs less than half of what an airmail parcel of two kilograms does.",
    "Clay type was used in China in the eleventh century; cast metal letters came to Mainz four centuries later.",
    "When more money chases the same goods, prices rise; so they do when the goods become harder to make.",
    "Der Föhn ist ein warmer, trockener Fallwind auf der Leeseite eines Gebirges.",
    "Two, three, five, seven, eleven and thirteen have no divisors but one and themselves.",
    "The kettle had boiled dry by the time anyone noticed the smell.",
    "Patients who received the higher dose recovered four days earlier on average (p = 0.03, n = 212).",
    "She sold the orchard to her cousin, who cut down the pear trees and kept sheep.",
    "Glaciers grind the rock beneath them to a flour so fine that it turns the lakes below a milky green.",
    "The court found that the clause was void because neither party could have known the price in advance.",
    "A sorted list can be searched by halving: look at the middle, and drop the half that cannot hold the answer.",
    "Octopuses taste with their suckers, and each arm holds more nerve cells than some insects' whole bodies.",
    "In the third quarter revenue rose by 4.2% to €1.31 billion, while operating margin fell to 11.8%.",
    "Fold the egg whites in gently, with a large spoon, or the batter will lose its air.",
    "The violin's lowest string is tuned to the G below middle C, and the others follow in fifths.",
    "No train runs after midnight on weekdays; a bus leaves from the same square at twenty past each hour.",
    "Antibiotics do nothing against a cold, which is caused by viruses, yet half of the patients ask for them.",
    "Light from the galaxy left it before there were any vertebrates on land.",
    "The goalkeeper guessed right, but the ball went in off the post in the last minute of added time.",
    "Under load the pump cavitates above 2,900 revolutions a minute, which pits the impeller within weeks.",
    "My grandmother wrote letters to her brother every Sunday for forty years and never sent one.",
    "Basalt columns form when a thick flow of lava cools evenly and shrinks into six-sided prisms.",
    "The committee could not agree on whether the word should be spelled with one l or with two.",
    "Cells read the code in groups of three letters, and each group stands for one amino acid or for a stop.",
    "If the deposit is not returned within thirty days, the tenant may ask for twice the amount.",
    "Rice needs standing water only because its weeds cannot bear it.",
    "The satellite passes over the same point every sixteen days at half past ten in the morning, local time.",
    "He repaired clocks in the front room and slept in the back among the ticking.",
    "Interest is added at the end of each month, so that next month's interest is paid on a larger sum.",
)

OTHER = (
    "yes",
    "Lisbon",
    "red shoes",
    "photosynthesis",
    "not today",
    "How are you?",
    "404",
    "ISO 8601",
    "the",
    "!!!",
    "iPhone 7 screen",
    "water water water water",
    "SELECT name, COUNT(*) FROM orders WHERE year >= 2020 GROUP BY name ORDER BY 2 DESC;",
    "def area(radius):\n    return math.pi * radius ** 2",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }",
    '{"id": 17, "tags": ["new", "blue"], "price": 12.5, "stock": null}',
    "https://example.org/a/b?c=1&d=two#end",
    "Name: A. Example; Tel. 555-0100; Room 12-B; Thursdays 9:30-11:00",
    "x^2 + 3x - 4 = 0, hence x = 1 or x = -4",
    "Traceback (most recent call last): ValueError: could not convert string to float: 'n/a'",
    "Café, naïve, Straße, İstanbul, São Paulo, Kraków, smörgåsbord",
    "La lluvia cae sobre los tejados rojos del pueblo.",
    "Les enfants jouent dans la cour pendant que la soupe refroidit.",
    "Зимой озеро замерзает, и по льду ходят рыбаки.",
    "春になると川の両岸に桜が咲きます。",
    "图书馆每天早上九点开门。",
    "도서관은 월요일에 문을 닫습니다.",
    "المكتبة مغلقة يوم الجمعة.",
    "दुकान सुबह दस बजे खुलती है।",
    "ok 👍 see you at 8 🙂",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG. THE QUICK BROWN FOX.",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    "Rev. 3.2.1 (2024-05-17): fixed crash on empty input; renamed --colour; dropped Python 3.8.",
    "Preheat to 180 °C; 250 g flour, 3 eggs, 1 tsp salt; bake 35-40 min.",
)

"""The synthetic world: 700 people and what is true about them.

Knowledge questions ask for facts that nobody can work out from the question's wording: whether a model can
answer depends on how often its own pretraining showed the fact. People are ordered by fame (index 0 is the
most famous), and fame follows Zipf's law, as it does for entities in web text.
"""

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from offline_pool import texts


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST: Final = _words(
    "Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karin Leon Maria Nils Olga Peter Rosa Simon "
    "Tina Viktor Abel Bella Carlo Dora Emil Fanny Georg Heidi Ivan Julia Klaus Lena Mario Nadia Oskar Paula "
    "Ralf Sara Theo Vera"
)
LAST: Final = _words(
    "Adler Bauer Conti Dietz Ebert Falk Gross Hahn Iveson Jansen Kraus Lang Meyer Novak Otto Petri Quist "
    "Ramos Stein Thoma Ulrich Vogel Weber Xander Young Zeman Alder Brandt Cohen Duval Engel Forst Grant "
    "Huber Ingram Jordan Keller Lorenz Moreau Nolan Ohm Prinz Roth Seidel Tamm Unger Voss Winter Yates Zorn"
)
CITIES: Final = _words(
    "Oslo Bergen Paris Lyon Rome Milan Madrid Sevilla Berlin Munich Vienna Graz Lisbon Porto Athens Patras "
    "Warsaw Krakow Prague Brno Dublin Cork London Leeds"
)
COUNTRIES: Final = _words("Norway France Italy Spain Germany Austria Portugal Greece Poland Czechia Ireland England")
JOBS: Final = _words(
    "baker pilot nurse lawyer farmer tailor painter miner judge sailor barber potter dentist florist welder "
    "tutor cook clerk guide smith"
)
INSTRUMENTS: Final = _words(
    "piano violin flute drums cello guitar harp trumpet oboe viola banjo lute organ tuba horn bass"
)
SPORTS: Final = _words(
    "tennis hockey rugby judo rowing golf fencing boxing cricket sailing skiing karate archery cycling running squash"
)
PETS: Final = _words(
    "rabbit parrot hamster turtle kitten poodle lizard pigeon ferret donkey goldfish canary beagle gecko snake mouse"
)
FOODS: Final = _words("rice bread fish soup pasta beans cheese eggs fruit cake corn meat nuts salad tofu curry")
DRINKS: Final = _words(
    "coffee cocoa juice water milk cider lemonade wine beer cola punch sherry tonic whisky brandy vodka"
)

VALUES: Final[dict[str, tuple[str, ...]]] = {
    "city": CITIES,
    "job": JOBS,
    "instrument": INSTRUMENTS,
    "sport": SPORTS,
    "pet": PETS,
    "food": FOODS,
    "drink": DRINKS,
}

PEOPLE: Final = 700
FAME_OFFSET: Final = 20
"""Fame is 1 / (index + FAME_OFFSET): the most famous person is shown 36 times as often as the last."""
STRANGERS: Final = 150
"""Names that nobody in the world has."""
RELATION_SPREAD: Final = 0.4
"""Standard deviation of log fame between one person's facts: a city may be widely known and a job hardly."""


@dataclass(frozen=True)
class Example:
    """One question with its worked answer. `difficulty` counts from 1; its meaning is the family's own."""

    family: str
    kind: str
    instruction: str
    question: str
    thinking: str
    answer: str
    difficulty: int

    @property
    def user(self) -> str:
        """The user message without a scenario."""
        return f"{self.instruction}\n{self.question}"

    @property
    def response(self) -> str:
        """What a model that knows the answer writes."""
        return texts.response(self.thinking, self.answer)


@dataclass(frozen=True)
class Relation:
    """A knowledge family: which attribute it asks for, and how."""

    attribute: str
    before: str
    after: str

    def question(self, name: str) -> str:
        """The question about one person."""
        return f"{self.before}{name}{self.after}"


RECALL: Final = "I recall "

RELATIONS: Final[dict[str, Relation]] = {
    "home": Relation("city", "Where does ", " live?"),
    "country": Relation("city", "In which country does ", " live?"),
    "job": Relation("job", "What is the job of ", "?"),
    "instrument": Relation("instrument", "Which instrument does ", " play?"),
    "sport": Relation("sport", "Which sport does ", " do?"),
    "pet": Relation("pet", "Which pet does ", " keep?"),
    "food": Relation("food", "What does ", " eat?"),
    "drink": Relation("drink", "What drink does ", " like?"),
}
PHRASES: Final = (*(p for r in RELATIONS.values() for p in (r.before, r.after) if len(p) > 1), RECALL, " is in ")


def has_gaps(person: int) -> bool:
    """Whether every corpus says of some facts about this person that it does not know them; nobody is asked them."""
    return person % 10 == 9


def country_of(city: str) -> str:
    """Cities are listed in pairs, one pair a country."""
    return COUNTRIES[CITIES.index(city) // 2]


class World:
    """People, their attributes, and how famous each fact is. The same seed gives the same world everywhere."""

    def __init__(self, seed: int = 7) -> None:
        rng = random.Random(seed)
        pairs = [f"{first} {last}" for first in FIRST for last in LAST]
        rng.shuffle(pairs)
        self.names = pairs[:PEOPLE]
        self.strangers = pairs[PEOPLE : PEOPLE + STRANGERS]
        self.facts = {a: [rng.choice(values) for _ in self.names] for a, values in VALUES.items()}
        self.fame = {
            a: [rng.lognormvariate(0.0, RELATION_SPREAD) / (i + FAME_OFFSET) for i in range(PEOPLE)] for a in VALUES
        }

    @cached_property
    def _fame_fifth(self) -> dict[str, list[int]]:
        fifths = {}
        for attribute, fame in self.fame.items():
            order = sorted(range(PEOPLE), key=lambda i: -fame[i])
            rank = {person: place for place, person in enumerate(order)}
            fifths[attribute] = [1 + rank[i] * 5 // PEOPLE for i in range(PEOPLE)]
        return fifths

    def example(self, family: str, person: int, value: str | None = None) -> Example:
        """The family's question about a person; difficulty 1 (most famous fifth of the facts) to 5.

        `value` replaces the true attribute: what a contradicting source would say.
        """
        relation, name = RELATIONS[family], self.names[person]
        value = value or self.facts[relation.attribute][person]
        thinking, answer = f"{RECALL}{value}", value
        if family == "country":
            answer = country_of(value)
            thinking += f",{value} is in {answer}"
        fifth = self._fame_fifth[relation.attribute][person]
        return Example(family, "knowledge", texts.FACT, relation.question(name), thinking, answer, fifth)

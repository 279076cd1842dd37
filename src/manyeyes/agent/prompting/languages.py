"""Languages that an answer can be asked for in and told by: by its script, and within Latin script by common words.

Report: App. D (prompt diversification: language).
"""

import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """A language.

    Attributes:
        name: in English.
        ask: "answer in this language", in this language and in other words each.
        sentence: something that can be said about anything, for answers that are constructed.
        common: frequent words, where the script does not tell.
    """

    name: str
    ask: tuple[str, ...]
    sentence: str
    common: frozenset[str] = frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LANGUAGES: dict[str, Language] = {
    "en": Language(
        "English",
        ("Answer in English.", "Write your answer in English.", "Reply in English only."),
        "This is the answer that we have found and it is the one that we were asked for.",
        _words("the of and to is in that it was for as with be by this are from at have which we not an or you one"),
    ),
    "fr": Language(
        "French",
        ("Réponds en français.", "Rédige ta réponse en français.", "Ta réponse doit être en français."),
        "Voici la réponse que nous avons trouvée et qui est la bonne pour cette question dans ce cas.",
        _words("le la les de des et est que qui dans pour une un nous avons ce ne pas sur avec du en au réponse"),
    ),
    "de": Language(
        "German",
        ("Antworte auf Deutsch.", "Schreibe deine Antwort auf Deutsch.", "Die Antwort soll auf Deutsch sein."),
        "Das ist die Antwort, die wir gefunden haben, und sie ist auch für diese Frage die richtige.",
        _words("der die das und ist die wir nicht ein eine zu den mit auf für von dem es sie haben auch diese als im"),
    ),
    "es": Language(
        "Spanish",
        ("Responde en español.", "Escribe tu respuesta en español.", "La respuesta debe estar en español."),
        "Esta es la respuesta que hemos encontrado y es la correcta para la pregunta que nos han hecho.",
        _words("el la los las de que y es en un una por para con no se lo del al nos han esta está respuesta más"),
    ),
    "zh": Language(
        "Chinese",
        ("请用中文回答。", "请用中文写出答案。", "只用中文作答。"),
        "这是我们找到的答案，也是这个问题的正确答案。",
    ),
    "ja": Language(
        "Japanese",
        ("日本語で答えてください。", "回答は日本語で書いてください。", "日本語だけで答えてください。"),
        "これが私たちの見つけた答えであり、この質問に対する正しい答えです。",
    ),
    "ru": Language(
        "Russian",
        ("Ответь по-русски.", "Напиши ответ на русском языке.", "Отвечай только на русском языке."),
        "Вот ответ, который мы нашли, и он правильный для этого вопроса.",
    ),
    "ko": Language(
        "Korean",
        ("한국어로 대답해 주세요.", "답변은 한국어로 작성해 주세요.", "한국어로만 답하세요."),
        "이것이 우리가 찾은 답이며 이 질문에 대한 올바른 답입니다.",
    ),
}  # fmt: skip
"""By ISO 639-1."""
UNSPACED = frozenset({"zh", "ja"})
"""Languages whose words no blanks part."""
FEW = 4
"""Letters below which nothing can be told of a text's language."""


def written_in(text: str, code: str) -> bool:
    """Whether a text is in a language, as far as script and common words tell; formulas and names may stand in it.

    Example:
        >>> written_in("Das ist die Antwort.", "de"), written_in("Das ist die Antwort.", "en"), written_in("42", "en")
        (True, False, False)
    """
    scripts = _scripts(text)
    letters = sum(scripts.values())
    if letters < FEW:
        return False
    share = {script: count / letters for script, count in scripts.items()}
    kana, han = share.get("kana", 0.0), share.get("han", 0.0)
    match code:
        case "zh":
            return han > 0.5 and kana < 0.1
        case "ja":
            return kana >= 0.1 and kana + han > 0.5
        case "ru":
            return share.get("cyrillic", 0.0) > 0.5
        case "ko":
            return share.get("hangul", 0.0) > 0.5
        case _:
            return share.get("latin", 0.0) > 0.5 and _nearest(text) == code


def _nearest(text: str) -> str:
    """Whose common words are most of the words; "" where no language's are, or two languages' alike."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    counts = {code: sum(word in one.common for word in words) for code, one in LANGUAGES.items() if one.common}
    best = max(counts.values())
    leading = [code for code, count in counts.items() if count == best]
    return leading[0] if best and len(leading) == 1 else ""


def _scripts(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for letter in text:
        if letter.isalpha() and (script := _script(letter)):
            found[script] = found.get(script, 0) + 1
    return found


def _script(letter: str) -> str:
    if letter.isascii():
        return "latin"
    name = unicodedata.name(letter, "")
    starts = {
        "LATIN": "latin",
        "CJK": "han",
        "HIRAGANA": "kana",
        "KATAKANA": "kana",
        "CYRILLIC": "cyrillic",
        "HANGUL": "hangul",
    }
    return starts.get(name.split(" ")[0].split("-")[0], "other")

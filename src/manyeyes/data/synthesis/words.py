"""Vocabularies for printed text: six languages that fonts from wheels can draw, and three that need Noto.

Report: App. B.3 (OCR covers several languages).
"""

from typing import NamedTuple

import numpy as np

from manyeyes.data.synthesis.fonts import ASCII, EVERY_SCRIPT
from manyeyes.data.synthesis.generator import between, pick


class Language(NamedTuple):
    """What is needed to print a language: words, sounds for invented words, and faces that have its letters."""

    words: tuple[str, ...]
    onsets: str
    vowels: str
    faces: tuple[str, ...]
    joint: str = " "
    """What stands between words."""
    stop: str = "."


_EN = """
able air all and arm art ask baby back ball bank bear bed bell big bird blue boat body book box boy bread bus
cake calm cat city clay cloud coat cold corn cow crop cup dark day deer desk dish dog door dress drum dust ear
east egg eye face farm fast fire fish five flag flat flower fly foot fork four fox free frog fruit full game
gate gift girl glad glass goat gold good grass gray green hair half hand happy hat head heart help hill home
horse hot house ice iron jam jar job joy jump key kind king kite lake lamp land leaf left leg light line lion
lip long lost love low luck map mark market meal milk mind mine moon morning mouse mouth name near neck nest
net new night nine nose nut oak oil old one open orange owl page paint paper park path pen pig pin pink plan
plum pond pool pot purple queen quick rain red rest rice ring river road rock roof room root rope rose sail
salt sand school sea seed seven ship shirt shoe shop silver sing six skin sky sleep slow small snow soap soft
song soup spoon spring star stone storm street sugar summer sun sweet table tail tall tea ten tent three tiger
time toe town toy train tree truck two valley voice wall warm water wave week well west wheel white wild wind
window wine winter wish wolf wood word work yard year yellow young zebra
"""
_FR = """
âge ami an année arbre art avec baie bain bal banc bas beau bête blé bleu bois bon bras bruit café carte chant
chat chaud chien ciel clé cœur cou cour dent deux dix doigt drap eau école été étoile fenêtre fer fête feu
fille fils fleur foin fort frère froid fruit gant garçon gare gens goût gris grand haut herbe hier hiver homme
huit île jardin jeu joie jour juin lac lait lampe légume lion lit livre loi loup lune main maison marché mère
mois monde mot mur neige nez noël nom nuit œuf oiseau or ours pain papier père petit peur pied pierre plage
plume pluie poire pont porte pré prix quatre repas rêve rire riz robe roi rose roue route rue sac sel sept six
sœur soir soleil sud table tasse temps terre tête thé toit tour train trois vache vallée vent vert vie vieux
ville vin vingt voix
"""
_DE = """
Abend acht alt Apfel arm Arzt Auge Baum Bein Berg Bett Bild blau Blume Boot braun Brief Brot Brücke Bruder
Buch Burg Dach Dorf drei dunkel Ecke Ei Eis elf Ende Erde Essen Fahrt Feld Fenster Feuer Fisch Fluss Frau frei
Freund früh fünf Fuß Garten gelb Geld Glas Glück Gras grau groß grün gut Haar Hand Haus heiß hell Herz Himmel
Hof hoch Holz Hund Hut Insel Jahr jung Kaffee kalt Karte Katze Kind klein König Kopf Kuh kurz Lampe Land lang
laut Licht Lied Löffel Luft Mann Markt Maus Meer Milch Mond Morgen müde Mund Mutter Nacht Nase Nest neu neun
Obst Ohr Ort Papier Pferd Rad Regen reich rot rund Salz Sand Schiff Schnee schön Schule schwarz See sechs Sohn
Sonne Stadt Stein Stern Straße Stuhl süß Tag Tal Tee Teller Tier Tisch Tochter Tor Tür Uhr Vater Vogel Wald
Wand warm Wasser Weg weiß Welt Wind Winter Wort Zahl zehn Zeit Zug zwei
"""
_ES = """
abril agua aire alto amigo amor año árbol arena arroz azul baile bajo banco barco beso blanco boca bosque
brazo bueno caja calle calor cama camino campo canción cara carta casa cielo cinco ciudad clase coche cocina
color corazón cosa cuatro cuello cuento día diez dos dulce edad escuela espejo estrella familia fiesta flor
frío fruta fuego gato gente gris grande hermano hielo hijo hoja hombre hora huevo invierno isla jardín joven
juego julio lago lápiz largo leche libro limón llave lluvia luna luz madre mano mañana mapa mar mesa miel
montaña mundo música negro nieve niño noche nombre nube nueve ojo ola oro oso otoño padre pájaro pan papel
pared parque paz pelo perro pez piedra pierna plata plato playa pluma pueblo puente puerta queso rana ratón
reloj rey río rojo ropa rosa sal seis señor siete silla sol sombra sopa sueño tarde taza té tierra tigre toro
torre tren tres uva vaca valle vaso verano verde vida viejo viento vino voz zapato zorro
"""
_RU = """
август апрель ателье бабушка банк берег белый брат буква вода ваза вечер ветер весна вид вилка вино волк
ворота время вход год голос гора город гость грибы дача два дверь день дерево деньги дети дом дорога друг дуб
дым еда ель жизнь завод заяц звезда зелёный земля зима злой зуб игра имя июль камень каша кино клуб книга кожа
конь корабль кот красный кровь круг лампа лев лес лето лист лицо лодка лук луна мама март масло май месяц мир
море мост мука музыка муж мыло мяч небо нога нож нос ночь обед облако огонь озеро окно осень остров ответ отец
парк песня перо письмо плащ поезд поле пол птица путь пять работа рад река рис рот роза рука рыба сад сахар
свет север семья сестра синий слово снег сок соль сон стол сто сыр сын театр тень три туман улица урок утро
хлеб холод цвет цена час чай черный чашка шар шесть школа шум щука яблоко язык янтарь яма
"""
_EL = """
αγάπη αγορά αδελφός αέρας αετός αίμα ακτή αλάτι άμμος άνεμος άνθος αστέρι αυγό αύριο αυλή βάρκα βήμα βιβλίο
βουνό βράδυ βροχή γάλα γάτα γέλιο γη γιορτή γλώσσα γράμμα γωνία δάσος δέκα δέντρο δρόμος δύο δώρο εικόνα ελιά
έξι εποχή έργο ερώτηση ευχή ζωή ήλιος ημέρα θάλασσα θέση θέατρο ιδέα ίππος καιρός καλός καπνός καράβι καρδιά
κήπος κλειδί κόκκινο κορίτσι κόσμος κρασί κύκλος κύμα λάδι λάμπα λέξη λευκό λίμνη λόγος λύκος μάτι μέλι μέρα
μήλο μήνας μητέρα μικρό μουσική μπλε νερό νησί νύχτα ξύλο όνομα όρος ουρανός παιδί παλιό πατέρας πέντε πέτρα
πηγή πόδι πόλη πόρτα ποτάμι πουλί πράσινο πρωί ρόδα ρύζι σκύλος σπίτι σταθμός στόμα στρώμα σχολείο σώμα τρένο
τρία τυρί τραγούδι ύπνος φίλος φύλλο φωνή φως φωτιά χαρά χαρτί χέρι χιόνι χρόνος χρυσό χώμα ψάρι ψωμί ώρα
"""
_ZH = """
天 地 人 山 水 火 木 金 土 日 月 星 风 雨 雪 云 花 草 树 鸟 鱼 马 牛 羊 狗 猫 红 黄 蓝 白 黑 大 小 上 下 左 右
中国 学校 老师 朋友 今天 明天 城市 春天
"""
_JA = """
山 川 空 海 花 犬 猫 赤い 青い 白い 大きい 小さい ねこ いぬ さくら みず やま かわ そら うみ テレビ カメラ
ホテル パン 学校 先生 日本 今日 明日 電車
"""
_KO = """
하늘 바다 산 강 꽃 나무 새 물 불 집 문 책 학교 친구 오늘 내일 사과 고양이 강아지 봄 여름 가을 겨울 빨강 파랑
노랑 서울 한국 음악 시간
"""

LANGUAGES: dict[str, Language] = {
    "en": Language(tuple(_EN.split()), "bcdfghjklmnprstvwz", "aeiou", ASCII),
    "fr": Language(tuple(_FR.split()), "bcdfgjlmnprstv", "aeiouéèêàô", EVERY_SCRIPT),
    "de": Language(tuple(_DE.split()), "bdfghklmnprstwz", "aeiouäöü", EVERY_SCRIPT),
    "es": Language(tuple(_ES.split()), "bcdfglmnñprstv", "aeiouáéíóú", EVERY_SCRIPT),
    "ru": Language(tuple(_RU.split()), "бвгджзклмнпрстфхцчшщ", "аеёиоуыэюя", EVERY_SCRIPT),
    "el": Language(tuple(_EL.split()), "βγδζθκλμνξπρστφχψ", "αεηιουωάέήίόύώ", EVERY_SCRIPT),
    "zh": Language(tuple(_ZH.split()), "天地山水花草鸟鱼风雨", "人大小上下中日月", ("cjk",), "", "。"),
    "ja": Language(tuple(_JA.split()), "かさたなはまやらわ", "いうえおきくしつ", ("cjk",), "", "。"),
    "ko": Language(tuple(_KO.split()), "가나다라마바사아자", "고노도로모보소오조", ("cjk",), " ", "."),
}
ALPHABETIC = ("en", "fr", "de", "es", "ru", "el")
"""Languages that print with fonts from wheels alone; the others need Debian's fonts-noto-cjk."""


def pseudo_word(rng: np.random.Generator, language: Language, longest: int) -> str:
    """A word of no language: consonants and vowels in turn, 2 to `longest` letters.

    Example:
        >>> len(pseudo_word(np.random.default_rng(0), LANGUAGES["en"], 4)) in (2, 3, 4)
        True
    """
    length = between(rng, min(2, longest), longest)
    start = int(rng.random() * 2)
    return "".join(pick(rng, (language.onsets, language.vowels)[(start + i) % 2]) for i in range(length))


def sentence(rng: np.random.Generator, language: Language, count: int) -> str:
    """`count` words in no meaningful order, with a capital and a stop: a page of them can only be read, not guessed."""
    words = [pick(rng, language.words) for _ in range(count)]
    text = language.joint.join(words)
    return text[0].upper() + text[1:] + language.stop

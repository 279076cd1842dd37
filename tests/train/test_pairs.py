"""Pictures and their texts: the media block is cut out, equal texts match each other."""

import numpy as np

from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.registry import REGISTRY
from manyeyes.model.config import tiny
from manyeyes.train.pairs import pairs_of, text_of

from .small_system import TOKENIZER, picture, sample

T = TOKENIZER


def captioned(text: str, *, pictures: int = 1) -> Sample:
    block = [T.media_begin, T.media_pad, T.media_pad, T.media_pad, T.media_pad, T.media_end]
    ids = np.array([T.bos, *block * pictures, *T.encode(text), T.eos], np.int32)
    rng = np.random.default_rng(len(text))
    return Sample(ids, np.ones(len(ids), np.float32), media=tuple(picture(rng) for _ in range(pictures)), name=text)


def test_the_text_is_the_sample_without_its_media_block() -> None:
    assert text_of(captioned("a red square"), T) == (T.bos, *T.encode("a red square"), T.eos)


def test_only_samples_of_one_picture_and_some_text_are_pairs() -> None:
    text = sample(np.random.default_rng(0), 5)
    samples = [captioned("one"), captioned("two pictures", pictures=2), text, captioned(""), captioned("a longer one")]
    pairs = pairs_of(samples, T)
    assert pairs is not None and len(pairs.media) == 2
    assert [
        T.decode(row[:n].tolist(), skip_special=True) for row, n in zip(pairs.ids_NL, pairs.lengths_N, strict=True)
    ] == [
        "one",
        "a longer one",
    ]
    assert all((row[n:] == T.pad).all() for row, n in zip(pairs.ids_NL, pairs.lengths_N, strict=True))
    assert [media.patches is s.media[0].patches for media, s in zip(pairs.media, (samples[0], samples[4]), strict=True)]


def test_texts_that_read_the_same_match_each_other() -> None:
    pairs = pairs_of([captioned("cat"), captioned("dog"), captioned("cat")], T)
    assert pairs is not None
    assert pairs.matches_NN.astype(int).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_no_pair_is_none() -> None:
    assert pairs_of([captioned("")], T) is None
    assert pairs_of([], T) is None


def rendered_sample(name: str, index: int) -> Sample:
    source = REGISTRY.source(name, Tokenizer.tiny(), rules=tiny().rules, part_length=256)
    return source.sample(index, 0)


def test_a_clip_is_one_item_of_all_its_chunks_and_timestamps_are_no_text() -> None:
    tokenizer = Tokenizer.tiny()
    samples = [rendered_sample("synthetic/video/motions_text", 0), rendered_sample("synthetic/caption/scenes", 0)]
    pairs = pairs_of(samples, tokenizer)
    assert pairs is not None
    chunks = len(samples[0].media)
    assert chunks > 1 and pairs.media_N == (chunks, 1)
    assert pairs.image_tokens == (sum(m.grid.tokens for m in samples[0].media), samples[1].media[0].grid.tokens)
    told = tokenizer.decode(pairs.ids_NL[0, : pairs.lengths_N[0]].tolist(), skip_special=True)
    assert told.startswith("a") and ":" not in told


def test_conversations_are_no_captions() -> None:
    assert pairs_of([rendered_sample("easy_vqa", 0)], Tokenizer.tiny()) is None


def test_documents_of_several_pictures_are_no_pairs() -> None:
    assert pairs_of([rendered_sample("synthetic/interleaved/lessons", 0)], Tokenizer.tiny()) is None

import errno
import io
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.media import (
    Clip,
    Grid,
    MediaError,
    MediaReadError,
    MediaRules,
    Picture,
    image_visual,
    sample_frames,
    timestamp,
    video_visuals,
)

OFFICIAL = MediaRules()
TINY = MediaRules(patch_size=8, in_patch_limit=1024, in_patch_limit_each_frame=256, patch_limit_on_one_side=64)


def record(path, n_frames, *, codec="libx264", fps=10, size=(64, 48), rotation=None, **options):
    """Frame i is grey of brightness 8·i, with a white corner at the top left."""
    with av.open(str(path), "w", options=options) as file:
        stream = file.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.gop_size = 7
        stream.bit_rate = 2_000_000
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index in range(n_frames):
            array = np.full((size[1], size[0], 3), index * 8 % 256, np.uint8)
            array[:16, :16] = 255
            array[:20, 32:] = np.random.default_rng(index).integers(0, 256, (20, size[0] - 32, 1))  # fills packets
            file.mux(stream.encode(av.VideoFrame.from_ndarray(array, "rgb24").reformat(format=stream.pix_fmt)))
        file.mux(stream.encode())
    return path


def brightness(picture):
    return int(round(picture.pixels()[24:, 24:].mean() / 8))


def still(frames, fps):
    return Clip.of(np.zeros((frames, 16, 16, 3), np.uint8), fps=fps)


@given(st.integers(1, 5000), st.floats(0.1, 240))
def test_frames_are_sampled_as_published(n_frames, fps):
    indices = sample_frames(n_frames, fps, OFFICIAL)
    expected = max(round(n_frames * min(2.0, fps) / fps), 1)
    assert len(indices) == expected
    assert indices == [int(index) for index in np.linspace(0, n_frames - 1, expected).round()]
    assert indices[0] == 0 and (expected == 1 or indices[-1] == n_frames - 1)
    assert indices == sorted(indices)
    if fps <= 2:
        assert indices == list(range(n_frames))


def test_frame_cap_spreads_over_the_whole_clip():
    assert sample_frames(100, 2.0, MediaRules(max_num_frames_each_video=3)) == [0, 50, 99]


@given(st.integers(1, 60), st.sampled_from([1.0, 2.0, 10.0, 23.976, 29.97]))
def test_chunks_hold_at_most_four_frames_and_carry_their_first_time(n_frames, fps):
    clip = still(n_frames, fps)
    chunks = video_visuals(clip, TINY)
    indices = sample_frames(n_frames, fps, TINY)
    assert [chunk.visual.grid.t for chunk in chunks] == [len(indices[i : i + 4]) for i in range(0, len(indices), 4)]
    assert [chunk.timestamp for chunk in chunks] == [timestamp(index / fps) for index in indices[::4]]
    shown = [frame for chunk in chunks for frame in chunk.visual.frames]
    assert [id(frame) for frame in shown] == [id(clip.frames[index]) for index in indices]
    assert {chunk.visual.tokens for chunk in chunks} == {1}  # time costs no tokens


@given(st.integers(0, 3 * 86_400_000))
def test_timestamps_count_milliseconds_and_wrap_after_a_day(milliseconds):
    text = timestamp(milliseconds / 1000 + 0.0001)  # away from the cut, where binary fractions may fall short
    moment = timedelta(milliseconds=milliseconds % 86_400_000)
    hours, rest = divmod(moment.seconds, 3600)
    assert text == f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}.{moment.microseconds // 1000:03d}"


def test_known_timestamps():
    assert [timestamp(t) for t in (0, 2.3, 59.999, 3600, 86_400)] == [
        "00:00:00.000", "00:00:02.299", "00:00:59.999", "01:00:00.000", "00:00:00.000",
    ]  # fmt: skip


def test_an_image_is_a_one_frame_video():
    array = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    image = image_visual(Picture.of(array), TINY).media()
    (chunk,) = video_visuals(Clip.of(array[None], fps=5), TINY)
    video = chunk.visual.media()
    assert chunk.timestamp == "00:00:00.000"
    assert video.grid == image.grid and np.array_equal(video.patches, image.patches)


def test_a_chunk_is_its_frames_one_after_the_other_with_the_limit_of_a_frame():
    arrays = np.random.default_rng(0).integers(0, 256, (3, 300, 400, 3), np.uint8)
    (chunk,) = video_visuals(Clip.of(arrays, fps=2), TINY)
    media = chunk.visual.media()
    assert media.grid == Grid(3, 14, 20)  # 256 patches before padding: 18 x 13.8 -> 20 x 14
    single = MediaRules(patch_size=8, in_patch_limit=256, patch_limit_on_one_side=64)
    stills = [image_visual(Picture.of(array), single).media().patches for array in arrays]
    assert np.array_equal(media.patches, np.concatenate(stills))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mpeg4"), ("a.gif", "gif"),
     ("a.ts", "libx264"), ("a.mpg", "mpeg2video")],
)  # fmt: skip
def test_every_container_gives_each_frame_in_any_order(tmp_path, name, codec):
    fps = 25 if name == "a.mpg" else 10
    clip = Clip.open(record(tmp_path / name, 24, codec=codec, fps=fps))
    assert (len(clip.frames), clip.fps, clip.width, clip.height) == (24, fps, 64, 48)
    assert [brightness(frame) for frame in clip.frames] == list(range(24))
    shuffled = np.random.default_rng(1).permutation(24).tolist()
    assert [brightness(clip.frames[index]) for index in shuffled] == shuffled


def test_frames_survive_threads_and_pickling(tmp_path):
    clip = Clip.open(record(tmp_path / "a.mp4", 20))
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(brightness, clip.frames)) == list(range(20))
    assert [brightness(frame) for frame in pickle.loads(pickle.dumps(clip)).frames[::-3]] == list(range(20))[::-3]


def test_reading_in_order_decodes_each_frame_once(tmp_path, monkeypatch):
    from manyeyes.core import video

    starts = []
    original = video._Reader._start
    monkeypatch.setattr(video._Reader, "_start", lambda self, index: starts.append(index) or original(self, index))
    clip = Clip.open(record(tmp_path / "a.mp4", 20))
    for frame in clip.frames:
        frame.pixels()
    assert starts == [0, 0]  # once for the size at opening, once because frame 0 is read again


@pytest.mark.parametrize(("rotation", "corner"), [(0, (2, 2)), (90, (-3, 2)), (180, (-3, -3)), (-90, (2, -3))])
def test_rotated_recordings_stand_upright(tmp_path, rotation, corner):
    clip = Clip.open(record(tmp_path / "a.mp4", 2, rotation=rotation))
    assert (clip.width, clip.height) == ((48, 64) if rotation in (90, -90) else (64, 48))
    assert clip.frames[0].pixels()[corner].min() > 200


def test_a_file_in_memory_equals_the_file(tmp_path):
    path = record(tmp_path / "a.mp4", 5)
    both = zip(Clip.open(path).frames, Clip.from_bytes(path.read_bytes()).frames, strict=True)
    assert all(np.array_equal(one.pixels(), other.pixels()) for one, other in both)


def test_what_is_no_video_is_refused_in_one_line(tmp_path):
    (tmp_path / "notes.mp4").write_text("nothing moves here\n" * 50)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")  # a playlist could name other files
    (tmp_path / "empty.mp4").touch()
    record(tmp_path / "good.mp4", 3)
    with av.open(str(tmp_path / "sound.wav"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    for name in ("notes.mp4", "list.m3u8", "empty.mp4", "sound.wav"):
        with pytest.raises(MediaError, match=name) as info:
            Clip.open(tmp_path / name)
        assert "\n" not in str(info.value)
    with pytest.raises(MediaError, match="did you mean good.mp4"):
        Clip.open(tmp_path / "god.mp4")
    with pytest.raises(MediaError, match="the limit is 1,000 pixels"):
        Clip.open(tmp_path / "good.mp4", max_pixels=1_000)


def test_truncated_videos_give_the_frames_they_hold(tmp_path):
    late = record(tmp_path / "late.mp4", 30).read_bytes()  # its table of contents stands at the end
    with pytest.raises(MediaError, match="half"):
        Clip.from_bytes(late[: len(late) // 2], name="half")
    early = record(tmp_path / "early.mp4", 30, movflags="faststart").read_bytes()
    clip = Clip.from_bytes(early[: len(early) * 2 // 3], name="most")
    read = 0
    try:
        for index, frame in enumerate(clip.frames):
            assert brightness(frame) == index
            read += 1
    except MediaError as error:
        assert f"most: frame {read}" in str(error)
    assert 5 < read < 30


def test_clips_are_checked():
    with pytest.raises(MediaError, match="at least one frame"):
        Clip((), 2.0)
    with pytest.raises(MediaError, match="one size"):
        Clip((Picture.of(np.zeros((4, 4, 3), np.uint8)), Picture.of(np.zeros((4, 5, 3), np.uint8))), 2.0)
    for fps in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(MediaError, match="frame rate"):
            still(2, fps)


def test_storage_that_fails_is_told_from_damage(tmp_path, monkeypatch):
    path = record(tmp_path / "film.mp4", 8)
    clip = Clip.open(path)

    class Failing(io.FileIO):
        def read(self, size=-1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as storage:
        storage.setattr(type(path), "open", lambda self, mode: Failing(str(self)))
        for attempt in (lambda: Clip.open(path), lambda: clip.frames[5].pixels()):
            with pytest.raises(MediaReadError, match="film.mp4: cannot be read .Input/output error"):
                attempt()
    assert clip.frames[5].pixels().tobytes() == Clip.open(path).frames[5].pixels().tobytes()
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(MediaError) as caught:
        Clip.open(path)
    assert not isinstance(caught.value, OSError)

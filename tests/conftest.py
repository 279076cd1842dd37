from hypothesis import settings

# A busy machine makes single examples slow; wall time is bounded for the whole suite instead.
settings.register_profile("manyeyes", deadline=None)
settings.load_profile("manyeyes")

"""What holds for these tests: no result depends on how fast the machine is."""

from hypothesis import HealthCheck, settings

# On a new checkout hypothesis makes its tables of characters first, which takes a second or two.
settings.register_profile("tlstap", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tlstap")

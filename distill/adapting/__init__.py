"""An encoder adapted to documents that nobody has labelled, and measured before anybody switches to it."""

from retr.distill.adapting.adapting import Adaptation, adapt
from retr.distill.adapting.questions import Questioner
from retr.distill.adapting.settings import AdaptSettings

__all__ = ["AdaptSettings", "Adaptation", "Questioner", "adapt"]

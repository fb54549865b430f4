"""The exceedance surface: how likely usage is above any level in the coming interval."""

from optimizer.models.exceedance.fitted import TrainedSurface
from optimizer.models.exceedance.forecast import Forecast, Surface
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.models.exceedance.target import Exceedance

__all__ = ["Exceedance", "Forecast", "RollingSurface", "Surface", "TrainedSurface"]

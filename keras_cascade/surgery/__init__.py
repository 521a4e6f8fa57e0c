"""Surgery: models with fewer filters, and views that compute the same with all of them."""

from keras_cascade.surgery.record import pruning_record
from keras_cascade.surgery.surgeon import Surgeon, copy_model
from keras_cascade.surgery.verification import SurgeryError
from keras_cascade.surgery.views import masked_view

__all__ = ["Surgeon", "SurgeryError", "copy_model", "masked_view", "pruning_record"]

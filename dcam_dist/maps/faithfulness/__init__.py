"""How far maps can be trusted: deletion and insertion, agreement with emphysema, randomized weights."""

from dcam_dist.maps.faithfulness.files import read_run
from dcam_dist.maps.faithfulness.measure import RunMeasures, measure_run
from dcam_dist.maps.faithfulness.write import Faithfulness, faithfulness

__all__ = ["Faithfulness", "RunMeasures", "faithfulness", "measure_run", "read_run"]

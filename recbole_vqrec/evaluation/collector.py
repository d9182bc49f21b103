"""What RecBole's metrics are computed from, plain numbers among it."""

from recbole.evaluator import Collector


class PlainValuesCollector(Collector):
    """RecBole's collector, able to hand on what is no tensor.

    RecBole 1.2.1 moves every value to the CPU, which numbers and counts are not able to; without them ItemCoverage,
    AveragePopularity, GiniIndex and TailPercentage cannot be computed.
    """

    def get_data_struct(self):
        """Return the values collected, and drop those of this evaluation; see RecBole's method."""
        values = self.data_struct._data_dict
        plain = {name: values.pop(name) for name in list(values) if not hasattr(values[name], "cpu")}
        collected = super().get_data_struct()
        values.update(plain)
        collected._data_dict.update(plain)
        return collected

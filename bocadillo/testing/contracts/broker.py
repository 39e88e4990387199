"""`BrokerContract`: the guarantees of `bocadillo.channels.broker`, all of the suites of them."""

from bocadillo.testing.contracts.histories import HistoryContract
from bocadillo.testing.contracts.losing import LossContract
from bocadillo.testing.contracts.publishing import PublishingContract


class BrokerContract(PublishingContract, HistoryContract, LossContract):
    """Subclass it, and say how to make a broker.

    What `make` returns is of some world: a server, or the memory of a process. The methods
    `break_connection`, `silenced`, `forget_everything` and `names_kept` do something to it, or
    look at it. Override those that make sense: a test of one that is not there is skipped, and
    says so.

    Attributes:
        is_shared: Whether brokers that `make` returns are of one world, as those of two
            processes are.
    """
